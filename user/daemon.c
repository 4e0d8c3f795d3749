// SPDX-License-Identifier: BSD-2-Clause
#include "daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "change/change.h"
#include "daemon/activation.h"
#include "daemon/announce.h"
#include "daemon/capacity.h"
#include "daemon/kernel_side.h"
#include "daemon/observe.h"
#include "daemon/privileges.h"
#include "daemon/services.h"
#include "daemon/show.h"
#include "daemon/signals.h"
#include "daemon/watchdog.h"
#include "deny/deny.h"
#include "inline/inline.h"
#include "obs/log.h"
#include "obs/notify.h"
#include "relay/limits.h"
#include "relay/publish.h"
#include "relay/relay.h"

#define SWEEP_US 1000000
#define HINT " hint=\"run --takeover takes over from an unproxy that runs\""

struct daemon {
	struct loop *loop; /* of the main thread: signals and the clock */
	struct relay relay;
	struct generation *first;     /* until it is published */
	struct publish publish;       /* ... and the sockets it has until then */
	struct inline_engine *engine; /* NULL: no inline listener */
	unsigned n_started;
	struct loop_source signals;
	struct loop_source done; /* eventfd: a worker has stopped */
	struct loop_timer drain_timer;
	struct backend_show show;
	struct loop_timer sweep_timer;
	struct watchdog watchdog;
	struct change change;
	struct observe observe;
	struct services services;
	struct services_daemon self; /* as they know it */
	struct privileges privileges;
	unsigned n_done;
	bool draining;
	bool takeover; /* asked for */
	bool serving;  /* the start has come to its end */
};

/* What is served. */
static const struct conf *conf_of(const struct daemon *daemon)
{
	const struct generation *generation = daemon->relay.generations.newest;

	return (generation ? generation : daemon->first)->conf;
}

static int open_log(struct daemon *daemon)
{
	const struct conf *conf = conf_of(daemon);
	struct client_log_params params = {
		.path = conf->client_log,
		.format = conf->log_format,
		.workers = daemon->relay.planned + 1, /* the last is the main thread's */
	};
	int err;

	if (!conf->client_log)
		return 0;
	err = client_log_open(&params, &daemon->relay.log);
	if (err)
		log_error("client_log.failed path=\"%s\" error=\"%s\"", conf->client_log,
			  strerror(-err));
	return err;
}

static int open_inline(void *context)
{
	struct daemon *daemon = context;
	const struct inline_params params = {
		.conf = conf_of(daemon),
		.loop = daemon->loop,
		.log = daemon->relay.log,
		.log_queue = daemon->relay.planned,
		.drained = change_is_drained,
		.context = &daemon->change,
		.deny_fd = deny_map_fd(daemon->relay.deny),
	};

	if (!conf_count(conf_of(daemon), CONF_ENGINE_INLINE))
		return 0;
	return inline_start(&params, &daemon->engine);
}

static int open_relay(struct daemon *daemon, const struct conf *conf)
{
	struct relay *relay = &daemon->relay;
	int err;

	relay->limits = limits_new();
	relay->workers = calloc(relay->planned + 1, sizeof(struct worker *));
	if (!relay->limits || !relay->workers)
		return -ENOMEM;
	if (!conf_count(conf, CONF_ENGINE_RELAY))
		return 0;
	relay->n_workers = relay->planned;
	kernel_side_open(relay, conf, daemon->services.upgrade.from);
	err = workers_new(relay);
	if (err)
		log_error("start.failed error=\"workers: %s\"", strerror(-err));
	return err;
}

static int open_listeners(struct daemon *daemon)
{
	struct publish *publish = &daemon->publish;
	char why[512];
	int err;

	*publish = (struct publish){ .relay = &daemon->relay, .generation = daemon->first };
	err = publish_prepare(publish);
	if (err) {
		publish_explain(publish, err, why, sizeof(why));
		log_error("listen.failed error=\"%s\"%s", why, err == -EADDRINUSE ? HINT : "");
	}
	return err;
}

static void command_all(struct daemon *daemon, enum worker_command command)
{
	for (unsigned i = 0; i < daemon->n_started; i++)
		worker_command(daemon->relay.workers[i], command);
}

static void on_drain_timeout(struct loop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, drain_timer);

	log_warn("drain.timeout connections=%u action=reset",
		 __atomic_load_n(&daemon->relay.connections, __ATOMIC_RELAXED));
	command_all(daemon, WORKER_STOP);
}

/* End with the last connection, or when the time is over. */
static void drain(void *context)
{
	struct daemon *daemon = context;

	daemon->draining = true;
	daemon->change.stopping = true;
	if (!daemon->n_started) {
		loop_stop(daemon->loop);
		return;
	}
	command_all(daemon, WORKER_DRAIN);
	(void)loop_timer_arm(daemon->loop, &daemon->drain_timer,
			     (uint64_t)conf_of(daemon)->drain_timeout_ms * 1000);
}

