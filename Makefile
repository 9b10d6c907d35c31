# SPDX-License-Identifier: LGPL-2.1-only
#
# make            the libraries and the programs, in build/
# make demo       a guest moves between two local hosts, post-copy
# make check      every test, at most ten minutes
# make help       the rest
#
# Variables: BUILD=dir (default build), SANITIZE=address,undefined|thread,
# V=1 shows whole commands, T=seconds for make fuzz, DESTDIR= for install.

SHELL       := /bin/bash
MAKEFLAGS   += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

BUILD ?= build
# The same directory is the same name however it is called: what a file was
# made from stands in its .d by this name.
override BUILD := $(patsubst $(CURDIR)/%,%,$(abspath $(BUILD)))

# Goals that need no configuration, and those that may install packages.
PLAIN_GOALS   := help clean distclean deps
INSTALL_GOALS := demo check

ifneq ($(filter-out $(PLAIN_GOALS) $(INSTALL_GOALS),$(or $(MAKECMDGOALS),all)),)
include config/config.mk
include config/build.mk
include config/witness.mk
include config/install.mk
include config/test.mk
endif

config/config.mk: config/config.mk.in config/config.h.in configure
	@if ! test -x config.status; then \
	    config/install-deps --check && ./configure --quiet; \
	elif test configure -nt config.status; then \
	    ./config.status --recheck >/dev/null && ./config.status --quiet; \
	else \
	    ./config.status --quiet; \
	fi
	@touch $@ config/config.h

configure: configure.ac
	@config/install-deps --check
	autoconf

# These two look after what is missing before they look at anything else.
.PHONY: $(INSTALL_GOALS) deps
$(INSTALL_GOALS): %: deps
	@$(MAKE) --no-print-directory $@-run

deps:
	@config/install-deps

.PHONY: help clean distclean
help:
	@sed -n '3,9s/^# \{0,1\}//p' Makefile
	@echo "check-unit check-integration check-asan check-fuzz check-model lint:" \
	    "parts of check"
	@echo "check-full: nothing left out, also check-tsan, check-valgrind," \
	    "check-model-full"
	@echo "rig, rig-shell, check-rig, check-rig-ci, check-rig-full, bench-rig:" \
	    "real Xen under QEMU"
	@echo "paging-hypervisor: a Debian package of a hypervisor for destinations"
	@echo "fuzz T=s, soak T=s, coverage, bench, install, uninstall, deps, clean, distclean"

clean:
	rm -rf build build-asan build-tsan build-fuzz build-cov $(filter-out build,$(BUILD))

distclean: clean
	rm -rf configure config.status config.log autom4te.cache \
	    config/config.mk config/config.h configure~ config/config.h.in~
