// SPDX-License-Identifier: BSD-2-Clause
#include "daemon.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/addr.h"
#include "inline/inline.h"
#include "obs/log.h"
#include "relay/limits.h"
#include "relay/relay.h"

/* Descriptors that are not connections: logs, maps, rings, listeners, pipes in use. */
#define FDS_RESERVED 256

#define SHOW_BACKENDS_US 1000000

/* Connections to servers that the address hook knows at a time. One to a server elsewhere
 * keeps its entry of 128 bytes to its end. */
#define HOOK_CONNECTIONS 262144U

struct daemon {
	const struct conf *conf;
	struct loop *loop; /* of the main thread: signals and the clock */
	struct relay relay;
	struct inline_engine *engine; /* NULL: no inline listener */
	struct worker **workers;
	unsigned n_started;
	struct loop_source signals;
	struct loop_source done; /* eventfd: a worker has stopped */
	struct loop_timer drain_timer;
	struct loop_timer show_timer;
	unsigned n_done;
	bool draining;
};

static unsigned count_cpus(void)
{
	cpu_set_t set;

	/* Not the host's number: a container or taskset may allow fewer. */
	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

/* As many connections as there are descriptors for, two each. */
static uint32_t connection_limit(const struct conf *conf)
{
	struct rlimit limit;
	uint32_t fit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > UINT32_MAX)
		limit.rlim_cur = 1 << 20;
	fit = limit.rlim_cur > 2 * FDS_RESERVED ? (uint32_t)(limit.rlim_cur - FDS_RESERVED) / 2
						: (uint32_t)limit.rlim_cur / 4;
	if (conf->max_connections > fit)
		log_warn("limit.lowered max_connections=%u to=%u reason=\"RLIMIT_NOFILE is %llu\"",
			 conf->max_connections, fit, (unsigned long long)limit.rlim_cur);
	return conf->max_connections && conf->max_connections < fit ? conf->max_connections : fit;
}

static bool wants_kernel(const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_listeners; i++) {
		if (conf->listeners[i].engine == CONF_ENGINE_RELAY &&
		    conf->listeners[i].kernel_path != CONF_KERNEL_OFF)
			return true;
	}
	return false;
}

/* Have the relay's kernel path, or say in one line why not and go on without. */
static void open_kern(struct daemon *daemon)
{
	struct relay *relay = &daemon->relay;
	struct kern_params params = { .workers = relay->n_workers };
	char why[384] = "";

	if (!relay->n_workers)
		return;
	if (!wants_kernel(daemon->conf)) {
		log_info("kernel_path.off reason=\"not configured\" bulk=splice");
		return;
	}
	if (kern_open(&params, &relay->kern, why, sizeof(why)) == 0 &&
	    kern_selftest(relay->kern, why, sizeof(why)) == 0) {
		log_info("kernel_path.on maps=%s selftest=passed", kern_pin_path(relay->kern));
		return;
	}
	kern_close(relay->kern);
	relay->kern = NULL;
	log_warn("kernel_path.off reason=\"%s\" bulk=splice", why);
}

static bool wants_hook(const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_backends; i++) {
		if (conf->backends[i].client_address == CONF_CLIENT_HOOK)
			return true;
	}
	return false;
}

/* Have servers told of their clients, or say in one line why not and go on without. */
static void open_hook(struct daemon *daemon)
{
	struct relay *relay = &daemon->relay;
	struct kern_hook_params params = { .engine = KERN_HOOK_RELAY,
					   .connections = relay->max_connections };
	char why[384] = "";

	if (!relay->n_workers || !wants_hook(daemon->conf))
		return;
	if (params.connections > HOOK_CONNECTIONS)
		params.connections = HOOK_CONNECTIONS;
	if (kern_hook_open(&params, &relay->hook, why, sizeof(why))) {
		log_warn("hook.off engine=relay reason=\"%s\" client_address=none", why);
		return;
	}
	log_info("hook.on engine=relay cgroup=%s reach=%s maps=%s", kern_hook_cgroup(relay->hook),
		 kern_hook_whole_host(relay->hook) ? "host" : "container",
		 kern_hook_pin_path(relay->hook));
}

