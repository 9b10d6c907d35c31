# SPDX-License-Identifier: LGPL-2.1-only
#
# From sources to libraries and programs.  Sources are found by pattern, so a
# new file needs no line here.

# ---- flags ---------------------------------------------------------------

OPTFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes \
            -Wstrict-prototypes -Wformat=2 $(WERROR)

# CFLAGS, CPPFLAGS and LDFLAGS stay the builder's own: they are added last.
XP_CPPFLAGS := -D_GNU_SOURCE -include config/config.h \
    -DXEN_POSTCOPY_LIBEXECDIR='"$(libexecdir)/xen-postcopy"' \
    -Itools/libxc
XP_CFLAGS   := -std=gnu11 $(OPTFLAGS) $(WARNINGS) -fno-strict-aliasing \
    -fno-common -pthread -MMD -MP
XP_LDFLAGS  := -pthread -Wl,--as-needed

ifneq ($(SANITIZE),)
XP_CFLAGS   += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer
XP_LDFLAGS  += -fsanitize=$(SANITIZE)
ifneq ($(findstring undefined,$(SANITIZE)),)
XP_CFLAGS   += -fno-sanitize-recover=undefined
XP_LDFLAGS  += -fno-sanitize-recover=undefined
endif
else
# A shared library with undefined symbols is a mistake; sanitizers need some.
SO_LDFLAGS  := -Wl,-z,defs
endif

ifeq ($(V),1)
say = @:
run =
else
say = @printf '  %-5s %s\n' $(1) $(patsubst $(BUILD)/%,%,$@)
run = @
endif

XL_LIBS := $(XENLIGHT_LIBS)

# Everything is rebuilt when the flags change.
FLAGS_NOW := $(CC) $(XP_CPPFLAGS) $(CPPFLAGS) $(XP_CFLAGS) $(CFLAGS) \
             $(XP_LDFLAGS) $(LDFLAGS)
