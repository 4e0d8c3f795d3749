/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of all keys: one row says what a key is called, where its value goes, what
 * it may be, and its line in docs/configuration.md. Nothing else knows a key's name.
 */
#ifndef CONF_KEYS_H
#define CONF_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/markup.h"

#define KEYS_MAX 64
#define KEY_NOWHERE SIZE_MAX /* the value is checked, and needed nowhere */

enum key_section { KEY_UNPROXY, KEY_LISTENER, KEY_BACKEND, KEY_SECTION__MAX };

enum key_type {
	KEY_WORD,         /* one of .words -> an enum */
	KEY_BOOL,         /* -> bool */
	KEY_NUMBER,       /* -> uint32_t */
	KEY_SIZE,         /* bytes -> uint32_t */
	KEY_SIZE64,       /* bytes -> uint64_t */
	KEY_MILLISECONDS, /* a duration -> uint32_t */
	KEY_SECONDS,      /* a duration of whole seconds -> uint32_t */
	KEY_PATH,         /* a path, "-" or "off" -> char *, NULL for off */
	KEY_SOCKET,       /* a path, or "off" -> char *, NULL for off */
	KEY_GROUP,        /* a group's name -> gid_t */
	KEY_NAME,         /* of a user or group, or a number -> char * */
	KEY_TRUST,        /* -> struct trust */
	KEY_BINDS,        /* the owner is a struct conf_listener */
	KEY_SERVER,       /* the owner is a struct conf_backend */
	KEY_PORT,         /* "80" or "80 -> 3000" -> struct conf_port */
	KEY_ADDRESSES,    /* the owner is a struct conf_listener */
	KEY_INTERFACES,   /* the owner is a struct conf_listener */
	KEY_ENDPOINT,     /* ADDR:PORT or "off" -> struct up_addr, family 0 for off */
	KEY_BACKEND_REF,  /* resolved when all sections are read */
};

/* Which listeners a key is for. */
enum key_engine { KEY_BOTH, KEY_RELAY, KEY_INLINE };

struct key_word {
	const char *name;
	unsigned value;
	bool later; /* known, but not in this version */
};

struct key {
	enum key_section section;
	const char *name;
	enum key_type type;
	size_t offset; /* in the section's struct */
	uint64_t min, max;
	const char *default_text; /* NULL: required, or nothing */
	const char *auto_word;    /* stands for 0, or NULL */
	const struct key_word *words;
	enum key_engine engine;
	bool required; /* by listeners of its engine */
	bool repeatable;
	bool restart; /* of [unproxy]: a reload does not change it, conf/restart.h */
	const char *help;
};

extern const struct key keys[];
extern const size_t n_keys;
extern const char *const key_sections[KEY_SECTION__MAX];

/* NULL if there is no such key. */
const struct key *key_find(enum key_section section, const char *name);

/* The key a mistyped name may have meant, or NULL. */
const char *key_nearest(enum key_section section, const char *name);

/* Check text and store it in owner (the section's struct). Returns 0 or -errno with
 * the reason in why; on failure owner's field is untouched. */
int key_set(const struct key *key, void *owner, const char *text, char *why, size_t size);

/* Store every default of the section in a zeroed owner. Returns 0 or -ENOMEM. */
int key_set_defaults(enum key_section section, void *owner);

/* Print the reference of all keys as Markdown. Returns 0 or -errno. */
int key_print_reference(FILE *out);

/* The same as a man page's body, or for a terminal; and of one key alone. */
void key_print_page(FILE *out, enum markup_form form);
void key_print_help(FILE *out, enum markup_form form, const struct key *key);

#endif
