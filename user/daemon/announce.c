// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/announce.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/version.h"
#include "obs/log.h"

/* Of a line of the log: the rest is counted. */
#define LIST_MAX 720

struct list_text {
	char text[LIST_MAX];
	size_t len;
	size_t left_out;
};

/* One more word, whole or not at all. */
static void __attribute__((format(printf, 2, 3)))
add(struct list_text *list, const char *format, ...)
{
	size_t room = sizeof(list->text) - list->len;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(list->text + list->len, room, format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room) {
		list->text[list->len] = '\0';
		list->left_out++;
		return;
	}
	list->len += (size_t)n;
}

static void add_relay(struct list_text *list, const struct conf_listener *listener)
{
	char text[ADDR_TEXT_MAX], more[32] = "";

	addr_format(&listener->binds[0].addr, text, sizeof(text));
	if (listener->n_binds > 1)
		(void)snprintf(more, sizeof(more), "+%zu", listener->n_binds - 1);
	add(list, "%s%s=%s%s", list->len ? " " : "", listener->name, text, more);
}

static void add_inline(struct list_text *list, const struct conf_listener *listener)
{
	const char *space = list->len ? " " : "";

	if (listener->port.app == listener->port.wire)
		add(list, "%s%s=:%u", space, listener->name, listener->port.wire);
	else
		add(list, "%s%s=:%u->%u", space, listener->name, listener->port.wire,
		    listener->port.app);
}

static void listeners(const struct conf *conf)
{
	struct list_text list = { 0 };
	char more[48] = "";

	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_listener *listener = &conf->listeners[i];

		if (listener->engine == CONF_ENGINE_INLINE)
			add_inline(&list, listener);
		else
			add_relay(&list, listener);
	}
	if (list.left_out)
		(void)snprintf(more, sizeof(more), ", and %zu more", list.left_out);
	log_info("listeners.open listeners=%zu list=\"%s%s\"", conf->n_listeners, list.text, more);
}

void announce_start(const struct conf *conf)
{
	bool relay = conf_count(conf, CONF_ENGINE_RELAY) > 0;
	bool engine = conf_count(conf, CONF_ENGINE_INLINE) > 0;

	log_info("start version=%s pid=%d engines=%s%s%s config=\"%s\"", UNPROXY_VERSION,
		 (int)getpid(), relay ? "relay" : "", relay && engine ? "," : "",
		 engine ? "inline" : "", conf->file ? conf->file : "flags");
}

static void hooks(const struct kern_hook *relay, const struct kern_hook *engine)
{
	const struct kern_hook *one = relay ? relay : engine;
	bool both = relay && engine;

	if (!one)
		return;
	log_info("hook.on engine=%s%s%s cgroup=%s reach=%s maps=%s%s%s", relay ? "relay" : "",
		 both ? "," : "", engine ? "inline" : "", kern_hook_cgroup(one),
		 kern_hook_whole_host(one) ? "host" : "container", kern_hook_pin_path(one),
		 both ? "," : "", both ? kern_hook_pin_path(engine) : "");
}

static void ready(const struct relay *relay, const char *privileges)
{
	char uring[128] = "";

	if (relay->n_workers && !relay->io_uring)
		(void)snprintf(uring, sizeof(uring), " io_uring=off");
	else if (relay->n_workers && relay->uring_error)
		(void)snprintf(uring, sizeof(uring), " io_uring=\"off: %s\"",
			       strerror(-relay->uring_error));
	else if (relay->n_workers)
		(void)snprintf(uring, sizeof(uring), " io_uring=on");
	log_info("ready workers=%u%s max_connections=%u%s", relay->n_workers, uring,
		 relay->max_connections, privileges);
}

void announce_serving(const struct relay *relay, const struct inline_engine *engine,
		      const char *privileges)
{
	hooks(relay->hook, inline_hook(engine));
	listeners(relay->generations.newest->conf);
	ready(relay, privileges);
}

void announce_stopped(const struct stats *stats)
{
	const struct stats_counts *c = &stats->relay.counts;

	log_info("stopped accepted=%llu closed=%llu refused=%llu probes=%llu bytes_missing=%llu "
		 "handbacks=%llu log_dropped=%llu",
		 (unsigned long long)c->accepted, (unsigned long long)c->closed,
		 (unsigned long long)stats_refused(c), (unsigned long long)stats_probes(c),
		 (unsigned long long)c->ended[STATS_END_BYTES_MISSING],
		 (unsigned long long)stats_handbacks(c), (unsigned long long)stats->log_dropped);
}
