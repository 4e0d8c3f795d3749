# SPDX-License-Identifier: BSD-2-Clause
#
# unproxy: takes the PROXY protocol off in the kernel
#
# Two commands that set everything up by themselves (Debian 12, as root):
#   make demo      a real balancer, a real WebSocket app, unproxy between them
#   make test      everything below, and a summary as its last line
#
# Building:
#   make           build/unproxy                      (needs: make setup, once)
#   make setup     install the packages that the build and the tests need
#   make install   to $(DESTDIR)$(PREFIX)             (PREFIX=/usr/local); make uninstall
#   make deb       a Debian package, in build/deb, and what lintian says of it
#   make clean     remove build/
#   make compile_commands.json                        for clangd
#
# Testing:
#   make check     style, lint, headers, sizes, licences: the rules as code
#   make fmt       reformat all C in place
#   make test-unit no root, ASan + UBSan              (ONLY=word: matching files alone)
#   make test-bpf  root: loaded programs over real sockets
#   make test-e2e  root: the whole in network namespaces (ONLY=word: pytest -k word)
#   make fuzz      each fuzzer for FUZZ_SECONDS=60
#   make test-diff the parser against an independent one, on generated headers
#   make soak      root: both engines under churn for SOAK_SECONDS=600; what grows is a failure
#   make bench     side by side with HAProxy, nginx and go-mmproxy
#
# Variables: V=1 shows commands; SAN=address,undefined builds with sanitisers into
# build/address-undefined; WERROR=1 turns warnings into errors (check and test do);
# BUILD=dir puts all output there, so that two people can build one tree at once.

V ?= 0
SAN ?=
WERROR ?= 0
ONLY ?=
FUZZ_SECONDS ?= 60
BUILD ?= build
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= $(PREFIX)/lib/systemd/system
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
CC = gcc
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
BPFTOOL ?= bpftool
PYTHON ?= /usr/bin/python3
VMLINUX_BTF ?= /sys/kernel/btf/vmlinux

# bpftool lives in sbin, which is not on everybody's path.
export PATH := $(PATH):/usr/sbin:/sbin
export BUILD WERROR

comma := ,
empty :=
space := $(empty) $(empty)
VARIANT ?= $(if $(SAN),$(subst $(comma),-,$(SAN)),release)
OUT := $(BUILD)/$(VARIANT)
GEN := $(BUILD)/gen

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n'
MAKEFLAGS += --no-print-directory
endif

MAKEFLAGS += -r
.DELETE_ON_ERROR:
.SUFFIXES:
.SECONDARY:

# ---- flags ------------------------------------------------------------------------

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wunused -Wwrite-strings -Wpointer-arith -Wundef -Wvla -Wformat-security -Wimplicit-fallthrough \
	-Wno-unused-parameter -Wno-missing-field-initializers
VERSION := $(shell sed -n 's/^#define UNPROXY_VERSION "\(.*\)"$$/\1/p' user/base/version.h)
# A packager's own flags come last.
EXTRA_CPPFLAGS ?=
EXTRA_CFLAGS ?=
EXTRA_LDFLAGS ?=

WERR := $(if $(filter 1,$(WERROR)),-Werror)
HARDEN := $(if $(SAN),,-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=undefined -fno-omit-frame-pointer)

CPPFLAGS := -D_GNU_SOURCE -Iinclude -Iuser -I$(GEN) $(EXTRA_CPPFLAGS)
CFLAGS := -std=gnu11 -O2 -g -fno-strict-aliasing $(WARN) $(WERR) $(HARDEN) $(SANFLAGS) $(EXTRA_CFLAGS)
# argv of a subcommand under test is made of literals.
TEST_CFLAGS = $(CFLAGS) -Wno-write-strings
LDFLAGS := $(SANFLAGS) -Wl,--as-needed -Wl,-z,relro,-z,now $(EXTRA_LDFLAGS)
LDLIBS := -luring -lbpf -lelf -lz -linih -ljansson -lcap-ng -lsystemd -lseccomp -lmicrohttpd -lpthread