$(shell mkdir -p $(BUILD); \
    printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' >$(BUILD)/.flags.$$$$; \
    if cmp -s $(BUILD)/.flags.$$$$ $(BUILD)/.flags; \
    then rm $(BUILD)/.flags.$$$$; \
    else mv $(BUILD)/.flags.$$$$ $(BUILD)/.flags; fi)

# ---- sources -------------------------------------------------------------

LIBXC_SRC := $(filter-out tools/libxc/xc_sr_hv_xen%, \
    $(wildcard tools/libxc/xc_sr_*.c))
ifeq ($(HAVE_XEN),y)
XEN_SRC   := $(wildcard tools/libxc/xc_sr_hv_xen*.c)
LIBXC_SRC += $(XEN_SRC)
endif
# One of the two stands behind xenpostcopy_xen.h.
ifneq ($(XEN_SRC),)
LIBXC_SRC := $(filter-out tools/libxc/xc_sr_noxen.c,$(LIBXC_SRC))
endif
# Xen's libraries are linked when there is something that calls them.
LIB_LIBS  := $(if $(XEN_SRC),$(XEN_LIBS))

GUEST_SRC  := $(wildcard tools/libxc/local_guest*.c)
# What needs libxl itself is domain_*; without libxl there is no library.
SHIM_SRC   := tools/libxl/save_shim.c
LIBXL_SRC  := $(filter-out $(SHIM_SRC) tools/libxl/domain_%, \
    $(wildcard tools/libxl/*.c))
ifeq ($(HAVE_XENLIGHT),y)
LIBXL_SRC  += $(wildcard tools/libxl/domain_*.c)
EXAMPLE_SRC := $(wildcard docs/examples/*.c)
endif
# The golden streams, as functions that build them.
VECTOR_SRC := $(wildcard tests/vectors/vectors*.c)
VERIFY_SRC := $(wildcard tools/xl/verify_stream*.c tools/libxl/frames*.c)
XL_XEN_SRC := $(wildcard tools/xl/xl_xen*.c)
XL_SRC     := $(filter-out tools/xl/verify_stream% tools/xl/xl_xen%, \
              $(wildcard tools/xl/*.c)) $(LIBXL_SRC)
ifeq ($(HAVE_XENLIGHT),y)
XL_SRC     += $(XL_XEN_SRC)
endif
UNIT_SRC   := $(wildcard tests/unit/test_*.c)
ifneq ($(HAVE_XENLIGHT),y)
UNIT_SRC   := $(filter-out tests/unit/test_domain%,$(UNIT_SRC))
endif
ifneq ($(HAVE_XEN),y)
UNIT_SRC   := $(filter-out tests/unit/test_hv_xen%,$(UNIT_SRC))
endif
# What of the witness does not need a hypervisor beneath it.
WITNESS_PARTS := $(patsubst %,stubdom/witness/%.c,args pattern ring text xsmsg)
# Tools of the tests: they stand beside the programs but are not installed.
TOOL_SRC   := $(wildcard tests/bench/*.c tests/integration/*.c \
    tests/vectors/make_vectors.c)
FUZZ_SRC   := $(wildcard tests/fuzz/fuzz_*.c)
ifneq ($(HAVE_XENLIGHT),y)
FUZZ_SRC   := $(filter-out tests/fuzz/fuzz_config.c,$(FUZZ_SRC))
endif
# Tools of the rig that go to its hosts with the programs.
RIG_TOOL_SRC := $(if $(XEN_SRC),$(wildcard tests/rig/hv*.c) tests/rig/tcp_pipe.c)

objs = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

# ---- goals ---------------------------------------------------------------

SO_MAJOR := $(firstword $(subst ., ,$(VERSION)))
SO_REAL  := libxenpostcopy.so.$(VERSION)
SO_NAME  := libxenpostcopy.so.$(SO_MAJOR)

XL_SO_REAL := libxlpostcopy.so.$(VERSION)
XL_SO_NAME := libxlpostcopy.so.$(SO_MAJOR)

LIB_A  := $(BUILD)/lib/libxenpostcopy.a
LIB_SO := $(BUILD)/lib/$(SO_REAL)
PC     := $(BUILD)/lib/xenpostcopy.pc

ifeq ($(HAVE_XENLIGHT),y)
XL_LIB_SO := $(BUILD)/lib/$(XL_SO_REAL)
XL_PC     := $(BUILD)/lib/xlpostcopy.pc
endif

PROGRAMS := $(BUILD)/bin/xl $(BUILD)/bin/xen-verify-stream \
            $(BUILD)/bin/xen-postcopy-guest $(BUILD)/bin/xl-save-shim
EXAMPLES := $(addprefix $(BUILD)/bin/,$(notdir $(basename $(EXAMPLE_SRC))))
UNIT_BIN  := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))
TOOL_BIN  := $(addprefix $(BUILD)/bin/,$(notdir $(basename $(TOOL_SRC))))
RIG_TOOL_BIN := $(patsubst tests/rig/%.c,$(BUILD)/rig/%,$(RIG_TOOL_SRC))
FUZZ_BIN  := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))
MANPAGES  := $(patsubst docs/man/%.pod,$(BUILD)/man/%, \
             $(wildcard docs/man/*.pod))

.PHONY: all lib programs tools tests fuzzers man
lib: $(LIB_A) $(LIB_SO) $(PC) $(XL_LIB_SO) $(XL_PC)
programs: $(PROGRAMS) $(EXAMPLES)
tools: $(TOOL_BIN) $(RIG_TOOL_BIN)
tests: $(UNIT_BIN)
fuzzers: $(FUZZ_BIN)
man: $(MANPAGES)
all: lib programs tools man
all lib programs tools tests fuzzers man:
	@:

# ---- rules ---------------------------------------------------------------

$(BUILD)/obj/%.o: %.c $(BUILD)/.flags config/config.h
	$(call say,CC)
	@mkdir -p $(@D)
	$(run)$(CC) $(XP_CPPFLAGS) $(CPPFLAGS) $(EXTRA_CFLAGS) \
	    $(XP_CFLAGS) $(CFLAGS) -c -o $@ $<

config/config.h: config/config.mk

# One set of library objects serves the archive and the shared object.
$(BUILD)/obj/tools/libxc/xc_sr_%.o: EXTRA_CFLAGS = -fPIC $(XEN_CFLAGS)
ifneq ($(findstring clang,$(CC)),clang)
$(BUILD)/obj/tools/libxc/xc_sr_%.o: XP_CFLAGS += -fno-semantic-interposition
endif
$(BUILD)/obj/tools/libxl/%.o: EXTRA_CFLAGS = -fPIC -Itools/libxl \
    $(YAJL_CFLAGS) $(XENLIGHT_CFLAGS)
$(BUILD)/obj/tools/xl/%.o: EXTRA_CFLAGS = -Itools/libxl -Itools/xl \
    $(YAJL_CFLAGS) $(XENLIGHT_CFLAGS)
$(BUILD)/obj/docs/examples/%.o: EXTRA_CFLAGS = -Itools/libxl $(XENLIGHT_CFLAGS)
$(BUILD)/obj/tests/%.o: EXTRA_CFLAGS = -Itools/libxl -Itools/xl -Itests \
    -Istubdom/witness $(YAJL_CFLAGS) $(CHECK_CFLAGS) $(XEN_CFLAGS) \
    $(XENLIGHT_CFLAGS)

define make_archive
	$(call say,AR)
	@mkdir -p $(@D) && rm -f $@
	$(run)$(AR) rcs $@ $(filter %.o,$^)
endef
define link_program
	$(call say,LD)
	@mkdir -p $(@D)
	$(run)$(CC) $(XP_LDFLAGS) $(XP_LINK) -o $@ $(filter %.o %.a,$^) \
	    $(LIB_LIBS) $(1) $(LDFLAGS)
endef

$(LIB_A): $(call objs,$(LIBXC_SRC))
	$(make_archive)

$(LIB_SO): $(call objs,$(LIBXC_SRC)) tools/libxc/libxenpostcopy.map
	$(call say,LD)
	@mkdir -p $(@D)
	$(run)$(CC) -shared $(XP_LDFLAGS) $(SO_LDFLAGS) -Wl,-soname,$(SO_NAME) \
	    -Wl,--version-script=tools/libxc/libxenpostcopy.map -o $@ \
	    $(filter %.o,$^) $(LIB_LIBS) $(LDFLAGS)
	@ln -sf $(SO_REAL) $(@D)/$(SO_NAME)
	@ln -sf $(SO_NAME) $(@D)/libxenpostcopy.so

# libxlpostcopy, on top of it and of libxl.
$(BUILD)/lib/$(XL_SO_REAL): $(call objs,$(LIBXL_SRC)) \
    tools/libxl/libxlpostcopy.map $(LIB_SO)
	$(call say,LD)
	@mkdir -p $(@D)
	$(run)$(CC) -shared $(XP_LDFLAGS) $(SO_LDFLAGS) \
	    -Wl,-soname,$(XL_SO_NAME) \
	    -Wl,--version-script=tools/libxl/libxlpostcopy.map -o $@ \
	    $(filter %.o,$^) $(LIB_SO) $(XENLIGHT_LIBS) $(LDFLAGS)
	@ln -sf $(XL_SO_REAL) $(@D)/$(XL_SO_NAME)
	@ln -sf $(XL_SO_NAME) $(@D)/libxlpostcopy.so

$(PC): tools/libxc/xenpostcopy.pc.in
$(XL_PC): tools/libxl/xlpostcopy.pc.in
$(PC) $(XL_PC): config/config.mk
	$(call say,GEN)
	@mkdir -p $(@D)
	$(run)sed -e 's|@prefix@|$(prefix)|' -e 's|@libdir@|$(libdir)|' \
	    -e 's|@includedir@|$(includedir)|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@LIBS_PRIVATE@|$(LIB_LIBS)|' $(filter %.in,$^) >$@

$(BUILD)/bin/xl: $(call objs,$(XL_SRC)) $(LIB_A)
	$(call link_program,$(YAJL_LIBS) $(XL_LIBS))
$(BUILD)/bin/xl-save-shim: $(call objs,$(SHIM_SRC))
	$(call link_program)
# As somebody else's program would be: with the shared libraries alone.
$(BUILD)/bin/%: $(BUILD)/obj/docs/examples/%.o $(XL_LIB_SO) $(LIB_SO)
	$(call say,LD)
	@mkdir -p $(@D)
	$(run)$(CC) $(XP_LDFLAGS) -o $@ $(filter %.o,$^) $(XL_LIB_SO) $(LIB_SO) \
	    -Wl,-rpath,'$$ORIGIN/../lib' $(XENLIGHT_LIBS) $(LDFLAGS)
$(BUILD)/bin/xen-verify-stream: $(call objs,$(VERIFY_SRC)) $(LIB_A)
	$(call link_program,$(YAJL_LIBS))
$(BUILD)/bin/xen-postcopy-guest: $(call objs,$(GUEST_SRC)) $(LIB_A)
	$(call link_program)

# What tests link besides the library: every part that is not a main program.
# An archive, so that a test gets the parts it calls and no others.
MAINS := tools/xl/xl.c tools/xl/verify_stream.c tools/libxc/local_guest.c
TEST_A := $(BUILD)/tests/libparts.a
$(TEST_A): $(call objs,$(sort $(filter-out $(MAINS), \
    $(XL_SRC) $(VERIFY_SRC) $(GUEST_SRC) $(VECTOR_SRC) $(WITNESS_PARTS))))
	$(make_archive)

.SECONDARY:
$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(TEST_A) $(LIB_A)
	$(call link_program,$(YAJL_LIBS) $(CHECK_LIBS) $(XL_LIBS))
# Its calls of these go through the test.
WRAPPED := malloc calloc realloc free read write writev sendmsg poll getrandom
$(BUILD)/tests/test_engine_nth: XP_LINK += $(WRAPPED:%=-Wl,--wrap=%)
DOMAIN_WRAPPED := malloc calloc realloc free read recv write send poll \
    epoll_wait accept4 epoll_create1 epoll_ctl socketpair eventfd getsockopt \
    pthread_create
$(BUILD)/tests/test_domain_nth: XP_LINK += $(DOMAIN_WRAPPED:%=-Wl,--wrap=%)
# Whole commands on hosts that the test makes up: tests/unit/xen_hosts*.
HOSTS_WRAPPED := access geteuid fopen dladdr xl_xen_record_put xl_link_lost
$(addprefix $(BUILD)/tests/test_xl_xen_,nth monitor forget): XP_LINK += $(HOSTS_WRAPPED:%=-Wl,--wrap=%)
# Likewise, and those of the guests that it starts.
FAULTY := malloc calloc realloc aligned_alloc mmap socket socketpair connect \
    bind listen accept4 getsockopt poll sendmsg recvmsg read pwrite fallocate \
    lseek ftruncate memfd_create eventfd pipe2 dup2 fsopen pthread_create fork \
    opendir fopen open fcntl ioctl
FAULTY_GUEST := $(BUILD)/tests/faulty_guest
$(BUILD)/tests/test_hv_local_nth: XP_LINK += $(FAULTY:%=-Wl,--wrap=%)
$(BUILD)/tests/test_hv_local_nth: | $(FAULTY_GUEST)
$(FAULTY_GUEST): XP_LINK += $(FAULTY:%=-Wl,--wrap=%)
$(FAULTY_GUEST): $(BUILD)/obj/tests/unit/faulty_guest.o \
    $(call objs,$(GUEST_SRC)) $(LIB_A)
	$(call link_program)
$(BUILD)/bin/%: $(BUILD)/obj/tests/bench/%.o $(LIB_A)
	$(call link_program,$(YAJL_LIBS) -lm)
$(BUILD)/bin/%: $(BUILD)/obj/tests/integration/%.o $(LIB_A)
	$(call link_program)
$(BUILD)/rig/%: $(BUILD)/obj/tests/rig/%.o $(LIB_A)
	$(call link_program)
$(BUILD)/bin/make_vectors: $(call objs,tests/vectors/make_vectors.c \
    $(VECTOR_SRC))
	$(call link_program)
# The golden streams as files, for fuzzers to start from.
$(BUILD)/vectors: $(BUILD)/bin/make_vectors
	$(call say,GEN)
	@mkdir -p $@
	$(run)$< $@ && touch $@
$(BUILD)/fuzz/%: XP_LINK = -fsanitize=fuzzer
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(TEST_A) $(LIB_A)
	$(call link_program,$(YAJL_LIBS) $(XL_LIBS))

$(BUILD)/man/%: docs/man/%.pod
	$(call say,MAN)
	@mkdir -p $(@D)
	$(run)$(POD2MAN) --section=$(subst .,,$(suffix $*)) \
	    --name='$(basename $*)' --center=xen-postcopy \
	    --release='xen-postcopy $(VERSION)' $< >$@

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
