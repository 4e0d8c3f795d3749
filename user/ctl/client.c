// SPDX-License-Identifier: BSD-2-Clause
#include "ctl/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ctl/commands.h"
#include "ctl/message.h"
#include "obs/log.h"

/* Requests of one client in a row, before it is others' turn. */
#define LINES_MAX 16

static void step(struct loop_deferred *deferred);

/* All that follows from an event is done after the batch, in one place: whoever answers need
 * not know what becomes of the client. */
static void schedule(struct ctl_client *client)
{
	if (client->scheduled)
		return;
	client->scheduled = true;
	client->deferred.destroy = step;
	loop_defer(client->ctl->context->loop, &client->deferred);
}

void ctl_client_drop(struct ctl_client *client)
{
	client->dead = true;
	schedule(client);
}

bool ctl_client_idle(const struct ctl_client *client)
{
	return !client->request.pending && client->out_at == client->out_len && !client->dead;
}

void ctl_client_free(struct ctl_client *client)
{
	struct loop *loop = client->ctl->context->loop;

	if (client->request.pending && client->request.cancel)
		client->request.cancel(&client->request);
	json_decref(client->request.args);
	loop_timer_cancel(loop, &client->stall);
	loop_timer_cancel(loop, &client->again);
	list_remove(&client->all);
	client->ctl->counters.clients--;
	(void)close(client->source.fd);
	free(client->out);
	free(client);
}

/* ---- bytes out ---- */

static void compact(struct ctl_client *client)
{
	memmove(client->out, client->out + client->out_at, client->out_len - client->out_at);
	client->out_len -= client->out_at;
	client->out_at = 0;
}

static int grow(struct ctl_client *client, size_t need)
{
	size_t size = client->out_size ? client->out_size : 4096;
	char *out;

	while (size < need)
		size *= 2;
	if (size > CTL_QUEUE_MAX)
		return -E2BIG;
	out = realloc(client->out, size);
	if (!out)
		return -ENOMEM;
	client->out = out;
	client->out_size = size;
	return 0;
}

static void put(struct ctl_client *client, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (client->dead)
		return;
	if (client->out_at > 0)
		compact(client);
	if (!text || (client->out_len + len > client->out_size &&
		      grow(client, client->out_len + len) != 0)) {
		log_warn("control.dropped pid=%d reason=\"an answer that does not fit\"",
			 (int)client->request.pid);
		client->ctl->counters.dropped++;
		ctl_client_drop(client);
		return;
	}
	memcpy(client->out + client->out_len, text, len);
	client->out_len += len;
	schedule(client);
}

static void on_stall(struct loop_timer *timer)
{
	struct ctl_client *client = container_of(timer, struct ctl_client, stall);

	log_warn("control.dropped pid=%d reason=\"it does not read\"", (int)client->request.pid);
	client->ctl->counters.dropped++;
	ctl_client_drop(client);
}

