// SPDX-License-Identifier: BSD-2-Clause
/*
 * The inline engine's pins: /sys/fs/bpf/unproxy/inline/<map> and prog_<program>. They are
 * what connections live on when the daemon is gone, and what the next one takes over.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "kern/inline_internal.h"
#include "kern/internal.h"

#define PATH_ROOM (INLINE_PATH_MAX + 32)

uint64_t kern_netns(void)
{
	struct stat st;

	return stat("/proc/thread-self/ns/net", &st) < 0 ? 0 : st.st_ino;
}

/* Not the one that is lent to us: it has a pin of its own. */
static bool is_pinned(const struct bpf_map *map)
{
	return !bpf_map__is_internal(map) && !strstr(bpf_map__name(map), "scratch") &&
	       strcmp(bpf_map__name(map), "deny_list") != 0;
}

static void path_of(const char *pin_path, const char *prefix, const char *name, char *ret)
{
	(void)snprintf(ret, PATH_ROOM, "%s/%s%s", pin_path, prefix, name);
}

int inline_read_attachments(int map_fd, struct attachments *ret)
{
	const void *previous = NULL;

	for (ret->n = 0; ret->n < INTERFACES_MAX; ret->n++) {
		if (bpf_map_get_next_key(map_fd, previous, &ret->indexes[ret->n]) < 0)
			return errno == ENOENT ? 0 : -errno;
		if (bpf_map_lookup_elem(map_fd, &ret->indexes[ret->n], &ret->entries[ret->n]) < 0)
			return -errno;
		previous = &ret->indexes[ret->n];
	}
	return 0;
}

/* Interfaces that an earlier instance attached to. None: what it pinned was never used. */
static int read_pinned(const char *pin_path, struct attachments *ret)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_ROOM];

	path_of(pin_path, "", "attachments", path);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	return inline_read_attachments(fd, ret);
}

static void print_type(void *out, const char *format, va_list args)
{
	(void)vfprintf(out, format, args);
}

/* A type and all it is made of, as C. The caller frees it; NULL: no memory, no such type. */
static char *type_text(const struct btf *btf, uint32_t id)
{
	char *text = NULL;
	size_t size;
	FILE *out = btf ? open_memstream(&text, &size) : NULL;
	struct btf_dump *dump = out ? btf_dump__new(btf, print_type, out, NULL) : NULL;
	int err = dump ? btf_dump__dump_type(dump, id) : -EINVAL;

	btf_dump__free(dump);
	if (out)
		(void)fclose(out);
	if (err) {
		free(text);
		return NULL;
	}
	return text;
}

/* Do the values mean the same, member by member? A layout of the same size that is another
 * one would be read as rubbish. Maps whose values have no type (a ring) are the same. */
static bool same_types(const struct bpf_object *object, const struct bpf_map *map,
		       const struct bpf_map_info *pinned)
{
	uint32_t id = bpf_map__btf_value_type_id(map);
	_cleanup_free_ char *ours = NULL, *theirs = NULL;
	struct btf *btf;

	if (!id)
		return true;
	ours = type_text(bpf_object__btf(object), id);
	btf = pinned->btf_id ? btf__load_from_kernel_by_id(pinned->btf_id) : NULL;
	/* To read it by its number takes CAP_SYS_ADMIN. Without, the layout's version, compared
	 * before, has to do. */
	if (!btf && pinned->btf_id && errno == EPERM)
		return true;
	theirs = type_text(btf, pinned->btf_value_type_id);
	btf__free(btf);
	return ours && theirs && strcmp(ours, theirs) == 0;
}

static bool same_layout(const struct bpf_object *object, const struct bpf_map *map, int pinned_fd,
			char *why, size_t why_size)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(pinned_fd, &info, &len) < 0)
		return false;
	if (!same_types(object, map, &info)) {
		(void)snprintf(why, why_size, "the pinned map %s holds another version's values",
			       bpf_map__name(map));
		return false;
	}
	if (info.type == bpf_map__type(map) && info.key_size == bpf_map__key_size(map) &&
	    info.value_size == bpf_map__value_size(map) &&
	    info.max_entries == bpf_map__max_entries(map) &&
	    info.map_flags == bpf_map__map_flags(map))
		return true;
	(void)snprintf(why, why_size,
		       "the pinned map %s has another layout (key %u value %u entries %u, wanted "
		       "%u %u %u)",
		       bpf_map__name(map), info.key_size, info.value_size, info.max_entries,
		       bpf_map__key_size(map), bpf_map__value_size(map), bpf_map__max_entries(map));
	return false;
}

