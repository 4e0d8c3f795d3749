/* SPDX-License-Identifier: BSD-2-Clause */
/* What a check found, in order; a line each, or JSON. */
#ifndef DOCTOR_REPORT_H
#define DOCTOR_REPORT_H

#include <stddef.h>
#include <stdio.h>

enum finding_level { FINDING_OK, FINDING_WARN, FINDING_FAIL, FINDING_SKIP, FINDING__MAX };

struct finding {
	enum finding_level level;
	char name[48];  /* what was looked at: "kernel", "listener web" */
	char text[448]; /* what is */
	char mend[320]; /* what to do about it; empty: nothing */
};

/* Zero-initialised: empty. */
struct report {
	struct finding *findings;
	size_t n;
	unsigned counts[FINDING__MAX];
	size_t lost; /* findings there was no memory for */
};

/* mend: static or the caller's, copied; NULL: nothing is to be done. What is longer than its
 * place is cut. */
void report_add(struct report *report, enum finding_level level, const char *name, const char *mend,
		const char *format, ...) __attribute__((format(printf, 5, 6)));

void report_free(struct report *report);

/* "WARN jit: what is  -> mend", a line each, and a last one that counts. 0 or -errno. */
int report_print(const struct report *report, FILE *out);

/* {"ok":N,"warn":N,"fail":N,"skip":N,"checks":[{"level":"OK","name":..,"text":..,"mend":..}]},
 * one line. 0 or -errno. */
int report_print_json(const struct report *report, FILE *out);

#endif