static void flush(struct ctl_client *client)
{
	struct loop *loop = client->ctl->context->loop;
	bool moved = false;
	ssize_t n = 0;

	while (client->out_at < client->out_len) {
		n = send(client->source.fd, client->out + client->out_at,
			 client->out_len - client->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			break;
		client->out_at += (size_t)n;
		moved = true;
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		client->dead = true;
	if (client->out_at == client->out_len)
		loop_timer_cancel(loop, &client->stall);
	else if (moved || !client->stall.place)
		(void)loop_timer_arm(loop, &client->stall, CTL_STALL_US);
}

/* ---- answers ---- */

static struct ctl_client *client_of(struct ctl_request *request)
{
	return container_of(request, struct ctl_client, request);
}

static void say(struct ctl_request *request, json_t *body)
{
	char *line = ctl_line(request->id, body);

	put(client_of(request), line);
	free(line);
}

static int finish(struct ctl_request *request, json_t *body)
{
	say(request, body);
	request->pending = false;
	schedule(client_of(request));
	return 0;
}

int ctl_reply(struct ctl_request *request, json_t *data)
{
	json_t *body = json_object();

	if (!data)
		data = json_object();
	(void)json_object_set_new(body, "ok", json_true());
	(void)json_object_set_new(body, "data", data);
	return finish(request, body);
}

int ctl_end(struct ctl_request *request)
{
	return finish(request,
		      json_pack("{s:b, s:I}", "ok", 1, "count", (json_int_t)request->n_items));
}

static int fail_with(struct ctl_request *request, const char *error, const char *text)
{
	return finish(request,
		      json_pack("{s:b, s:s, s:s}", "ok", 0, "error", error, "message", text));
}

int ctl_fail(struct ctl_request *request, const char *error, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	ctl_plain(text);
	return fail_with(request, error, text);
}

bool ctl_item(struct ctl_request *request, json_t *item)
{
	char *text = json_dumps(item, JSON_COMPACT);
	bool more = ctl_item_text(request, text ? text : "null");

	free(text);
	json_decref(item);
	return more;
}

bool ctl_item_text(struct ctl_request *request, const char *json)
{
	struct ctl_client *client = client_of(request);
	char *line = ctl_item_line(request->id, json);

	request->n_items++;
	put(client, line);
	free(line);
	request->paused = client->out_len - client->out_at >= CTL_QUEUE_ENOUGH;
	return !client->dead && !request->paused;
}

const char *ctl_text(const struct ctl_request *request, const char *name)
{
	return json_string_value(json_object_get(request->args, name));
}

/* ---- requests ---- */

static void begin(struct ctl_client *client, const char *line, size_t len)
{
	struct ctl_message message = ctl_parse(line, len, ctl_commands);
	struct ctl_request *request = &client->request;
	int err;

	json_decref(request->args);
	*request = (struct ctl_request){
		.context = client->ctl->context,
		.command = message.command,
		.args = message.args,
		.id = message.id,
		.pid = request->pid,
		.pending = true,
	};
	client->ctl->counters.requests++;
	if (message.error) {
		(void)fail_with(request, message.error, message.text);
		return;
	}
	err = message.command->fn(request);
	if (err)
		(void)ctl_fail(request, "failed", "%s", strerror(-err));
}

static void too_long(struct ctl_client *client)
{
	struct ctl_request *request = &client->request;

	json_decref(request->args);
	request->args = request->id = NULL;
	(void)ctl_fail(request, "too_long", "a request is at most %d bytes", CTL_LINE_MAX);
	client->in_len = 0;
	client->eof = true; /* where the next one begins is not known */
}

/* The next line, if there is one. At the end of all input a newline may be missing. */
static bool next_request(struct ctl_client *client)
{
	const char *newline = memchr(client->in, '\n', client->in_len);
	size_t len = newline ? (size_t)(newline - client->in) : client->in_len;
	size_t taken = newline ? len + 1 : len;

	if (!newline && (!client->eof || !len)) {
		if (client->in_len == CTL_LINE_MAX)
			too_long(client);
		return false;
	}
	begin(client, client->in, len);
	client->in_len -= taken;
	memmove(client->in, client->in + taken, client->in_len);
	return true;
}

static void watch(struct ctl_client *client)
{
	bool waits = client->out_at < client->out_len;
	uint32_t events = 0;

	if (waits)
		events |= EPOLLOUT;
	if (!client->eof && !client->request.pending && !waits)
		events |= EPOLLIN;
	(void)loop_modify(client->ctl->context->loop, &client->source, events);
}

/* A list was told to pause, and much of it has been read. */
static bool may_go_on(const struct ctl_client *client)
{
	return !client->dead && client->request.pending && client->request.paused &&
	       client->out_len - client->out_at < CTL_QUEUE_ENOUGH / 2;
}

static void step(struct loop_deferred *deferred)
{
	struct ctl_client *client = container_of(deferred, struct ctl_client, deferred);
	int left = LINES_MAX;

	flush(client);
	if (may_go_on(client)) {
		client->request.paused = false;
		client->request.more(&client->request);
		flush(client);
	}
	while (ctl_client_idle(client) && left-- > 0 && next_request(client))
		flush(client);
	flush(client);
	client->scheduled = false;
	if (client->dead || (client->eof && ctl_client_idle(client) && !client->in_len)) {
		ctl_client_free(client);
		return;
	}
	if (may_go_on(client) || (ctl_client_idle(client) && left < 0))
		(void)loop_timer_arm(client->ctl->context->loop, &client->again, 0);
	watch(client);
}

static void on_again(struct loop_timer *timer)
{
	schedule(container_of(timer, struct ctl_client, again));
}

static void receive(struct ctl_client *client)
{
	ssize_t n = recv(client->source.fd, client->in + client->in_len,
			 sizeof(client->in) - client->in_len, MSG_DONTWAIT);

	if (n > 0)
		client->in_len += (size_t)n;
	else if (n == 0)
		client->eof = true;
	else if (errno != EAGAIN && errno != EINTR)
		client->dead = true;
}

static void on_event(struct loop_source *source, uint32_t events)
{
	struct ctl_client *client = container_of(source, struct ctl_client, source);

	/* Whoever spoke last is the last to make room for others. */
	list_remove(&client->all);
	list_append(&client->ctl->clients, &client->all);
	if (events & EPOLLIN && client->in_len < sizeof(client->in))
		receive(client);
	else if (events & (EPOLLHUP | EPOLLERR))
		client->dead = true;
	schedule(client);
}

int ctl_client_new(struct ctl *ctl, int fd)
{
	struct ctl_client *client = calloc(1, sizeof(*client));
	struct ucred peer = { .pid = -1 };
	socklen_t len = sizeof(peer);
	int err;

	if (!client)
		return -ENOMEM;
	(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	client->ctl = ctl;
	client->source = (struct loop_source){ .fn = on_event, .fd = fd };
	client->stall.fn = on_stall;
	client->again.fn = on_again;
	client->request.pid = peer.pid;
	err = loop_add(ctl->context->loop, &client->source, EPOLLIN);
	if (err) {
		free(client);
		return err;
	}
	list_append(&ctl->clients, &client->all);
	ctl->counters.clients++;
	return 0;
}
