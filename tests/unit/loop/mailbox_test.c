/* SPDX-License-Identifier: BSD-2-Clause */
/* Letters between threads: each arrives once, in order, and none after the box is shut. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "loop/mailbox.h"

#define LETTERS 20000
#define SENDERS 4

struct note {
	struct letter letter;
	struct desk *desk;
	unsigned sender, number;
};

struct desk {
	struct loop *loop;
	struct mailbox mailbox;
	unsigned next[SENDERS];
	unsigned received;
};

struct sender {
	struct desk *desk;
	unsigned index;
	struct note notes[LETTERS];
};

static void on_note(struct letter *letter)
{
	struct note *note = container_of(letter, struct note, letter);
	struct desk *desk = note->desk;

	assert_int_equal(note->number, desk->next[note->sender]++);
	if (++desk->received == SENDERS * LETTERS)
		loop_stop(desk->loop);
}

static void *send_all(void *arg)
{
	struct sender *sender = arg;

	for (unsigned i = 0; i < LETTERS; i++) {
		sender->notes[i] = (struct note){ .letter.fn = on_note,
						  .desk = sender->desk,
						  .sender = sender->index,
						  .number = i };
		if (mailbox_post(&sender->desk->mailbox, &sender->notes[i].letter))
			return NULL;
	}
	return sender;
}

static void each_once_and_in_order(void **state)
{
	struct sender *senders = calloc(SENDERS, sizeof(*senders));
	struct desk desk = { 0 };
	pthread_t threads[SENDERS];

	assert_int_equal(loop_new(&desk.loop), 0);
	assert_int_equal(mailbox_open(&desk.mailbox, desk.loop), 0);
	for (unsigned i = 0; i < SENDERS; i++) {
		senders[i].desk = &desk;
		senders[i].index = i;
		assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
	}
	assert_int_equal(loop_run(desk.loop), 0);
	for (unsigned i = 0; i < SENDERS; i++) {
		void *sent = NULL;

		assert_int_equal(pthread_join(threads[i], &sent), 0);
		assert_ptr_equal(sent, &senders[i]);
		assert_int_equal(desk.next[i], LETTERS);
	}
	mailbox_close(&desk.mailbox);
	loop_free(desk.loop);
	free(senders);
}

/* What was posted before is read by whoever shuts it; afterwards the sender keeps its letter. */
static void none_is_lost_at_the_end(void **state)
{
	struct desk desk = { 0 };
	struct note before = { .letter.fn = on_note, .desk = &desk }, after = before;

	assert_int_equal(loop_new(&desk.loop), 0);
	assert_int_equal(mailbox_open(&desk.mailbox, desk.loop), 0);
	assert_int_equal(mailbox_post(&desk.mailbox, &before.letter), 0);
	mailbox_shut(&desk.mailbox);
	assert_int_equal(desk.received, 1);
	assert_int_equal(mailbox_post(&desk.mailbox, &after.letter), -ESHUTDOWN);
	assert_int_equal(desk.received, 1);
	mailbox_shut(&desk.mailbox);
	mailbox_close(&desk.mailbox);
	loop_free(desk.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_once_and_in_order),
		cmocka_unit_test(none_is_lost_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
