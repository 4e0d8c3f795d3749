// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/kernel_side.h"

#include "obs/log.h"

/* Connections to servers that the address hook knows at a time. One to a server elsewhere
 * keeps its entry of 128 bytes to its end. */
#define HOOK_CONNECTIONS 262144U

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
static void open_kern(struct relay *relay, const struct conf *conf)
{
	struct kern_params params = { .workers = relay->n_workers };
	char why[384] = "";

	if (!wants_kernel(conf)) {
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
static void open_hook(struct relay *relay)
{
	struct kern_hook_params params = { .engine = KERN_HOOK_RELAY,
					   .connections = relay->max_connections };
	struct kern_hook *hook = NULL;
	char why[384] = "";

	if (params.connections > HOOK_CONNECTIONS)
		params.connections = HOOK_CONNECTIONS;
	if (kern_hook_open(&params, &hook, why, sizeof(why)))
		log_warn("hook.off engine=relay reason=\"%s\" client_address=none", why);
	__atomic_store_n(&relay->hook, hook, __ATOMIC_RELEASE);
}

void kernel_side_add(struct relay *relay, const struct conf *conf)
{
	if (!relay->hook && wants_hook(conf))
		open_hook(relay);
}

void kernel_side_open(struct relay *relay, const struct conf *conf)
{
	if (!relay->n_workers)
		return;
	open_kern(relay, conf);
	if (wants_hook(conf))
		open_hook(relay);
	else
		log_info("hook.off engine=relay reason=\"not configured\"");
}