static int reuse_map(const struct bpf_object *object, struct bpf_map *map, const char *pin_path,
		     char *why, size_t why_size)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_ROOM];

	path_of(pin_path, "", bpf_map__name(map), path);
	fd = bpf_obj_get(path);
	if (fd < 0) {
		(void)snprintf(why, why_size, "the pinned map %s cannot be opened: %s",
			       bpf_map__name(map), strerror(errno));
		return -ESTALE;
	}
	if (!same_layout(object, map, fd, why, why_size))
		return -ESTALE;
	return bpf_map__reuse_fd(map, fd);
}

/* Another network namespace's connections are none of ours, and an older version's we
 * cannot read. */
static int check_attachments(const struct attachments *found, uint64_t netns, char *why,
			     size_t why_size)
{
	for (size_t i = 0; i < found->n; i++) {
		if (found->entries[i].netns != netns) {
			(void)snprintf(why, why_size,
				       "what is pinned belongs to another network namespace");
			return -ESTALE;
		}
		if (found->entries[i].abi != UP_FLOW_ABI) {
			(void)snprintf(why, why_size,
				       "what is pinned is another version's (layout %u, wanted %d)",
				       found->entries[i].abi, UP_FLOW_ABI);
			return -ESTALE;
		}
	}
	return 0;
}

int inline_adopt(struct bpf_object *object, const struct kern_inline *kern, bool *ret_adopted,
		 char *why, size_t why_size)
{
	_cleanup_free_ struct attachments *found = calloc(1, sizeof(*found));
	struct bpf_map *map;
	int err;

	*ret_adopted = false;
	if (!found)
		return -ENOMEM;
	err = read_pinned(kern->pin_path, found);
	if (err == -ENOENT || (err == 0 && found->n == 0)) {
		kern_pin_empty(kern->pin_dir_fd);
		return 0;
	}
	if (err) {
		(void)snprintf(why, why_size, "pinned attachments: %s", strerror(-err));
		return err;
	}
	err = check_attachments(found, kern->netns, why, why_size);
	bpf_object__for_each_map (map, object) {
		if (!err && is_pinned(map))
			err = reuse_map(object, map, kern->pin_path, why, why_size);
	}
	*ret_adopted = !err;
	return err;
}

int inline_pin_maps(struct bpf_object *object, const char *pin_path)
{
	struct bpf_map *map;

	bpf_object__for_each_map (map, object) {
		char path[PATH_ROOM];
		int err;

		if (!is_pinned(map))
			continue;
		path_of(pin_path, "", bpf_map__name(map), path);
		err = bpf_map__pin(map, path);
		if (err)
			return err;
	}
	return 0;
}

int inline_pin_programs(struct bpf_object *object, const char *pin_path)
{
	struct bpf_program *program;

	bpf_object__for_each_program (program, object) {
		char fresh[PATH_ROOM], path[PATH_ROOM];

		path_of(pin_path, "new_", bpf_program__name(program), fresh);
		path_of(pin_path, "prog_", bpf_program__name(program), path);
		(void)unlink(fresh);
		if (bpf_obj_pin(bpf_program__fd(program), fresh) < 0 || rename(fresh, path) < 0)
			return -errno;
	}
	return 0;
}

void inline_unpin(const char *pin_path, int dir_fd)
{
	char root[INLINE_PATH_MAX];
	char *slash;

	kern_pin_empty(dir_fd);
	(void)rmdir(pin_path);
	/* The root too, when there is nothing else in it: ENOTEMPTY otherwise. */
	(void)snprintf(root, sizeof(root), "%s", pin_path);
	slash = strrchr(root, '/');
	if (slash) {
		*slash = '\0';
		(void)rmdir(root);
	}
}