static int open_log(struct daemon *daemon)
{
	const struct conf *conf = daemon->conf;
	struct client_log_params params = {
		.path = conf->client_log,
		.format = conf->log_format,
		.workers = daemon->relay.n_workers + 1, /* the last is the main thread's */
	};
	int err;

	if (!conf->client_log)
		return 0;
	err = client_log_start(&params, &daemon->relay.log);
	if (err)
		log_error("client_log.failed path=\"%s\" error=\"%s\"", conf->client_log,
			  strerror(-err));
	return err;
}

static int open_inline(struct daemon *daemon)
{
	const struct inline_params params = {
		.conf = daemon->conf,
		.loop = daemon->loop,
		.log = daemon->relay.log,
		.log_queue = daemon->relay.n_workers,
	};

	if (!conf_count(daemon->conf, CONF_ENGINE_INLINE))
		return 0;
	return inline_start(&params, &daemon->engine);
}

static int open_pools(struct daemon *daemon)
{
	const struct conf *conf = daemon->conf;
	struct relay *relay = &daemon->relay;

	relay->pools = calloc(conf->n_backends + 1, sizeof(*relay->pools));
	relay->listener_connections = calloc(conf->n_listeners, sizeof(uint32_t));
	relay->limits = limits_new();
	if (!relay->pools || !relay->listener_connections || !relay->limits)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_backends; i++) {
		int err = pool_new(&conf->backends[i], &relay->pools[i]);

		if (err)
			return err;
	}
	return 0;
}

static int open_workers(struct daemon *daemon)
{
	struct relay *relay = &daemon->relay;

	daemon->workers = calloc(relay->n_workers + 1, sizeof(*daemon->workers));
	if (!daemon->workers)
		return -ENOMEM;
	for (unsigned i = 0; i < relay->n_workers; i++) {
		const struct conf_bind *which = NULL;
		int err = worker_new(relay, i, &daemon->workers[i], &which);
		char text[ADDR_TEXT_MAX] = "-";

		if (!err)
			continue;
		if (which)
			addr_format(&which->addr, text, sizeof(text));
		log_error("listen.failed address=%s error=\"%s\"", text, strerror(-err));
		return err;
	}
	return 0;
}

static void command_all(struct daemon *daemon, enum worker_command command)
{
	for (unsigned i = 0; i < daemon->n_started; i++)
		worker_command(daemon->workers[i], command);
}

static void on_drain_timeout(struct loop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, drain_timer);

	log_warn("drain.timeout connections=%u action=reset",
		 __atomic_load_n(&daemon->relay.connections, __ATOMIC_RELAXED));
	command_all(daemon, WORKER_STOP);
}

static void on_stop_signal(struct daemon *daemon)
{
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
	daemon->draining = true;
	log_info("drain.start connections=%u timeout_ms=%u",
		 __atomic_load_n(&daemon->relay.connections, __ATOMIC_RELAXED),
		 daemon->conf->drain_timeout_ms);
	command_all(daemon, WORKER_DRAIN);
	(void)loop_timer_arm(daemon->loop, &daemon->drain_timer,
			     (uint64_t)daemon->conf->drain_timeout_ms * 1000);
}

static void on_signal(struct loop_source *source, uint32_t events)
{
	struct daemon *daemon = container_of(source, struct daemon, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGHUP) {
		on_stop_signal(daemon);
	} else if (daemon->relay.log) {
		log_info("client_log.reopen path=\"%s\"", daemon->conf->client_log);
		client_log_reopen(daemon->relay.log);
	}
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

static void show_pool(struct daemon *daemon, size_t which, uint32_t *number)
{
	const struct pool *pool = daemon->relay.pools[which];

	for (size_t i = 0; i < pool_size(pool); i++) {
		struct up_backend shown = { 0 };
		struct pool_stat stat;

		pool_stat(pool, (int)i, &stat);
		snprintf(shown.backend, sizeof(shown.backend), "%s",
			 daemon->conf->backends[which].name);
		addr_format(&stat.addr, shown.server, sizeof(shown.server));
		shown.weight = stat.weight;
		shown.active = stat.active;
		shown.total = stat.total;
		shown.failed = stat.failed;
		shown.resting = stat.resting;
		kern_show_backend(daemon->relay.kern, (*number)++, &shown);
	}
}

static void on_show(struct loop_timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, show_timer);
	uint32_t number = 0;

	for (size_t i = 0; i < daemon->conf->n_backends; i++)
		show_pool(daemon, i, &number);
	(void)loop_timer_arm(daemon->loop, timer, SHOW_BACKENDS_US);
}

