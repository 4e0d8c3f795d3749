/* SPDX-License-Identifier: BSD-2-Clause */
/* A line of the control protocol, and the filters of conns and kill in it: whatever comes is taken or
 * refused with a name, and what is answered is one line of JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/conn.h"
#include "ctl/commands.h"
#include "ctl/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_filters(const json_t *args)
{
	struct conn_filter filter = { 0 };
	struct conn conn = { .state = "header" };
	char why[160];
	const char *name, *text;
	json_t *value;

	json_object_foreach ((json_t *)args, name, value) {
		text = json_string_value(value);
		(void)conn_filter_set(&filter, name, text ? text : "", why, sizeof(why));
	}
	(void)conn_matches(&conn, &filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctl_message message = ctl_parse((const char *)data, size, ctl_commands);
	char *line = ctl_line(message.id,
			      json_pack("{s:b, s:s}", "ok", 0, "message", message.text));

	if (!message.error && !message.command)
		abort();
	if (!line || strchr(line, '\n') != line + strlen(line) - 1)
		abort();
	free(line);
	if (message.args)
		try_filters(message.args);
	json_decref(message.args);
	return 0;
}
