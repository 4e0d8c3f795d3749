// SPDX-License-Identifier: BSD-2-Clause
#include "loop/mailbox.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* In place of the head: shut. */
static struct letter shut_mark;

static void read_all(struct letter *newest)
{
	struct letter *oldest = NULL;

	while (newest && newest != &shut_mark) {
		struct letter *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct letter *next = oldest->next;

		oldest->fn(oldest);
		oldest = next;
	}
}

static void on_event(struct loop_source *source, uint32_t events)
{
	struct mailbox *mailbox = container_of(source, struct mailbox, source);
	uint64_t count;

	(void)events;
	(void)!read(source->fd, &count, sizeof(count));
	/* Shut stays shut: a mailbox that is not shut by its receiver is open here. */
	read_all(__atomic_exchange_n(&mailbox->head, NULL, __ATOMIC_ACQ_REL));
}

int mailbox_open(struct mailbox *mailbox, struct loop *loop)
{
	*mailbox = (struct mailbox){ .source.fn = on_event };
	mailbox->source.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return mailbox->source.fd < 0 ? -errno : loop_add(loop, &mailbox->source, EPOLLIN);
}

int mailbox_post(struct mailbox *mailbox, struct letter *letter)
{
	struct letter *head = __atomic_load_n(&mailbox->head, __ATOMIC_ACQUIRE);
	uint64_t one = 1;

	do {
		if (head == &shut_mark)
			return -ESHUTDOWN;
		letter->next = head;
	} while (!__atomic_compare_exchange_n(&mailbox->head, &head, letter, true, __ATOMIC_ACQ_REL,
					      __ATOMIC_ACQUIRE));
	/* With letters before it the receiver is awake, or about to. */
	if (!head)
		(void)!write(mailbox->source.fd, &one, sizeof(one));
	return 0;
}

void mailbox_shut(struct mailbox *mailbox)
{
	read_all(__atomic_exchange_n(&mailbox->head, &shut_mark, __ATOMIC_ACQ_REL));
}

void mailbox_close(struct mailbox *mailbox)
{
	if (mailbox->source.fd >= 0)
		(void)close(mailbox->source.fd);
	mailbox->source.fd = -1;
}
