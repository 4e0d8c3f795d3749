// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"

#define ID_MAX 128 /* its text: it is said again in each line of the answer */

static void refuse(struct ctl_message *message, const char *error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void refuse(struct ctl_message *message, const char *error, const char *format, ...)
{
	va_list ap;

	message->error = error;
	va_start(ap, format);
	(void)vsnprintf(message->text, sizeof(message->text), format, ap);
	va_end(ap);
	ctl_plain(message->text);
}

void ctl_plain(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text >= 0x80)
			*text = '?';
	}
}

json_t *ctl_string(const char *text)
{
	json_t *string = json_string(text);
	_cleanup_free_ char *plain = NULL;

	if (string)
		return string;
	plain = strdup(text);
	if (!plain)
		return NULL;
	ctl_plain(plain);
	return json_string(plain);
}

json_t *ctl_date(uint64_t us)
{
	time_t t = (time_t)(us / 1000000);
	char text[32];
	struct tm tm;

	if (!us || !gmtime_r(&t, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return json_null();
	return json_string(text);
}

static void take_id(struct ctl_message *message)
{
	char text[ID_MAX];
	json_t *id = json_object_get(message->args, "id");

	if (!id)
		return;
	if (json_dumpb(id, text, sizeof(text), JSON_COMPACT | JSON_ENCODE_ANY) > sizeof(text))
		refuse(message, "bad_request", "id is longer than %d bytes", ID_MAX);
	else
		message->id = id;
}

static bool word_in(const char *words, const char *word)
{
	size_t len = strlen(word);

	while (*words) {
		size_t n = strcspn(words, " ");

		if (n == len && memcmp(words, word, n) == 0)
			return true;
		words += n;
		words += strspn(words, " ");
	}
	return false;
}

/* A mistyped filter must not be no filter. */
static void check_args(struct ctl_message *message)
{
	const char *name;
	json_t *value;

	json_object_foreach (message->args, name, value) {
		if (!word_in("v id cmd", name) && !word_in(message->command->args, name)) {
			refuse(message, "bad_request", "%s takes no argument \"%.32s\"",
			       message->command->name, name);
			return;
		}
	}
}

static void find_command(struct ctl_message *message, const struct ctl_command *commands)
{
	const char *name = json_string_value(json_object_get(message->args, "cmd"));

	if (!name) {
		refuse(message, "bad_request", "no cmd");
		return;
	}
	while (commands->name && strcmp(commands->name, name) != 0)
		commands++;
	if (!commands->name) {
		refuse(message, "unknown_command", "no command \"%.32s\"", name);
		return;
	}
	message->command = commands;
	check_args(message);
}

struct ctl_message ctl_parse(const char *line, size_t len, const struct ctl_command *commands)
{
	struct ctl_message message = { 0 };
	json_error_t error;
	json_t *v;

	message.args = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	if (!message.args) {
		refuse(&message, "bad_json", "column %d: %.100s", error.column, error.text);
		return message;
	}
	if (!json_is_object(message.args)) {
		refuse(&message, "bad_request", "not an object");
		return message;
	}
	take_id(&message);
	if (message.error)
		return message;
	v = json_object_get(message.args, "v");
	if (!json_is_integer(v) || json_integer_value(v) != CTL_PROTOCOL)
		refuse(&message, "unsupported_version", "this daemon speaks \"v\":%d",
		       CTL_PROTOCOL);
	else
		find_command(&message, commands);
	return message;
}

char *ctl_line(const json_t *id, json_t *body)
{
	json_t *line = json_object();
	char *text = NULL, *whole = NULL;

	(void)json_object_set_new(line, "v", json_integer(CTL_PROTOCOL));
	if (id)
		(void)json_object_set(line, "id", (json_t *)id);
	if (body && json_object_update(line, body) == 0)
		text = json_dumps(line, JSON_COMPACT);
	if (text && asprintf(&whole, "%s\n", text) < 0)
		whole = NULL;
	free(text);
	json_decref(body);
	json_decref(line);
	return whole;
}

char *ctl_item_line(const json_t *id, const char *json)
{
	char *text = id ? json_dumps(id, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	char *line = NULL;

	if (asprintf(&line, "{\"v\":%d,%s%s%s\"item\":%s}\n", CTL_PROTOCOL, text ? "\"id\":" : "",
		     text ? text : "", text ? "," : "", json) < 0)
		line = NULL;
	free(text);
	return line;
}
