/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection as it is handed on: round trip, every cut, hostile values, other versions. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"
#include "takeover/record.h"

static const uint8_t tlvs[] = { 4, 0, 2, 'x', 'y' };
static const uint8_t up[] = "bytes on their way up";
static const uint8_t down[] = "and down";

static struct handed make(void)
{
	struct handed handed = {
		.listener = "cable",
		.backend = "rails",
		.accepted_us = 1234567890123,
		.idle_since_us = 7,
		.idle_bytes = 8,
		.timer_us = 9,
		.cookies = { 11, 12 },
		.header_us = 13,
		.connect_us = 14,
		.header_len = 15,
		.written_header = 16,
		.state = HANDED_HALF,
		.fin = HANDED_FIN_SERVER,
		.version = 2,
		.command = 1,
		.flags = HANDED_STACKED | HANDED_OUTSIDE,
		.flows = { { .copied = UINT64_MAX,
			     .spliced = 1,
			     .bulk = 2,
			     .path = HANDED_KERNEL,
			     .kernel_refused = true,
			     .accel = { .used = true,
					.slot = 77,
					.before = 3,
					.ahead = 4,
					.kernel_mode = true,
					.waiting = true },
			     .pending_len = sizeof(up),
			     .pending = up },
			   { .path = HANDED_SPLICE,
			     .ended = true,
			     .splice_refused = true,
			     .pending_len = sizeof(down),
			     .pending = down } },
		.tlv_len = sizeof(tlvs),
		.tlvs = tlvs,
	};

	assert_int_equal(addr_parse("198.51.100.7:5555", &handed.client), 0);
	assert_int_equal(addr_parse("10.0.0.1:6666", &handed.balancer), 0);
	assert_int_equal(addr_parse("[2001:db8::1]:443", &handed.destination), 0);
	return handed;
}

/* Into buf; returns its length. */
static size_t pack(const struct handed *handed, uint8_t *buf, size_t size)
{
	struct writer w = { .at = buf, .end = buf + size };

	handed_write(handed, &w);
	assert_false(w.overrun);
	return (size_t)(w.at - buf);
}

static int unpack(const uint8_t *buf, size_t len, struct handed *ret)
{
	/* Memory of its own, so that a read beyond is seen. */
	uint8_t *copy = malloc(len + 1);
	struct reader r = { .at = copy, .end = copy + len };
	int err;

	assert_non_null(copy);
	memcpy(copy, buf, len);
	err = handed_read(&r, ret);
	free(copy);
	return err;
}

static void assert_same_flow(const struct handed_flow *a, const struct handed_flow *b)
{
	assert_int_equal(a->copied, b->copied);
	assert_int_equal(a->spliced, b->spliced);
	assert_int_equal(a->bulk, b->bulk);
	assert_int_equal(a->path, b->path);
	assert_int_equal(a->ended, b->ended);
	assert_int_equal(a->kernel_refused, b->kernel_refused);
	assert_int_equal(a->splice_refused, b->splice_refused);
	assert_int_equal(a->accel.used, b->accel.used);
	assert_int_equal(a->accel.slot, b->accel.slot);
	assert_int_equal(a->accel.before, b->accel.before);
	assert_int_equal(a->accel.ahead, b->accel.ahead);
	assert_int_equal(a->accel.kernel_mode, b->accel.kernel_mode);
	assert_int_equal(a->accel.waiting, b->accel.waiting);
	assert_int_equal(a->pending_len, b->pending_len);
	assert_memory_equal(a->pending, b->pending, a->pending_len);
}

static void comes_back_as_it_was(void **state)
{
	struct handed handed = make(), got;
	uint8_t buf[HANDED_RECORD_MAX], tail[256];
	size_t len = pack(&handed, buf, sizeof(buf));
	struct writer w = { .at = tail, .end = tail + sizeof(tail) };

	(void)state;
	handed_write_tail(&handed, &w);
	assert_false(w.overrun);
	assert_int_equal(unpack(buf, len, &got), 0);
	assert_null(got.tlvs);
	assert_int_equal(handed_tail_len(&got), w.at - tail);
	assert_int_equal(handed_attach_tail(&got, tail, (size_t)(w.at - tail)), 0);

	assert_string_equal(got.listener, handed.listener);
	assert_string_equal(got.backend, handed.backend);
	assert_true(addr_equal(&got.client, &handed.client));
	assert_true(addr_equal(&got.balancer, &handed.balancer));
	assert_true(addr_equal(&got.destination, &handed.destination));
	assert_int_equal(got.server.family, UP_FAMILY_NONE);
	assert_int_equal(got.accepted_us, handed.accepted_us);
	assert_int_equal(got.idle_since_us, handed.idle_since_us);
	assert_int_equal(got.idle_bytes, handed.idle_bytes);
	assert_int_equal(got.timer_us, handed.timer_us);
	assert_int_equal(got.cookies[0], handed.cookies[0]);
	assert_int_equal(got.cookies[1], handed.cookies[1]);
	assert_int_equal(got.header_us, handed.header_us);
	assert_int_equal(got.connect_us, handed.connect_us);
	assert_int_equal(got.header_len, handed.header_len);
	assert_int_equal(got.written_header, handed.written_header);
	assert_int_equal(got.state, handed.state);
	assert_int_equal(got.fin, handed.fin);
	assert_int_equal(got.version, handed.version);
	assert_int_equal(got.command, handed.command);
	assert_int_equal(got.flags, handed.flags);
	assert_same_flow(&got.flows[0], &handed.flows[0]);
	assert_same_flow(&got.flows[1], &handed.flows[1]);
	assert_int_equal(got.tlv_len, sizeof(tlvs));
	assert_memory_equal(got.tlvs, tlvs, sizeof(tlvs));
}

