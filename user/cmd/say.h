/* SPDX-License-Identifier: BSD-2-Clause */
/* For commands whose words are a sentence to the daemon: backend, listener, drain, ready. */
#ifndef CMD_SAY_H
#define CMD_SAY_H

#include "cmd/ask.h"

/* Something is wrong with the words: says so; the exit code. */
int say_error(const char *command, const char *message, const char *word);

/* Ask for it; args is taken. The exit code. Says nothing when it is done, but for {} with --json. */
int say_ask(const struct ask_flags *flags, const char *command, json_t *args);

#endif