static void on_stop_signal(struct daemon *daemon)
{
	notify_stopping();
	if (store_stops(&daemon->services.store))
		return;
	if (!daemon->n_started) {
		loop_stop(daemon->loop);
		return;
	}
	if (daemon->draining) {
		log_warn("stop.now connections=%u action=reset",
			 __atomic_load_n(&daemon->relay.connections, __ATOMIC_RELAXED));
		command_all(daemon, WORKER_STOP);
		return;
	}
	log_info("drain.start connections=%u timeout_ms=%u",
		 __atomic_load_n(&daemon->relay.connections, __ATOMIC_RELAXED),
		 conf_of(daemon)->drain_timeout_ms);
	notify_status("draining");
	drain(daemon);
}

/* Both that people mean by it. */
static void on_hangup(struct daemon *daemon)
{
	struct conf_error error;
	json_t *report = NULL;

	if (daemon->relay.log) {
		log_info("client_log.reopen path=\"%s\"", conf_of(daemon)->client_log);
		client_log_reopen(daemon->relay.log);
	}
	if (!conf_of(daemon)->file)
		return;
	notify_reloading();
	(void)change_reload(&daemon->change, &report, &error);
	json_decref(report);
	notify_ready("serving");
}

static void on_signal(struct loop_source *source, uint32_t events)
{
	struct daemon *daemon = container_of(source, struct daemon, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGHUP)
		on_stop_signal(daemon);
	else
		on_hangup(daemon);
}

static void on_done(struct loop_source *source, uint32_t events)
{
	struct daemon *daemon = container_of(source, struct daemon, done);
	uint64_t count = 0;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) == sizeof(count))
		daemon->n_done += (unsigned)count;
	if (daemon->n_done >= daemon->n_started)
		loop_stop(daemon->loop);
}

static void on_sweep(struct loop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, sweep_timer);

	generations_sweep(&daemon->relay.generations, daemon->relay.log);
	(void)loop_timer_arm(daemon->loop, timer, SWEEP_US);
}

static int open_signals(struct daemon *daemon)
{
	daemon->signals.fn = on_signal;
	daemon->signals.fd = signals_open();
	return daemon->signals.fd < 0 ? daemon->signals.fd
				      : loop_add(daemon->loop, &daemon->signals, EPOLLIN);
}

static int open_done(struct daemon *daemon)
{
	daemon->done.fn = on_done;
	daemon->done.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	daemon->relay.done_fd = daemon->done.fd;
	return daemon->done.fd < 0 ? -errno : loop_add(daemon->loop, &daemon->done, EPOLLIN);
}

/* Behind all that takes a privilege: threads keep what their maker has. */
static int start_workers(struct daemon *daemon)
{
	while (daemon->n_started < daemon->relay.n_workers) {
		int err = worker_start(daemon->relay.workers[daemon->n_started]);

		if (err)
			return err;
		daemon->n_started++;
	}
	return 0;
}

static int start_threads(struct daemon *daemon)
{
	int err = daemon->relay.log ? client_log_run(daemon->relay.log, daemon->privileges.log_caps)
				    : 0;

	if (!err)
		err = start_workers(daemon);
	if (err)
		log_error("start.failed threads=%u error=\"%s\"", daemon->n_started,
			  strerror(-err));
	if (err)
		return err;
	publish_commit(&daemon->publish);
	daemon->first = daemon->change.first = NULL;
	return observe_run(&daemon->observe);
}

/* A reload brings a listener that relays, maybe the first. */
static int provide_relay(struct change *change, const struct conf *conf)
{
	struct daemon *daemon = container_of(change, struct daemon, change);
	struct relay *relay = &daemon->relay;
	int err;

	if (relay->n_workers) {
		if (!change->sandboxed)
			kernel_side_add(relay, conf);
		return 0;
	}
	relay->n_workers = relay->planned;
	if (!relay->kern && !relay->hook)
		kernel_side_open(relay, conf, NULL);
	err = workers_new(relay);
	if (!err)
		err = start_workers(daemon);
	/* Those that run will do. */
	for (unsigned i = daemon->n_started; i < relay->n_workers; i++) {
		worker_free(relay->workers[i]);
		relay->workers[i] = NULL;
	}
	relay->n_workers = daemon->n_started;
	if (relay->n_workers && relay->kern)
		backend_show_start(&daemon->show, daemon->loop, relay);
	return relay->n_workers ? 0 : err;
}

static void set_up_change(struct daemon *daemon)
{
	daemon->self = (struct services_daemon){
		.context = daemon,
		.loop = daemon->loop,
		.relay = &daemon->relay,
		.engine = &daemon->engine,
		.change = &daemon->change,
		.observe = &daemon->observe,
		.open_inline = open_inline,
		.drain = drain,
	};
	daemon->change = (struct change){
		.relay = &daemon->relay,
		.engine = &daemon->engine,
		.loop = daemon->loop,
		.provide_relay = provide_relay,
		.log_queue = daemon->relay.planned,
		.first = daemon->first,
	};
}

