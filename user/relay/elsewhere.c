// SPDX-License-Identifier: BSD-2-Clause
#include "relay/elsewhere.h"

#include "base/addr.h"
#include "base/cleanup.h"

static struct adopted *find_adopted(const struct relay *relay, const struct up_addr *addr)
{
	for (size_t i = 0; i < relay->n_adopted; i++) {
		struct adopted *adopted = &relay->adopted[i];

		if (adopted->fd >= 0 && addr_equal(&adopted->addr, addr))
			return adopted;
	}
	return NULL;
}

bool elsewhere_has(const struct relay *relay, const struct up_addr *addr, size_t nth)
{
	return find_adopted(relay, addr) || nth < inherited_count(&relay->inherited, addr);
}

int elsewhere_take(const struct relay *relay, const struct up_addr *addr, size_t nth,
		   bool *ret_shared)
{
	struct adopted *adopted = find_adopted(relay, addr);
	int fd = adopted ? take_fd(&adopted->fd) : inherited_take(&relay->inherited, addr, nth);

	*ret_shared = !adopted && fd >= 0;
	return fd;
}
