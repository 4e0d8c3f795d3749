// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "obs/log.h"

/* Whose it is; or NULL, and why not. */
static const struct conf_listener *owner(const struct conf *conf, const char *name,
					 const struct up_addr *addr, char *why, size_t why_size)
{
	const struct conf_listener *found = NULL, *named = NULL;

	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_listener *listener = &conf->listeners[i];

		if (conf_binds(listener, addr))
			found = listener;
		if (strcmp(listener->name, name) == 0)
			named = listener;
	}
	if (named && found != named) {
		(void)snprintf(why, why_size, "[listener %s], whose name it has, does not bind it",
			       name);
		return NULL;
	}
	if (!found)
		(void)snprintf(why, why_size, "no listener binds it");
	return found;
}

static int take(const struct conf *conf, int fd, const char *name, struct inherited *ret)
{
	char text[ADDR_TEXT_MAX] = "-", why[160] = "";
	const struct up_addr *addr;
	int err = inherited_add(ret, fd, why, sizeof(why));

	if (err) {
		log_error("activation.failed socket=%d name=\"%s\" error=\"%s\"", fd, name, why);
		return err;
	}
	addr = &ret->sockets[ret->n - 1].addr;
	if (owner(conf, name, addr, why, sizeof(why)))
		return 0;
	addr_format(addr, text, sizeof(text));
	log_error("activation.failed socket=%d name=\"%s\" address=%s error=\"%s\"", fd, name, text,
		  why);
	return -EADDRNOTAVAIL;
}

/* A name alone could also be a listener's. */
static bool is_packets(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

/* Is it of what an earlier daemon has left? */
static bool keep(int fd, const char *name, int kept[STORE_PART__MAX])
{
	int flags = fcntl(fd, F_GETFL);

	for (unsigned i = 0; i < STORE_PART__MAX; i++) {
		if (strcmp(store_names[i], name) != 0 || !is_packets(fd))
			continue;
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
		cleanup_close(&kept[i]); /* the manager has one of a name: see store_begin() */
		kept[i] = fd;
		return true;
	}
	return false;
}

int activation_take(const struct conf *conf, struct inherited *ret, int kept[STORE_PART__MAX])
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names), err = n < 0 ? n : 0;

	if (n < 0)
		log_error("activation.failed error=\"LISTEN_FDS: %s\"", strerror(-n));
	for (int i = 0; i < n; i++) {
		if (!err && !keep(SD_LISTEN_FDS_START + i, names[i], kept))
			err = take(conf, SD_LISTEN_FDS_START + i, names[i], ret);
		free(names[i]);
	}
	free(names);
	return err;
}
