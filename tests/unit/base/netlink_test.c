// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/netlink.h"

#define LO 1 /* of every network namespace */
#define NOBODY 0x7FFFFFFF

struct link_request {
	struct nlmsghdr head;
	struct ifinfomsg link;
};

static struct link_request links(uint16_t flags, int index)
{
	return (struct link_request){
		.head = { .nlmsg_len = sizeof(struct link_request),
			  .nlmsg_type = RTM_GETLINK,
			  .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) },
		.link = { .ifi_index = index },
	};
}

static const char *name_of(const struct nlmsghdr *message)
{
	return RTA_DATA(netlink_attr(message, sizeof(struct ifinfomsg), IFLA_IFNAME));
}

static void one_answer(void **state)
{
	struct nlmsghdr answer[8192 / sizeof(struct nlmsghdr)];
	struct link_request request = links(0, LO);
	ssize_t n = netlink_ask(NETLINK_ROUTE, &request, sizeof(request), answer, sizeof(answer));

	assert_true(n > 0);
	assert_int_equal(answer->nlmsg_type, RTM_NEWLINK);
	assert_string_equal(name_of(answer), "lo");
	assert_null(netlink_attr(answer, sizeof(struct ifinfomsg), 0x3FFF));
	assert_null(netlink_nested(NULL, IFLA_INFO_KIND));
}

static void an_error_and_an_ack(void **state)
{
	struct nlmsghdr answer[8192 / sizeof(struct nlmsghdr)];
	struct link_request request = links(0, NOBODY);

	assert_int_equal(netlink_ask(NETLINK_ROUTE, &request, sizeof(request), answer,
				     sizeof(answer)),
			 -ENODEV);
	request = links(NLM_F_ACK, LO);
	request.head.nlmsg_type = NLMSG_NOOP;
	assert_int_equal(netlink_ask(NETLINK_ROUTE, &request, sizeof(request), answer,
				     sizeof(answer)),
			 0);
}

static int find_lo(void *context, const struct nlmsghdr *message)
{
	bool *found = context;

	*found |= strcmp(name_of(message), "lo") == 0;
	return 0;
}

static int refuse(void *context, const struct nlmsghdr *message)
{
	unsigned *told = context;

	(void)message;
	++*told;
	return -ECANCELED;
}

static void a_dump(void **state)
{
	struct link_request request = links(NLM_F_DUMP, 0);
	unsigned told = 0;
	bool found = false;

	assert_int_equal(netlink_dump(NETLINK_ROUTE, &request, sizeof(request), find_lo, &found),
			 0);
	assert_true(found);
	assert_int_equal(netlink_dump(NETLINK_ROUTE, &request, sizeof(request), refuse, &told),
			 -ECANCELED);
	assert_int_equal(told, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_answer),
		cmocka_unit_test(an_error_and_an_ack),
		cmocka_unit_test(a_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
