/* SPDX-License-Identifier: BSD-2-Clause */
/* A configuration as text, by way of a file. For the tests of conf/, which include it once each. */
#ifndef TESTS_UNIT_CONF_FILE_H
#define TESTS_UNIT_CONF_FILE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "conf/conf.h"

static char path[] = "/tmp/unproxy-parse-test-XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	return unlink(path);
}

static int load_bytes(const char *text, size_t len, struct conf **ret, struct conf_error *error)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_TRUNC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	return conf_load(path, ret, error);
}

static struct conf *load(const char *text)
{
	struct conf_error error;
	struct conf *conf = NULL;

	if (load_bytes(text, strlen(text), &conf, &error) < 0)
		fail_msg("refused: %s", error.text);
	return conf;
}

#define _cleanup_conf_ _cleanup_(conf_freep)

#define LISTENER "[listener web]\nbind = *:80\ntrust = 10.0.0.0/8\nbackend = 127.0.0.1:3000\n"

#define BIND_EXPECTED \
	": expected ADDR:PORT or ADDR:FIRST-LAST, such as 0.0.0.0:80, *:80 or [::1]:80"
#define SERVER_EXPECTED ": expected ADDR:PORT, such as 127.0.0.1:3000 or [::1]:3000 (no host names)"

#endif
