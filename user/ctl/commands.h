/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands: each group of them is a file cmd_*.c of its own. */
#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include "ctl/request.h"

/* Ends with a row without a name. */
extern const struct ctl_command ctl_commands[];

int ctl_cmd_help(struct ctl_request *request);
int ctl_cmd_conns(struct ctl_request *request); /* cmd_conns.c */
int ctl_cmd_kill(struct ctl_request *request);

/* End the connections that match, and answer with how many, in data, which is taken. As a
 * command. */
struct conn_filter;
int ctl_kill(struct ctl_request *request, const struct conn_filter *filter, json_t *data);

int ctl_cmd_status(struct ctl_request *request);   /* cmd_status.c */
int ctl_cmd_deny_add(struct ctl_request *request); /* cmd_deny.c */
int ctl_cmd_deny_del(struct ctl_request *request);
int ctl_cmd_deny_list(struct ctl_request *request);

/* cmd_change.c */
int ctl_cmd_reload(struct ctl_request *request);
int ctl_cmd_backend(struct ctl_request *request);
int ctl_cmd_listener(struct ctl_request *request);
int ctl_cmd_drain(struct ctl_request *request);
int ctl_cmd_ready(struct ctl_request *request);
int ctl_cmd_store(struct ctl_request *request);

#endif
