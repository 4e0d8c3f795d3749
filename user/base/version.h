/* SPDX-License-Identifier: BSD-2-Clause */
/* The one place of the version: the Makefile, the package and the man pages take it from here. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define UNPROXY_VERSION "0.1.0"
#define UNPROXY_DATE "2026-11-21" /* of the version: stands in the man pages */

#endif