# The name libbpf's headers know the machine by, and where its UAPI headers are.
BPF_ARCH := $(shell uname -m | sed 's/^x86_64$$/x86/; s/^aarch64$$/arm64/; s/^ppc64le$$/powerpc/; s/^riscv64$$/riscv/; s/^s390x$$/s390/')
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
BPFFLAGS := -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(BPF_ARCH) -Wall -Wextra -Wno-unused-parameter \
	-Wno-missing-declarations -Wno-sign-compare $(WERR) -Iinclude -Ibpf -I$(GEN) \
	$(if $(MULTIARCH),-idirafter /usr/include/$(MULTIARCH))

# ---- sources ----------------------------------------------------------------------

LIB_SRC := $(sort $(filter-out user/main.c,$(shell find user -name '*.c')))
BPF_SRC := $(sort $(wildcard bpf/*.bpf.c))
BPF_TEST_SRC := $(sort $(wildcard tests/bpf/*.bpf.c))
UNIT_SRC := $(sort $(shell find tests/unit -name '*_test.c'))
BPF_TESTS := $(sort $(wildcard tests/bpf/*_test.c))
BPF_TEST_SHARED := $(filter-out %_test.c %.bpf.c,$(sort $(wildcard tests/bpf/*.c)))
TOOL_SRC := $(sort $(filter-out %_preload.c,$(wildcard tests/tools/*.c)))
PRELOAD_SRC := $(sort $(wildcard tests/tools/*_preload.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/*_fuzz.c))

LIB := $(OUT)/libunproxy.a
LIB_OBJ := $(LIB_SRC:%.c=$(OUT)/obj/%.o)
MAIN_OBJ := $(OUT)/obj/user/main.o
PROGRAM := $(OUT)/unproxy
SKELETONS := $(patsubst %.bpf.c,$(GEN)/%.skel.h,$(notdir $(BPF_SRC)))
TEST_SKELETONS := $(patsubst %.bpf.c,$(GEN)/%.skel.h,$(notdir $(BPF_TEST_SRC)))
only = $(if $(ONLY),$(foreach t,$(1),$(if $(findstring $(ONLY),$(t)),$(t))),$(1))
UNIT_BIN := $(patsubst tests/unit/%.c,$(OUT)/unit/%,$(call only,$(UNIT_SRC)))
BPF_TEST_BIN := $(patsubst tests/bpf/%.c,$(OUT)/bpf-test/%,$(call only,$(BPF_TESTS)))
TOOLS := $(TOOL_SRC:tests/tools/%.c=$(BUILD)/tools/%) $(PRELOAD_SRC:tests/tools/%.c=$(BUILD)/tools/%.so)
MAN := $(BUILD)/man/unproxy.8 $(BUILD)/man/unproxy.conf.5
FUZZERS := $(FUZZ_SRC:tests/fuzz/%.c=$(OUT)/%)

# ---- entry points -----------------------------------------------------------------

.PHONY: all help setup check fmt test test-unit test-bpf test-e2e test-diff fuzz soak bench demo install uninstall deb clean \
	program build-unit build-bpf-test build-fuzz tools FORCE

# Tools have one home, so they belong to the plain build: nobody preloads a sanitiser.
all: $(LIB) $(PROGRAM) $(if $(filter release,$(VARIANT)),program tools)

# What is installed, without what the tests need.
program: $(BUILD)/unproxy $(MAN)

help:
	@sed -n '3,/^$$/{s/^# \{0,1\}//p}' $(firstword $(MAKEFILE_LIST))

setup:
	$(Q)scripts/setup.sh

check:
	$(Q)scripts/check.sh

fmt:
	$(Q)find bpf include user tests -path tests/node_modules -prune -o -name '*.[ch]' -print0 | \
		xargs -0r clang-format -i

# Setup, then every ring, then one line that adds them up; goes on after a ring that failed.
test:
	$(Q)scripts/test.sh

test-unit:
	$(Q)$(MAKE) SAN=address,undefined build-unit
	$(Q)scripts/run-cmocka.sh unit $(UNIT_BIN:$(OUT)/%=$(BUILD)/address-undefined/%)

test-bpf: all build-bpf-test
	$(Q)scripts/run-cmocka.sh bpf $(BPF_TEST_BIN)

test-e2e: all
	$(Q)scripts/run-e2e.sh $(if $(ONLY),-k '$(ONLY)')

test-diff:
	$(Q)tests/fuzz/differential/run.sh

fuzz:
	$(Q)$(MAKE) VARIANT=fuzz CC=$(CLANG) SAN=fuzzer-no-link,address,undefined WERROR=0 build-fuzz
	$(Q)scripts/run-fuzz.sh $(FUZZ_SECONDS) $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/fuzz/%)

demo:
	$(Q)scripts/setup.sh
	$(Q)$(MAKE) all
	$(Q)scripts/demo.sh

soak: all
	$(Q)$(PYTHON) tests/soak/soak.py

bench: all
	$(Q)$(PYTHON) tests/bench/bench.py --build $(BUILD)

build-unit: $(UNIT_BIN)
build-bpf-test: $(BPF_TEST_BIN)
build-fuzz: $(FUZZERS)
tools: $(TOOLS)

# What install puts and uninstall takes away: mode:source:target. No configuration is among it.
INSTALLED := 0755:$(BUILD)/unproxy:$(PREFIX)/sbin/unproxy \
	$(foreach page,$(MAN),0644:$(page):$(PREFIX)/share/man/man$(subst .,,$(suffix $(page)))/$(notdir $(page))) \
	0644:dist/completions/unproxy.bash:$(PREFIX)/share/bash-completion/completions/unproxy \
	0644:dist/completions/_unproxy:$(ZSHDIR)/_unproxy \
	$(patsubst %,0644:%:$(UNITDIR)/unproxy.service,$(wildcard dist/unproxy.service)) \
	$(patsubst %,0644:%:$(PREFIX)/share/doc/unproxy/examples/unproxy.socket,$(wildcard dist/unproxy.socket)) \
	0644:dist/unproxy.logrotate:$(SYSCONFDIR)/logrotate.d/unproxy \
	$(foreach doc,README.md LICENSE,0644:$(doc):$(PREFIX)/share/doc/unproxy/$(doc)) \
	$(foreach doc,$(wildcard docs/*.md),0644:$(doc):$(PREFIX)/share/doc/unproxy/$(doc)) \
	$(foreach doc,$(shell find examples -type f),0644:$(doc):$(PREFIX)/share/doc/unproxy/$(doc))

install: program
	$(Q)PREFIX='$(PREFIX)' scripts/install.sh install '$(DESTDIR)' $(INSTALLED)

uninstall:
	$(Q)PREFIX='$(PREFIX)' scripts/install.sh uninstall '$(DESTDIR)' $(INSTALLED)

deb:
	$(Q)scripts/deb.sh $(VERSION)

clean:
	rm -rf $(BUILD) compile_commands.json

# ---- stamps: a change of flags or of the running kernel rebuilds what depends on it ----

# $(call stamp,text): the target's recipe; touches it only when the text is another one.
define stamp
	@mkdir -p $(@D); printf '%s\n' '$(1)' | cmp -s - $@ || printf '%s\n' '$(1)' > $@
endef

$(OUT)/flags: FORCE
	$(call stamp,$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(LDLIBS))

$(GEN)/flags: FORCE
	$(call stamp,$(CLANG) $(BPFFLAGS))

$(GEN)/kernel: FORCE
	$(call stamp,$(VMLINUX_BTF) $(shell uname -rv))

# ---- kernel side ------------------------------------------------------------------

$(GEN)/vmlinux.h: $(GEN)/kernel
	$(say) BTF $@
	@test -r $(VMLINUX_BTF) || { echo "no $(VMLINUX_BTF): this kernel was built without BTF" \
		"(CONFIG_DEBUG_INFO_BTF); point VMLINUX_BTF= at another kernel's" >&2; exit 1; }
	$(Q)$(BPFTOOL) btf dump file $(VMLINUX_BTF) format c > $@

define compile_bpf
	$(say) BPF $<
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPFFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@
	$(Q)$(LLVM_STRIP) -g $@
endef

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c $(GEN)/vmlinux.h $(GEN)/flags
	$(compile_bpf)

$(BUILD)/bpf/%.bpf.o: tests/bpf/%.bpf.c $(GEN)/vmlinux.h $(GEN)/flags
	$(compile_bpf)

# The skeleton's struct is called NAME_bpf, as in libbpf's own examples.
$(GEN)/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(say) SKEL $@
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

# ---- user side --------------------------------------------------------------------

define compile
	$(say) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(1) -MMD -MP -c $< -o $@
endef

$(OUT)/obj/%.o: %.c $(OUT)/flags
	$(call compile)

# What --version says of the build. private: not for the flags' stamp, which all objects share.
BUILT_KERNEL := $(if $(filter /sys/kernel/btf/vmlinux,$(VMLINUX_BTF)),$(shell uname -r),$(notdir $(VMLINUX_BTF)))
$(OUT)/obj/user/cmd/version.o: private CPPFLAGS += -DBUILT_KERNEL='"$(BUILT_KERNEL)"' \
	-DBUILT_LIBURING='"$(shell pkg-config --modversion liburing 2>/dev/null)"'
$(OUT)/obj/user/cmd/version.o: $(GEN)/kernel

# Only user/kern includes skeletons; before the first build no .d file says which.
$(filter $(OUT)/obj/user/kern/%,$(LIB_OBJ)): | $(SKELETONS)

# Its own list as a prerequisite: a source that went away must leave the archive too.
$(OUT)/lib.list: FORCE
	$(call stamp,$(LIB_OBJ))

$(LIB): $(LIB_OBJ) $(OUT)/lib.list
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJ)

$(OUT)/unproxy: $(MAIN_OBJ) $(LIB)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) $(MAIN_OBJ) $(LIB) $(LDLIBS) -o $@

$(BUILD)/unproxy: $(BUILD)/release/unproxy
	$(Q)ln -sfn release/unproxy $@

# The program prints its own pages, from the tables it works by.
$(BUILD)/man/unproxy.8 $(BUILD)/man/unproxy.conf.5: $(BUILD)/release/unproxy
	$(say) MAN $@
	@mkdir -p $(@D)
	$(Q)$< help --man $(subst .,,$(suffix $@)) > $@

# ---- tests ------------------------------------------------------------------------

# A unit test may ask for linker flags in a line of its own: /* LDFLAGS: -Wl,--wrap=recv */
own_ldflags = $$(sed -n 's,^/\* LDFLAGS: \(.*\) \*/$$,\1,p' $<)

$(OUT)/unit/%: tests/unit/%.c $(LIB) $(OUT)/flags
	$(say) TEST $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Itests/unit $(TEST_CFLAGS) -MMD -MP -MF $@.d $< $(LDFLAGS) $(own_ldflags) $(LIB) \
		$(LDLIBS) -lcmocka -o $@

# One command, several sources: the .d file knows only the last one's headers, hence the skeletons.
$(OUT)/bpf-test/%: tests/bpf/%.c $(BPF_TEST_SHARED) $(LIB) $(OUT)/flags $(SKELETONS) $(TEST_SKELETONS)
	$(say) TEST $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Itests/bpf $(TEST_CFLAGS) -MMD -MP -MF $@.d $< $(BPF_TEST_SHARED) $(LDFLAGS) $(LIB) \
		$(LDLIBS) -lcmocka -o $@

$(OUT)/%_fuzz: tests/fuzz/%_fuzz.c $(LIB) $(OUT)/flags
	$(say) FUZZ $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d $< $(LDFLAGS) $(LIB) $(LDLIBS) -o $@

$(BUILD)/tools/%.so: tests/tools/%.c $(OUT)/flags
	$(say) TOOL $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -shared -MMD -MP -MF $@.d $< $(LDFLAGS) -ldl -lpthread -o $@

$(BUILD)/tools/%: tests/tools/%.c $(LIB) $(OUT)/flags
	$(say) TOOL $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d $< $(LDFLAGS) $(LIB) $(LDLIBS) -o $@

# ---- clangd -----------------------------------------------------------------------

compile_commands.json: FORCE
	$(Q)scripts/compile-commands.sh '$(CC) $(CPPFLAGS) -Itests/unit -Itests/bpf $(CFLAGS)' \
		'$(CLANG) $(BPFFLAGS)' > $@

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
