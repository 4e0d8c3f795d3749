// SPDX-License-Identifier: BSD-2-Clause
#include "doctor/report.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/cleanup.h"

static const char *const level_names[FINDING__MAX] = {
	[FINDING_OK] = "OK",
	[FINDING_WARN] = "WARN",
	[FINDING_FAIL] = "FAIL",
	[FINDING_SKIP] = "SKIP",
};

/* Names of processes and programs may be of any bytes: JSON and terminals take no part. */
static void keep_ascii(char *text)
{
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

void report_add(struct report *report, enum finding_level level, const char *name, const char *mend,
		const char *format, ...)
{
	struct finding *more = reallocarray(report->findings, report->n + 1, sizeof(*more));
	struct finding *finding;
	va_list ap;

	report->counts[level]++;
	if (!more) {
		report->lost++;
		return;
	}
	report->findings = more;
	finding = &more[report->n++];
	finding->level = level;
	(void)snprintf(finding->name, sizeof(finding->name), "%s", name);
	(void)snprintf(finding->mend, sizeof(finding->mend), "%s", mend ? mend : "");
	va_start(ap, format);
	(void)vsnprintf(finding->text, sizeof(finding->text), format, ap);
	va_end(ap);
	keep_ascii(finding->name);
	keep_ascii(finding->text);
	keep_ascii(finding->mend);
}

void report_free(struct report *report)
{
	free(report->findings);
	*report = (struct report){ 0 };
}

int report_print(const struct report *report, FILE *out)
{
	for (size_t i = 0; i < report->n; i++) {
		const struct finding *finding = &report->findings[i];

		(void)fprintf(out, "%-4s %s: %s%s%s\n", level_names[finding->level], finding->name,
			      finding->text, finding->mend[0] ? "  -> " : "", finding->mend);
	}
	if (report->lost)
		(void)fprintf(out, "%zu more, which there was no memory for\n", report->lost);
	(void)fprintf(out, "%u OK, %u WARN, %u FAIL, %u SKIP\n", report->counts[FINDING_OK],
		      report->counts[FINDING_WARN], report->counts[FINDING_FAIL],
		      report->counts[FINDING_SKIP]);
	return ferror(out) ? -EIO : 0;
}

static json_t *to_json(const struct finding *finding)
{
	json_t *object = json_pack("{s:s, s:s, s:s}", "level", level_names[finding->level], "name",
				   finding->name, "text", finding->text);

	if (finding->mend[0])
		(void)json_object_set_new(object, "mend", json_string(finding->mend));
	return object;
}

static void cleanup_json(json_t **object)
{
	json_decref(*object);
}

int report_print_json(const struct report *report, FILE *out)
{
	_cleanup_(cleanup_json) json_t *root =
		json_pack("{s:i, s:i, s:i, s:i, s:[]}", "ok", (int)report->counts[FINDING_OK],
			  "warn", (int)report->counts[FINDING_WARN], "fail",
			  (int)report->counts[FINDING_FAIL], "skip",
			  (int)report->counts[FINDING_SKIP], "checks");
	json_t *checks = json_object_get(root, "checks");

	for (size_t i = 0; i < report->n; i++) {
		/* A finding that cannot be told (no memory, text that is not UTF-8) must not
		 * be missing in silence. */
		if (json_array_append_new(checks, to_json(&report->findings[i])) < 0)
			return -ENOMEM;
	}
	if (!root || json_dumpf(root, out, JSON_COMPACT) < 0)
		return -ENOMEM;
	return fputc('\n', out) < 0 ? -EIO : 0;
}
