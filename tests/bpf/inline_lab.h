/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the inline engine's programs are shown packets one by one: in a network namespace of
 * the test's own, each test in every mode.
 *
 * Test runs: BPF_PROG_TEST_RUN; what the programs send goes out at lo, through up_out_eth,
 * and is caught there.
 * Devices: TUN or TAP, one towards the sender, one towards the host. All happens within
 * write(), so nothing waits.
 *
 *	sender  -> [in]  -> host      lab_in()  -> what the host gets
 *	sender <-  [out] <- host      lab_out() -> what the sender gets
 *	sender <- own packets         lab_reply()
 */
#ifndef TESTS_BPF_INLINE_LAB_H
#define TESTS_BPF_INLINE_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "inline_engine.skel.h"
#include "inline_packets.h"
#include "unproxy/flow_abi.h"

#define WIRE_PORT 80
#define APP_PORT 3000 /* of the modes that move the port */
#define LISTENER 7
#define MAX_FLOWS 4
#define MAX_DENIED 256
#define WINDOW_SENDER 501
#define WINDOW_HOST 4321
#define TIME_SENDER 0x11223344
#define TIME_HOST 0x99AABBCC

enum lab_sums { SUMS_NONE, SUMS_VOUCHED, SUMS_COMPLETE, SUMS_PARTIAL };

struct lab_mode {
	const char *name;
	int version;
	enum lab_sums sums;
	bool device, l3, moved, timestamps;
	uint32_t start; /* of the sender: sequence number of the header's first byte */
	uint32_t down;  /* of the host: of its first byte */
};

struct lab {
	struct inline_engine_bpf *skel;
	const struct lab_mode *mode;
	struct wire wire; /* of what the sender sends */
	uint8_t options;  /* the listener's, enum up_flow_option */
	uint32_t timeout_ms;
	uint16_t header_max;
	bool unseen;                /* the kernel showed nothing of the last packet: see lab_in() */
	struct up_flow_event event; /* the last one asked for */
	uint8_t event_header[UP_INLINE_HEADER_MAX];
};

extern struct lab lab;

/* cmocka group fixture. */
int lab_set_up(void **state);
int lab_tear_down(void **state);

/* A test of a cmocka table that is run once for each mode, with empty maps, a trusted sender
 * and no packet or event left from before; at its end there must be none, either. */
struct lab_test {
	void (*body)(void);
};
void lab_each(void **state);
int lab_after(void **state); /* names the mode that failed */
#define LAB_TEST(body)                                                        \
	{                                                                     \
#body, lab_each, NULL, lab_after, &(struct lab_test){ body }, \
	}

void lab_begin(const struct lab_mode *mode);
void lab_end(void);

/* Write listener, trust and ports from lab.options and the like. */
void lab_listen(void);

/* A packet from the sender. True: it was passed on, as *ret. In a test run of a COMPLETE
 * packet that has been shortened the kernel shows nothing (__skb_trim_rcsum() makes NONE of
 * it, and the run fails with EBADMSG): then lab.unseen is set. */
bool lab_in(const struct frame *in, struct frame *ret);

/* The same for the host's packets. */
bool lab_out(const struct frame *in, struct frame *ret);

/* The oldest packet that was sent to the sender and not asked for yet. */
bool lab_reply(struct frame *ret);

/* The next event, into lab.event; waits until there is one when `wait` is set, and sweeps
 * meanwhile: the kernel may have had no memory for the flow's timer. */
bool lab_event(bool wait);

/* Run up_sweep on the flow. Returns what it returned. */
int lab_sweep(void);

/* The same with up_kill. */
int lab_kill(void);

/* Let the header's time be over. */
void lab_expire(void);

uint64_t lab_stat(size_t offset);
#define STAT(field) lab_stat(offsetof(struct up_flow_stats, field))

/* The flow; false: there is none. */
bool lab_flow(struct up_flow *ret);
struct up_flow_key lab_key(uint16_t local_port);

#endif
