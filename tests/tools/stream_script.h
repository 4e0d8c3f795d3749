/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The little language of stream_peer: what one direction of a connection does, step by step.
 * Parsing only; stream_peer.c carries it out and documents the words.
 */
#ifndef STREAM_SCRIPT_H
#define STREAM_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum op_kind {
	/* these five carry bytes */
	OP_HEX,
	OP_HEXMORE,
	OP_SPLIT,
	OP_CUT,
	OP_TRICKLE,
	OP_V1,
	OP_V2,
	OP_DATA,
	OP_ACKED,
	OP_RX,
	OP_RXEOF,
	OP_TX,
	OP_TXDONE,
	OP_GO,
	OP_MS,
	OP_FIN,
	OP_RST,
	OP_CLOSE,
	OP_FLIP,
	OP_RATE,
	OP_REST,
	OP_EOF,
	OP_END,
	OP_ABORTED,
	OP__MAX,
};

static const char *const op_names[OP__MAX] = {
	[OP_HEX] = "hex",       [OP_HEXMORE] = "hexmore", [OP_SPLIT] = "split",
	[OP_CUT] = "cut",       [OP_TRICKLE] = "trickle", [OP_V1] = "v1",
	[OP_V2] = "v2",         [OP_DATA] = "data",       [OP_ACKED] = "acked",
	[OP_RX] = "rx",         [OP_RXEOF] = "rxeof",     [OP_TX] = "tx",
	[OP_TXDONE] = "txdone", [OP_GO] = "go",           [OP_MS] = "ms",
	[OP_FIN] = "fin",       [OP_RST] = "rst",         [OP_CLOSE] = "close",
	[OP_FLIP] = "flip",     [OP_RATE] = "rate",       [OP_REST] = "rest",
	[OP_EOF] = "eof",       [OP_END] = "end",         [OP_ABORTED] = "aborted",
};

/* name[:N[-MAX][/CHUNK][*COUNT]] or name:HEX */
struct op {
	enum op_kind kind;
	uint64_t n, max; /* max: the number is drawn from n..max per connection */
	uint64_t chunk, count;
	uint8_t *hex;
	size_t hex_len;
};

struct script {
	struct op *ops;
	size_t n;
};

static inline int script_hex(struct op *op, const char *text)
{
	size_t len = strlen(text) / 2;

	op->hex = calloc(1, len + 1);
	if (!op->hex)
		return -1;
	for (size_t i = 0; i < len; i++) {
		unsigned byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			return -1;
		op->hex[i] = (uint8_t)byte;
	}
	op->hex_len = len;
	return 0;
}

static inline int script_op(struct op *op, char *word)
{
	char *arg = strchr(word, ':');
	unsigned kind;

	if (arg)
		*arg++ = '\0';
	for (kind = 0; kind < OP__MAX; kind++)
		if (!strcmp(word, op_names[kind]))
			break;
	if (kind == OP__MAX)
		return -1;
	op->kind = (enum op_kind)kind;
	if (!arg)
		return 0;
	if (kind <= OP_TRICKLE)
		return script_hex(op, arg);
	op->n = op->max = strtoull(arg, &arg, 0);
	if (*arg == '-')
		op->max = strtoull(arg + 1, &arg, 0);
	if (*arg == '/')
		op->chunk = strtoull(arg + 1, &arg, 0);
	if (*arg == '*')
		op->count = strtoull(arg + 1, &arg, 0);
	return *arg || op->max < op->n ? -1 : 0;
}

/* Parse a comma-separated script. Returns 0, or -1 after naming the bad word on stderr. */
static inline int script_parse(struct script *script, const char *text)
{
	char *copy = strdup(text), *save = NULL;

	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		struct op *ops = realloc(script->ops, (script->n + 1) * sizeof(*ops));

		if (!ops)
			return -1;
		script->ops = ops;
		memset(&ops[script->n], 0, sizeof(*ops));
		if (script_op(&ops[script->n], word) < 0) {
			fprintf(stderr, "stream_peer: bad word in script: %s\n", word);
			return -1;
		}
		script->n++;
	}
	free(copy);
	return 0;
}

#endif
