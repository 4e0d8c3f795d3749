// SPDX-License-Identifier: BSD-2-Clause
/*
 * One request a connection, so that a connection that lasts is a slow client's. When there are
 * CLIENTS_MAX the oldest makes room for the newest: a client that is served at once, as a
 * scraper is, gets through whoever else holds connections open.
 */
#include "obs/metrics_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "obs/metrics.h"

#define CLIENTS_MAX 32
#define CLIENT_BYTES 8192U /* of a request's head */
#define CLIENT_TIMEOUT_S 5U

/* Whoever asks sooner again gets the same answer: a flood costs no snapshots. */
#define FRESH_US 100000

#define TEXT_PLAIN "text/plain; charset=utf-8"
#define TEXT_METRICS "text/plain; version=0.0.4; charset=utf-8"

struct client {
	int fd; /* -1: nobody */
	uint64_t number;
};

struct metrics_server {
	struct metrics_params params;
	int fd; /* the listening socket, until it runs */
	struct MHD_Daemon *http;
	struct client clients[CLIENTS_MAX];
	uint64_t n_clients;  /* so far */
	struct stats *stats; /* the newest; NULL: none */
	uint64_t taken_us;   /* CLOCK_MONOTONIC */
};

/* ---- answers ---- */

/* Takes body, of malloc(). */
static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
			      char *body)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	if (!body)
		return MHD_NO;
	response = MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(body);
		return MHD_NO;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result say(struct MHD_Connection *connection, unsigned status, const char *text)
{
	return answer(connection, status, TEXT_PLAIN, strdup(text));
}

static int refresh(struct metrics_server *server)
{
	uint64_t now_us = clock_us(CLOCK_MONOTONIC);
	struct stats *stats;
	int err;

	if (server->stats && now_us - server->taken_us < FRESH_US)
		return 0;
	err = server->params.fetch(server->params.context, &stats);
	if (err)
		return err;
	stats_free(server->stats);
	server->stats = stats;
	server->taken_us = clock_us(CLOCK_MONOTONIC);
	return 0;
}

static enum MHD_Result serve_metrics(struct metrics_server *server,
				     struct MHD_Connection *connection)
{
	struct metrics_process process;
	char *body = NULL;
	size_t size;
	FILE *out = open_memstream(&body, &size);
	int err;

	if (!out)
		return MHD_NO;
	metrics_process_read(&process);
	err = metrics_write(out, server->stats, &process);
	if (fclose(out) != 0 || err) {
		free(body);
		return MHD_NO;
	}
	return answer(connection, MHD_HTTP_OK, TEXT_METRICS, body);
}

static enum MHD_Result serve_ready(struct metrics_server *server, struct MHD_Connection *connection)
{
	const char *name, *reason = stats_unready(server->stats, &name);
	char text[128];

	if (!reason)
		return say(connection, MHD_HTTP_OK, "ready\n");
	(void)snprintf(text, sizeof(text), "not ready: %s%s%s\n", reason, name ? " " : "",
		       name ? name : "");
	return say(connection, MHD_HTTP_SERVICE_UNAVAILABLE, text);
}

static enum MHD_Result serve_health(struct metrics_server *server,
				    struct MHD_Connection *connection)
{
	(void)server;
	return say(connection, MHD_HTTP_OK, "ok\n");
}

static const struct {
	const char *path;
	enum MHD_Result (*serve)(struct metrics_server *server, struct MHD_Connection *connection);
} pages[] = {
	{ "/metrics", serve_metrics },
	{ "/healthz", serve_health },
	{ "/readyz", serve_ready },
};

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
				  const char *path, const char *method, const char *version,
				  const char *data, size_t *data_size, void **state)
{
	struct metrics_server *server = context;

	(void)version;
	(void)data;
	/* The first call is for the head alone: an answer now refuses a body. */
	if (*data_size || *state)
		return MHD_NO;
	*state = server;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return say(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD\n");
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		if (strcmp(path, pages[i].path) != 0)
			continue;
		if (refresh(server) < 0)
			return say(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
				   "the daemon does not answer\n");
		return pages[i].serve(server, connection);
	}
	return say(connection, MHD_HTTP_NOT_FOUND, "/metrics, /healthz or /readyz\n");
}

/* ---- clients ---- */

/* The place of nobody, or of whoever has been here longest: shut down, and libmicrohttpd will
 * find it so. */
static struct client *make_room(struct metrics_server *server)
{
	struct client *oldest = &server->clients[0];

	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &server->clients[i];

		if (client->fd < 0)
			return client;
		if (client->number < oldest->number)
			oldest = client;
	}
	(void)shutdown(oldest->fd, SHUT_RDWR);
	return oldest;
}

static void on_client(void *context, struct MHD_Connection *connection, void **state,
		      enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct metrics_server *server = context;

	(void)state;
	if (!info)
		return;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		*make_room(server) = (struct client){ info->connect_fd, ++server->n_clients };
		return;
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (server->clients[i].fd == info->connect_fd)
			server->clients[i].fd = -1;
	}
}

/* ---- life ---- */

/* What it says is what clients do: nobody's business. */
static void __attribute__((format(printf, 2, 0)))
ignore(void *context, const char *format, va_list args)
{
	(void)context;
	(void)format;
	(void)args;
}

int metrics_server_open(const struct metrics_params *params, struct metrics_server **ret)
{
	struct metrics_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->params = *params;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		server->clients[i].fd = -1;
	server->fd = fcntl(params->fd, F_DUPFD_CLOEXEC, 0);
	if (server->fd < 0) {
		int err = -errno;

		free(server);
		return err;
	}
	*ret = server;
	return 0;
}

int metrics_server_run(struct metrics_server *server)
{
	server->http =
		MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0,
				 NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, ignore,
				 NULL, MHD_OPTION_LISTEN_SOCKET, server->fd,
				 MHD_OPTION_CONNECTION_LIMIT, 2 * CLIENTS_MAX,
				 MHD_OPTION_CONNECTION_TIMEOUT, CLIENT_TIMEOUT_S,
				 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CLIENT_BYTES,
				 MHD_OPTION_NOTIFY_CONNECTION, on_client, server, MHD_OPTION_END);
	if (!server->http)
		return errno ? -errno : -ENOMEM;
	server->fd = -1; /* closed by it */
	return 0;
}

void metrics_server_close(struct metrics_server *server)
{
	if (!server)
		return;
	if (server->http) {
		/* Else it is shut down, for all who have it. */
		server->fd = MHD_quiesce_daemon(server->http);
		MHD_stop_daemon(server->http);
	}
	if (server->fd >= 0)
		(void)close(server->fd);
	stats_free(server->stats);
	free(server);
}
