/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads proxy_vectors.json, the conformance vectors, for the tests. Tests run in the
 * root of the tree. Fails by exit(): without vectors there is nothing to test.
 */
#ifndef TESTS_VECTORS_H
#define TESTS_VECTORS_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unproxy/proxy_types.h"

#define VECTORS_PATH "tests/vectors/proxy_vectors.json"

struct vector {
	const char *name;
	uint8_t *bytes;
	uint32_t len;
	enum up_header_status expect;
	uint32_t header_len;
	enum up_command command;
	const char *source; /* "192.0.2.7:1111", NULL: the socket's own */
	const char *destination;
	json_t *tlvs; /* [[type, hex], ...] */
};

struct vectors {
	json_t *json;
	struct vector *at;
	size_t n;
};

/* Decode hex text; the result is malloc'ed to the exact size, so that ASan sees one byte
 * too far. */
static inline uint8_t *vector_bytes(const char *hex, uint32_t *ret_len)
{
	size_t len = strlen(hex) / 2;
	uint8_t *bytes = malloc(len);

	for (size_t i = 0; i < len; i++) {
		char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };

		bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	*ret_len = (uint32_t)len;
	return bytes;
}

static inline void vector_read(struct vector *vector, json_t *json)
{
	const char *expect = json_string_value(json_object_get(json, "expect"));
	const char *command = json_string_value(json_object_get(json, "command"));

	vector->name = json_string_value(json_object_get(json, "name"));
	vector->bytes = vector_bytes(json_string_value(json_object_get(json, "hex")), &vector->len);
	vector->expect = !strcmp(expect, "accept")   ? UP_HEADER_COMPLETE
			 : !strcmp(expect, "reject") ? UP_HEADER_INVALID
						     : UP_HEADER_INCOMPLETE;
	vector->header_len = (uint32_t)json_integer_value(json_object_get(json, "header_len"));
	vector->command = command && !strcmp(command, "PROXY") ? UP_COMMAND_PROXY
							       : UP_COMMAND_LOCAL;
	vector->source = json_string_value(json_object_get(json, "source"));
	vector->destination = json_string_value(json_object_get(json, "destination"));
	vector->tlvs = json_object_get(json, "tlvs");
}

static inline void vectors_load(struct vectors *ret)
{
	json_error_t error;
	size_t i;
	json_t *json;

	ret->json = json_load_file(VECTORS_PATH, 0, &error);
	if (!ret->json) {
		fprintf(stderr, "%s: %s\n", VECTORS_PATH, error.text);
		exit(1);
	}
	ret->n = json_array_size(ret->json);
	ret->at = calloc(ret->n, sizeof(*ret->at));
	json_array_foreach (ret->json, i, json)
		vector_read(&ret->at[i], json);
}

static inline void vectors_free(struct vectors *vectors)
{
	for (size_t i = 0; i < vectors->n; i++)
		free(vectors->at[i].bytes);
	free(vectors->at);
	json_decref(vectors->json);
}

#endif