/* Signals are blocked in every thread and read by this one. */
static int open_signals(struct daemon *daemon)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	daemon->signals.fn = on_signal;
	daemon->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return daemon->signals.fd < 0 ? -errno : loop_add(daemon->loop, &daemon->signals, EPOLLIN);
}

static int open_done(struct daemon *daemon)
{
	daemon->done.fn = on_done;
	daemon->done.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	daemon->relay.done_fd = daemon->done.fd;
	return daemon->done.fd < 0 ? -errno : loop_add(daemon->loop, &daemon->done, EPOLLIN);
}

static int start(struct daemon *daemon)
{
	int err = loop_new(&daemon->loop);

	if (!err)
		err = open_signals(daemon);
	if (!err)
		err = open_done(daemon);
	if (!err)
		err = open_pools(daemon);
	if (!err)
		err = open_log(daemon);
	if (err)
		return err;
	open_kern(daemon);
	open_hook(daemon);
	err = open_workers(daemon);
	while (!err && daemon->n_started < daemon->relay.n_workers) {
		err = worker_start(daemon->workers[daemon->n_started]);
		if (!err)
			daemon->n_started++;
	}
	/* Last: what it attaches stays when a later step fails. */
	return err ? err : open_inline(daemon);
}

static void say_ready(const struct daemon *daemon)
{
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < daemon->conf->n_listeners; i++) {
		const struct conf_listener *listener = &daemon->conf->listeners[i];

		if (listener->engine == CONF_ENGINE_INLINE) {
			log_info("listener.open listener=%s engine=inline port=%u app_port=%u",
				 listener->name, listener->port.wire, listener->port.app);
			continue;
		}
		addr_format(&listener->binds[0].addr, text, sizeof(text));
		log_info("listener.open listener=%s address=%s binds=%zu backend=%s",
			 listener->name, text, listener->n_binds, listener->backend->name);
	}
	log_info("ready workers=%u max_connections=%u", daemon->relay.n_workers,
		 daemon->relay.max_connections);
}

static void say_goodbye(const struct daemon *daemon)
{
	const struct relay_counters *c = &daemon->relay.counters;

	log_info("stopped accepted=%llu closed=%llu refused=%llu probes=%llu bytes_missing=%llu "
		 "handbacks=%llu log_dropped=%llu",
		 (unsigned long long)c->accepted, (unsigned long long)c->closed,
		 (unsigned long long)c->refused, (unsigned long long)c->probes,
		 (unsigned long long)c->bytes_missing, (unsigned long long)c->handbacks,
		 (unsigned long long)(daemon->relay.log ? client_log_dropped(daemon->relay.log)
							: 0));
}

static void stop(struct daemon *daemon)
{
	struct relay *relay = &daemon->relay;

	inline_stop(daemon->engine);
	command_all(daemon, WORKER_STOP);
	for (unsigned i = 0; i < daemon->n_started; i++)
		worker_join(daemon->workers[i]);
	for (unsigned i = 0; daemon->workers && i < relay->n_workers; i++)
		worker_free(daemon->workers[i]);
	free(daemon->workers);
	kern_hook_close(relay->hook);
	kern_close(relay->kern);
	client_log_stop(relay->log);
	for (size_t i = 0; relay->pools && i < daemon->conf->n_backends; i++)
		pool_free(relay->pools[i]);
	free(relay->pools);
	free(relay->listener_connections);
	limits_free(relay->limits);
	if (daemon->done.fd >= 0)
		(void)close(daemon->done.fd);
	if (daemon->signals.fd >= 0)
		(void)close(daemon->signals.fd);
	loop_free(daemon->loop);
}

int daemon_run(const struct conf *conf)
{
	struct daemon daemon = {
		.conf = conf,
		.signals.fd = -1,
		.done.fd = -1,
		.drain_timer.fn = on_drain_timeout,
		.show_timer.fn = on_show,
		.relay = { .conf = conf, .done_fd = -1 },
	};
	int err;

	if (conf_count(conf, CONF_ENGINE_RELAY))
		daemon.relay.n_workers = conf->workers ? conf->workers : count_cpus();
	daemon.relay.max_connections = connection_limit(conf);
	err = start(&daemon);
	if (!err) {
		if (daemon.relay.kern)
			on_show(&daemon.show_timer);
		say_ready(&daemon);
		err = loop_run(daemon.loop);
		say_goodbye(&daemon);
	}
	stop(&daemon);
	return err;
}