static void every_cut_is_refused(void **state)
{
	struct handed handed = make(), got;
	uint8_t buf[HANDED_RECORD_MAX];
	size_t len = pack(&handed, buf, sizeof(buf));

	(void)state;
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(unpack(buf, cut, &got), -EBADMSG);
}

static void no_room_is_told(void **state)
{
	struct handed handed = make();
	uint8_t buf[HANDED_RECORD_MAX];
	size_t len = pack(&handed, buf, sizeof(buf));

	(void)state;
	for (size_t size = 0; size < len; size++) {
		uint8_t *small = malloc(size + 1);
		struct writer w = { .at = small, .end = small + size };

		assert_non_null(small);
		handed_write(&handed, &w);
		assert_true(w.overrun);
		free(small);
	}
}

static void another_version_is_not_guessed_at(void **state)
{
	struct handed handed = make(), got;
	uint8_t buf[HANDED_RECORD_MAX];
	size_t len = pack(&handed, buf, sizeof(buf));
	uint16_t version = TAKEOVER_VERSION + 1;

	(void)state;
	memcpy(buf, &version, sizeof(version));
	assert_int_equal(unpack(buf, len, &got), -EPROTONOSUPPORT);
}

/* Whatever is changed: refused, or read without a step beyond its bytes. */
static void any_byte_may_be_any_other(void **state)
{
	struct handed handed = make(), got;
	uint8_t buf[HANDED_RECORD_MAX];
	size_t len = pack(&handed, buf, sizeof(buf));

	(void)state;
	for (size_t i = sizeof(uint16_t); i < len; i++) {
		uint8_t was = buf[i];

		for (int value = 0; value < 256; value++) {
			int err;

			buf[i] = (uint8_t)value;
			err = unpack(buf, len, &got);
			assert_true(err == 0 || err == -EBADMSG);
			if (err)
				continue;
			assert_true(got.state < HANDED__MAX && got.fin < HANDED_FIN__MAX);
			assert_true(got.flows[0].pending_len <= HANDED_PENDING_MAX);
			assert_true(got.flows[1].pending_len <= HANDED_PENDING_MAX);
			assert_true(strlen(got.listener) < sizeof(got.listener));
		}
		buf[i] = was;
	}
}

static int judge(const struct handed *handed)
{
	uint8_t buf[HANDED_RECORD_MAX];
	struct handed got;

	return unpack(buf, pack(handed, buf, sizeof(buf)), &got);
}

static void what_cannot_be_is_refused(void **state)
{
	struct handed handed;

	(void)state;
#define REFUSED(change)                                     \
	do {                                                \
		handed = make();                            \
		assert_int_equal(judge(&handed), 0);        \
		change;                                     \
		assert_int_equal(judge(&handed), -EBADMSG); \
	} while (0)
	REFUSED(handed.listener[0] = '\0');
	REFUSED(handed.accepted_us = 0);
	REFUSED(handed.state = HANDED__MAX);
	REFUSED(handed.fin = HANDED_FIN__MAX);
	REFUSED(handed.version = 3);
	REFUSED(handed.command = 2);
	REFUSED(handed.flags = 0x80);
	REFUSED(handed.cookies[0] = 0);
	REFUSED(handed.cookies[1] = 0);
	REFUSED(handed.state = HANDED_HEADER);
	REFUSED(handed.state = HANDED_RELAY);
	REFUSED(handed.flows[0].ended = true);
	REFUSED(handed.flows[0].path = 0);
	REFUSED(handed.flows[1].path = HANDED_PATH__MAX);
	REFUSED(handed.flows[1].pending_len = HANDED_PENDING_MAX + 1);
	REFUSED(handed.client.family = 5);
#undef REFUSED
}

static void a_tail_of_another_length_is_refused(void **state)
{
	struct handed handed = make(), got;
	uint8_t buf[HANDED_RECORD_MAX], tail[256] = { 0 };
	size_t len = pack(&handed, buf, sizeof(buf));
	size_t whole = handed_tail_len(&handed);

	(void)state;
	assert_int_equal(unpack(buf, len, &got), 0);
	for (size_t n = 0; n < sizeof(tail); n++)
		assert_int_equal(handed_attach_tail(&got, tail, n), n == whole ? 0 : -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back_as_it_was),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(no_room_is_told),
		cmocka_unit_test(another_version_is_not_guessed_at),
		cmocka_unit_test(any_byte_may_be_any_other),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(a_tail_of_another_length_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
