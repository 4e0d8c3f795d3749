/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Conversations through the inline engine, packet by packet. Places are counted from the
 * beginning of each stream: 0 is the header's first byte on the wire, and the first byte of
 * what the app gets; and the host's first byte.
 */
#ifndef TESTS_BPF_INLINE_SCRIPT_H
#define TESTS_BPF_INLINE_SCRIPT_H

#include "inline_lab.h"

/* Headers of odd and even length. */
#define HEADER_ODD "PROXY TCP4 192.0.2.1 198.51.100.2 1000 80\r\n"
#define HEADER_EVEN "PROXY TCP4 192.0.2.1 198.51.100.2 10000 80\r\n"
#define LEN(text) ((uint32_t)sizeof(text) - 1)

/* From the sender, at a place of the wire; all of the host's bytes up to `heard`
 * acknowledged. */
struct segment sends(uint32_t at, uint8_t flags, const void *payload, size_t len);
/* The host's, which has got `heard` bytes, of what the app gets. */
struct segment answers(uint32_t at, uint32_t heard, uint8_t flags, const void *payload, size_t len);
/* A packet of the engine's own to the sender, as an answer to `to`. */
struct segment owns(const struct segment *to, uint32_t at, uint32_t heard, uint8_t flags);

struct segment syn(void);
struct segment syn_ack(void);

/* The sender's packet reaches the host, as it is but for place, flags and payload; or not. */
void in_passes(const struct segment *in, const struct segment *expect);
void in_drops(const struct segment *in);
/* The host's reaches the sender; or not. */
void out_passes(const struct segment *in, const struct segment *expect);
void out_drops(const struct segment *in);
/* By the host's own packet the host gets one, too (seen on devices alone). */
void host_gets(const struct segment *expect);
/* The sender gets a packet of our own. */
void replied(const struct segment *expect);
void no_reply(void);

/* As `in`, moved to the app's place `at`, without its first `cut` bytes. */
struct segment moved(const struct segment *in, uint32_t at, size_t cut);

/* What is left for the host of a packet that we have answered: nothing but its header. */
struct segment answered(const struct segment *in, uint8_t flags);

/* The packet that is refused becomes a RST to the host, and one to the sender. */
void both_reset(const struct segment *in, uint32_t at, uint32_t heard);

/* A SYN that is refused: the sender gets a RST, the host nothing, and no flow is made. The event
 * is taken. */
void syn_refused(enum up_reason reason);

/* SYN and SYN-ACK, both passed. */
void handshake(void);
/* With a header and payload in one segment; the event is taken. */
void open_with(const char *header, const char *payload);
/* The same, and the host has acknowledged the payload. */
void opened(const char *header, const char *payload);

/* The next event, which must be there. */
void event_is(enum up_flow_event_kind kind);
void refused_for(enum up_reason reason);
void ended_by(enum up_flow_end end, uint64_t up, uint64_t down);

enum up_flow_state flow_is(void);

#endif
