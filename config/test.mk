# SPDX-License-Identifier: LGPL-2.1-only
#
# Tests.  Every target that runs some ends with tests/run's counting line;
# check sums up the counts of all its parts.

# Jobs for the parts that build, when the caller did not say -j.
CORES  := $(shell nproc)
# Tests wait for each other's processes as much as they work.
BUSY   := $(shell echo $$(($(CORES) + 1)))
JOBS_J := $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(CORES))
SUBMAKE = $(MAKE) --no-print-directory
RUN    := tests/run -b $(BUILD)

ASAN := BUILD=$(BUILD)-asan SANITIZE=address,undefined
TSAN := BUILD=$(BUILD)-tsan SANITIZE=thread
FUZZ := BUILD=$(BUILD)-fuzz SANITIZE=fuzzer-no-link,address,undefined

INTEGRATION := $(sort $(wildcard tests/integration/*.t))
NOT_BRIEF   := %/limits.t %/stats.t %/now.t %/pause.t %/cli-timeout.t %/kill.t \
    %/recover-faults.t %/dirty-sync.t %/recover-records.t %/journal.t \
    %/resume-set.t %/verify.t %/broken-off.t %/recover.t
LINTS       := $(sort $(wildcard tests/lint/check-*))

.PHONY: check-run check-full check-quick check-unit check-integration check-suites \
    check-asan check-asan-full check-tsan check-valgrind check-fuzz fuzz \
    fuzz-run lint bench demo-run check-model check-model-full rig rig-shell \
    paging-hypervisor bench-rig \
    check-rig check-rig-ci check-rig-full

# What every change has to pass, in ten minutes.  For that half of what a hostile
# peer does is seen by the sanitizers and the other half without them (XP_HALF=1,
# left_out() of lib.sh); the sanitizers see a third of the migration matrix
# (XP_BRIEF=1, matrix.t) and neither the tests of figures and of records nor
# those that mostly wait, and not verify.t, as reading streams is fuzzed, nor
# recover.t, as test_engine_recover runs with sanitizers.
# check-full leaves nothing out and takes its time.  What the rig boots is built
# meanwhile, where the other parts leave the processors idle.
check-run:
	@nice tests/rig/build >/dev/null 2>&1 &
	@XP_HALF=1 T=6 MAKE='$(MAKE)' tests/check $(BUILD) \
	    check-quick check-integration check-asan check-fuzz check-rig
check-full:
	@T=60 XP_WHOLE=1 MAKE='$(MAKE)' tests/check $(BUILD) lint check-model-full \
	    check-unit check-integration check-asan-full check-tsan check-valgrind check-fuzz \
	    check-rig-full

# Lints, model and units side by side, the longest first: some of them wait more
# than they work.
check-quick: libcheck
	@$(SUBMAKE) $(JOBS_J) all tools tests
	@CC='$(CC)' CXX='$(CXX)' $(RUN) -j $(BUSY) -t 400 \
	    tests/model/model.t $(LINTS) $(UNIT_BIN)

check-unit: libcheck
	@$(SUBMAKE) $(JOBS_J) programs tools tests
	@$(RUN) -j $(BUSY) $(UNIT_BIN)

.PHONY: libcheck
libcheck:
	@test "$(HAVE_CHECK)" = y || { echo "the unit tests need libcheck" \
	    "(check): run config/install-deps and ./configure" >&2; exit 1; }

# Hand-over and recovery as a model: tests/model/README.
check-model:
	@$(RUN) -t 400 tests/model/model.t
check-model-full:
	@MODEL_FULL=1 $(RUN) -t 3600 tests/model/model.t

check-integration:
	@$(SUBMAKE) $(JOBS_J) programs tools
	@$(RUN) -j $(BUSY) $(INTEGRATION)

# The unit and integration suites together, but for LEFT_OUT, in builds of
# other flags.
check-suites: libcheck
	@$(SUBMAKE) $(JOBS_J) programs tools tests
	@$(RUN) -j $(BUSY) -t 500 $(UNIT_BIN) $(filter-out $(LEFT_OUT),$(INTEGRATION))

check-asan:
	@XP_BRIEF=1 $(SUBMAKE) $(ASAN) LEFT_OUT='$(NOT_BRIEF)' check-suites
check-asan-full:
	@$(SUBMAKE) $(ASAN) check-suites

# The engines and what they stand on, source and destination as threads of one
# process.  The programs themselves have one thread each but for the pager.  Not
# test_hv_local_nth: it starts a thousand guests, each of which takes seconds.
TSAN_UNITS := test_engine test_policy test_hv test_domain
check-tsan:
	@$(SUBMAKE) $(TSAN) check-tsan-run
.PHONY: check-tsan-run check-valgrind-run
check-tsan-run: libcheck
	@$(SUBMAKE) $(JOBS_J) programs tests
	@$(RUN) -j $(CORES) -t 500 \
	    $(filter-out %_local_nth,$(filter \
	    $(addprefix $(BUILD)/tests/,$(addsuffix %,$(TSAN_UNITS))),$(UNIT_BIN)))

# Memory that was never written, which AddressSanitizer does not see.  Not
# test_hv_local*: valgrind 3.19 has no pidfd_send_signal, which ends guests
# (they are not our children: a kill() might hit somebody else).  Of the two
# longest matrices a part (XP_BRIEF=1), without a fork for each test.
VALGRIND := valgrind -q --error-exitcode=9 --leak-check=full \
    --errors-for-leak-kinds=definite
check-valgrind: libcheck
	@command -v valgrind >/dev/null || \
	    { echo "valgrind is missing: apt-get install valgrind" >&2; exit 1; }
	@$(SUBMAKE) $(JOBS_J) programs tools tests
	@XP_BRIEF=1 CK_FORK=no $(RUN) -j $(CORES) -t 900 -w '$(VALGRIND)' \
	    $(filter-out $(BUILD)/tests/test_hv_local%,$(UNIT_BIN))

# What the unit and integration tests run through, without the one that measures
# how fast a program is.  Counts of an earlier run go first: what only that one
# ran does not count.  Exit status 0: all tests passed, and what is below 90 %
# of its lines is explained.
COV := BUILD=$(BUILD)-cov OPTFLAGS='-O0 -g' LEFT_OUT=%/limits.t
.PHONY: coverage
coverage:
	@mkdir -p $(BUILD)-cov
	@find $(BUILD)-cov -name '*.gcda' -delete
	@$(CC) -O1 -fPIC -D_GNU_SOURCE -c -o $(BUILD)-cov/dump.o \
	    tests/coverage_dump.c
	@rc=0; \
	$(SUBMAKE) $(COV) CFLAGS='$(CFLAGS) --coverage' \
	    LDFLAGS='$(LDFLAGS) --coverage -Wl,--wrap=_exit $(BUILD)-cov/dump.o' \
	    check-suites || { rc=1; \
	    echo "coverage: some tests failed; what ran counts"; }; \
	tests/coverage $(BUILD)-cov tools/libxl tools/xl || rc=1; \
	tests/coverage -m 90 $(BUILD)-cov tools/libxc || rc=1; \
	exit $$rc

# A smoke run of every fuzz target; fuzz T=seconds takes its time.
check-fuzz: fuzz-clang
	@$(SUBMAKE) $(FUZZ) CC=$(CLANG) T=$(or $(T),10) fuzz-run
fuzz: fuzz-clang
	@$(SUBMAKE) $(FUZZ) CC=$(CLANG) T=$(or $(T),60) fuzz-run
.PHONY: fuzz-clang
fuzz-clang:
	@test -n "$(CLANG)" || \
	    { echo "fuzzing needs clang: run config/install-deps" >&2; exit 1; }
fuzz-run:
	@$(SUBMAKE) $(JOBS_J) fuzzers $(BUILD)/vectors
	@T=$(T) $(RUN) -j $(CORES) -t $$(($(T) + 60)) $(FUZZ_BIN)

lint:
	@$(SUBMAKE) $(JOBS_J) all
	@CC='$(CC)' CXX='$(CXX)' $(RUN) -j $(CORES) $(LINTS)

# Real Xen under QEMU (tests/rig): what boots is built once, in a cache.
rig:
	@tests/rig/build
paging-hypervisor:
	@config/hypervisor --deb $(BUILD)
rig-shell:
	@$(SUBMAKE) $(JOBS_J) programs
	@tests/rig/visit -b $(BUILD)
# The smoke is in make check; check-rig-ci is what .ci/run adds to it: at most 5
# minutes and 15 in all.  What they boot is built before the time counts.
check-rig: SUITE := smoke
check-rig: RIG_LIMIT := 300
check-rig-ci: SUITE := ci
check-rig-ci: RIG_LIMIT := 600
check-rig-full: SUITE := full
check-rig-full: RIG_LIMIT := 10800
RIG_TESTS_smoke := tests/rig/deb.t
RIG_TESTS_full  := tests/rig/deb.t tests/rig/shell.t
check-rig check-rig-ci check-rig-full:
	@$(SUBMAKE) $(JOBS_J) all
	@tests/rig/build >/dev/null
	@RIG_SUITE=$(SUITE) $(RUN) -t $(RIG_LIMIT) tests/rig/suite.t \
	    $(RIG_TESTS_$(SUITE))

# Guests back and forth for T seconds, with accidents: tests/soak/soak.
.PHONY: soak
soak:
	@$(SUBMAKE) $(JOBS_J) programs tools
	@BUILD=$(abspath $(BUILD)) tests/soak/soak $(or $(T),60) $(SEED)

bench-rig:
	@$(SUBMAKE) $(JOBS_J) all
	@BUILD=$(abspath $(BUILD)) tests/rig/bench $(BENCH_ARGS)

bench:
	@$(SUBMAKE) $(JOBS_J) programs tools
	@BUILD=$(abspath $(BUILD)) tests/bench/run $(BENCH_ARGS)

demo-run:
	@$(SUBMAKE) $(JOBS_J) programs tools
	@BUILD=$(abspath $(BUILD)) tests/demo/demo

# Formats all sources in place.
.PHONY: format
format:
	clang-format -i $(sort $(wildcard tools/*/*.[ch] tests/*/*.[ch] stubdom/*/*.[ch]))
