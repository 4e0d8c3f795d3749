// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/kernel_side.h"

#include <errno.h>

#include "deny/deny.h"
#include "obs/log.h"

/* Connections to servers that the address hook knows at a time. One to a server elsewhere
 * keeps its entry of 128 bytes to its end. */
#define HOOK_CONNECTIONS 262144U

static int open_maps(struct relay *relay, const struct kern_shared *shared, char *why,
		     size_t why_size)
{
	const struct kern_params params = { .workers = relay->n_workers, .shared = shared };
	int err = kern_open(&params, &relay->kern, why, why_size);

	if (!err)
		err = kern_selftest(relay->kern, why, why_size);
	if (!err)
		return 0;
	kern_close(relay->kern);
	relay->kern = NULL;
	return err;
}

/* With those of the daemon we take over from what it has in the kernel goes on untouched. */
static int open_shared_maps(struct relay *relay, const struct take_over_all *from)
{
	const struct kern_shared *shared = take_over_pins(from, TAKEOVER_PINS_RELAY);
	char why[384] = "";
	int err;

	if (!shared)
		return -ENOENT;
	err = open_maps(relay, shared, why, sizeof(why));
	if (err)
		log_warn("kernel_path.not_shared reason=\"%s\" action=\"maps of its own; the other "
			 "daemon keeps the connections it has in the kernel\"",
			 why);
	return err;
}

/* Have the relay's kernel path, or say in one line why not and go on without. */
static void open_kern(struct relay *relay, const struct conf *conf,
		      const struct take_over_all *from)
{
	struct stats_part *part = &relay->kernel_path;

	if (open_shared_maps(relay, from) && !conf_wants_kernel(conf)) {
		log_info("kernel_path.off reason=\"not configured\" bulk=splice");
		return;
	}
	part->wanted = true;
	if (!relay->kern && open_maps(relay, NULL, part->why, sizeof(part->why))) {
		log_warn("kernel_path.off reason=\"%s\" bulk=splice", part->why);
		return;
	}
	part->on = true;
	log_info("kernel_path.on maps=%s selftest=passed", kern_pin_path(relay->kern));
}

/* With that of the daemon we take over from its connections' servers go on being told. */
static int open_shared_hook(const struct kern_hook_params *params, const struct take_over_all *from,
			    struct kern_hook **ret)
{
	const struct kern_shared *pins = take_over_pins(from, TAKEOVER_PINS_HOOK);
	struct kern_hook_params shared = *params;
	char why[384] = "";
	int err;

	if (!pins)
		return -ENOENT;
	shared.shared_path = pins->path;
	shared.shared_fd = pins->fd;
	err = kern_hook_open(&shared, ret, why, sizeof(why));
	if (err)
		log_warn("hook.not_shared engine=relay reason=\"%s\" action=\"one of its own; "
			 "servers "
			 "forget the clients they have when the other daemon ends\"",
			 why);
	return err;
}

/* Have servers told of their clients, or say in one line why not and go on without. */
static void open_hook(struct relay *relay, const struct take_over_all *from)
{
	struct kern_hook_params params = { .engine = KERN_HOOK_RELAY,
					   .connections = relay->max_connections };
	struct stats_part *part = &relay->hook_part;
	struct kern_hook *hook = NULL;

	if (params.connections > HOOK_CONNECTIONS)
		params.connections = HOOK_CONNECTIONS;
	part->wanted = true;
	part->on = !open_shared_hook(&params, from, &hook) ||
		   !kern_hook_open(&params, &hook, part->why, sizeof(part->why));
	if (!part->on)
		log_warn("hook.off engine=relay reason=\"%s\" client_address=none", part->why);
	__atomic_store_n(&relay->hook, hook, __ATOMIC_RELEASE);
}

void kernel_side_add(struct relay *relay, const struct conf *conf)
{
	if (!relay->hook && conf_wants_hook(conf))
		open_hook(relay, NULL);
}

void kernel_side_open(struct relay *relay, const struct conf *conf,
		      const struct take_over_all *from)
{
	if (!relay->n_workers)
		return;
	open_kern(relay, conf, from);
	if (conf_wants_hook(conf) || take_over_pins(from, TAKEOVER_PINS_HOOK))
		open_hook(relay, from);
	else
		log_info("hook.off engine=relay reason=\"not configured\"");
}

int kernel_side_deny(const struct conf *conf, struct loop *loop, struct deny **ret)
{
	const struct deny_params params = {
		.loop = loop,
		.file = conf->deny_file,
		.entries = conf->deny_entries,
		.needs_kernel = conf_count(conf, CONF_ENGINE_INLINE) > 0,
	};

	return deny_start(&params, ret);
}