static int open_loop(struct daemon *daemon)
{
	int err = loop_new(&daemon->loop);

	if (!err)
		err = mailbox_open(&daemon->relay.answers, daemon->loop);
	if (!err)
		err = open_signals(daemon);
	if (!err)
		err = open_done(daemon);
	if (err)
		log_error("start.failed error=\"event loop: %s\"", strerror(-err));
	return err;
}

static int start(struct daemon *daemon)
{
	const struct conf *conf = conf_of(daemon);
	int err = privileges_prepare(conf, &daemon->privileges);

	if (!err)
		err = activation_take(conf, &daemon->relay.inherited,
				      daemon->services.upgrade.kept);
	if (!err)
		err = open_loop(daemon);
	if (!err)
		err = open_log(daemon);
	if (!err)
		err = upgrade_begin(&daemon->services.upgrade, &daemon->relay, daemon->takeover);
	if (err)
		return err;
	set_up_change(daemon);
	take_over_changes(daemon->services.upgrade.from, &daemon->change);
	err = open_relay(daemon, conf);
	if (!err)
		err = open_listeners(daemon);
	daemon->observe.loop = daemon->loop;
	if (!err)
		err = upgrade_prepared(&daemon->services.upgrade);
	if (!err)
		err = kernel_side_deny(conf, daemon->loop, &daemon->relay.deny);
	if (!err && !daemon->services.upgrade.from) /* else the other one has it for now */
		err = observe_open(&daemon->observe, &conf->metrics);
	/* Last of what may fail on this host: what it attaches stays. */
	if (!err)
		err = open_inline(daemon);
	if (!err && !daemon->services.upgrade.from)
		services_open(&daemon->services, &daemon->self, conf);
	store_prepare(&daemon->services.store);
	if (!err)
		err = privileges_enter(&daemon->privileges, conf, &daemon->relay, daemon->engine);
	daemon->change.sandboxed = conf->sandbox;
	if (!err)
		err = upgrade_begun(&daemon->services.upgrade);
	if (!err)
		err = start_threads(daemon);
	if (!err)
		services_take_over(&daemon->services, &daemon->self, conf);
	return err;
}

static void stop(struct daemon *daemon)
{
	struct relay *relay = &daemon->relay;

	observe_close(&daemon->observe);
	(daemon->serving ? inline_stop : inline_undo)(daemon->engine);
	command_all(daemon, WORKER_STOP);
	for (unsigned i = 0; i < daemon->n_started; i++)
		worker_join(relay->workers[i]);
	mailbox_shut(&relay->answers); /* what the workers said last is heard */
	ctl_close(daemon->services.ctl);
	publish_cancel(&daemon->publish);
	for (unsigned i = 0; relay->workers && i < relay->n_workers; i++)
		worker_free(relay->workers[i]);
	free(relay->workers);
	kern_hook_close(relay->hook);
	kern_close(relay->kern);
	deny_stop(relay->deny);
	client_log_stop(relay->log);
	generation_discard(daemon->first);
	generations_free(&relay->generations);
	inherited_free(&relay->inherited);
	limits_free(relay->limits);
	services_end(&daemon->services);
	observe_end(&daemon->observe);
	mailbox_close(&relay->answers);
	relay_end(relay);
	cleanup_close(&daemon->done.fd);
	cleanup_close(&daemon->signals.fd);
	loop_free(daemon->loop);
}

static int start_all(struct daemon *daemon, struct conf *conf)
{
	struct relay *relay = &daemon->relay;
	int err;

	capacity_plan(relay, conf);
	(void)sem_init(&relay->updated, 0, 0);
	(void)sem_init(&relay->offered, 0, 0);
	generations_init(&relay->generations, relay->planned);
	announce_start(conf);
	err = upgrade_init(&daemon->services.upgrade, conf->control);
	if (!err)
		err = generation_new(&relay->generations, conf, &daemon->first);
	if (err)
		conf_free(conf);
	return err ? err : start(daemon);
}

int daemon_run(struct conf *conf, bool takeover)
{
	struct daemon daemon = {
		.takeover = takeover,
		.signals.fd = -1,
		.done.fd = -1,
		.drain_timer.fn = on_drain_timeout,
		.sweep_timer.fn = on_sweep,
		.relay = RELAY_NONE,
		.services = SERVICES_NONE,
		.observe = { .socket = -1,
			     .relay = &daemon.relay,
			     .engine = &daemon.engine,
			     .change = &daemon.change,
			     .draining = &daemon.draining,
			     .started_us = clock_us(CLOCK_REALTIME),
			     .began_us = clock_us(CLOCK_MONOTONIC) },
	};
	int err = start_all(&daemon, conf);

	daemon.serving = !err;
	if (!err) {
		if (daemon.relay.kern)
			backend_show_start(&daemon.show, daemon.loop, &daemon.relay);
		on_sweep(&daemon.sweep_timer);
		announce_serving(&daemon.relay, daemon.engine, daemon.privileges.text);
		watchdog_start(&daemon.watchdog, daemon.loop, &daemon.relay);
		notify_ready("serving");
		err = loop_run(daemon.loop);
		observe_last(&daemon.observe);
	}
	stop(&daemon);
	return err;
}
