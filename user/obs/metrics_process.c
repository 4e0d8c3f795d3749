// SPDX-License-Identifier: BSD-2-Clause
#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "obs/metrics.h"

/* Since Linux 6.2 the directory's size is the number of its entries; before, it is 0. */
static uint64_t count_fds(void)
{
	uint64_t n = 0;
	struct stat st;
	DIR *dir;

	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size;
	dir = opendir("/proc/self/fd");
	if (!dir)
		return 0;
	for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
		n += entry->d_name[0] != '.';
	(void)closedir(dir);
	return n - 1; /* the directory's own */
}

static uint64_t resident_bytes(void)
{
	unsigned long long size, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return 0;
	if (fscanf(file, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	(void)fclose(file);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void metrics_process_read(struct metrics_process *ret)
{
	struct rusage usage = { 0 };
	struct rlimit limit = { 0 };

	(void)getrusage(RUSAGE_SELF, &usage);
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	*ret = (struct metrics_process){
		.cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
		.resident_bytes = resident_bytes(),
		.open_fds = count_fds(),
		.max_fds = limit.rlim_cur,
	};
}
