// SPDX-License-Identifier: BSD-2-Clause
/* Samples, as Prometheus' text format has them. */
#include "obs/metrics_scrape.h"

#include <inttypes.h>
#include <stdarg.h>

static void text(struct scrape *scrape, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n')
			(void)fputs("\\n", scrape->out);
		else if (*value == '"' || *value == '\\')
			(void)fprintf(scrape->out, "\\%c", *value);
		else
			(void)fputc(*value, scrape->out);
	}
}

/* name{label="value",...}: pairs end with NULL. */
static void begin(struct scrape *scrape, const char *suffix, va_list pairs)
{
	const char *label, *separator = "{";

	(void)fprintf(scrape->out, "%s%s", scrape->name, suffix);
	while ((label = va_arg(pairs, const char *))) {
		(void)fprintf(scrape->out, "%s%s=\"", separator, label);
		text(scrape, va_arg(pairs, const char *));
		(void)fputc('"', scrape->out);
		separator = ",";
	}
	(void)fputs(separator[0] == ',' ? "} " : " ", scrape->out);
}

void put(struct scrape *scrape, uint64_t value, ...)
{
	va_list pairs;

	va_start(pairs, value);
	begin(scrape, "", pairs);
	va_end(pairs);
	(void)fprintf(scrape->out, "%" PRIu64 "\n", value);
}

void put_seconds(struct scrape *scrape, double value, ...)
{
	va_list pairs;

	va_start(pairs, value);
	begin(scrape, "", pairs);
	va_end(pairs);
	(void)fprintf(scrape->out, "%.15g\n", value);
}

void put_histogram(struct scrape *scrape, const char *engine,
		   const struct stats_histogram *histogram)
{
	uint64_t count = 0;

	for (size_t i = 0; i <= STATS_BUCKETS; i++) {
		char bound[16] = "+Inf";

		count += histogram->buckets[i];
		if (i < STATS_BUCKETS)
			(void)snprintf(bound, sizeof(bound), "%g", stats_bounds_us[i] / 1e6);
		(void)fprintf(scrape->out, "%s_bucket{engine=\"%s\",le=\"%s\"} %" PRIu64 "\n",
			      scrape->name, engine, bound, count);
	}
	(void)fprintf(scrape->out, "%s_sum{engine=\"%s\"} %.9g\n", scrape->name, engine,
		      (double)histogram->sum_us / 1e6);
	(void)fprintf(scrape->out, "%s_count{engine=\"%s\"} %" PRIu64 "\n", scrape->name, engine,
		      count);
}
