# Tidegate. Two commands matter: `make run` and `make test`; `make help` lists the rest.
#
# A variant is a way to compile everything: plain (what ships), asan (Address- and UBSanitizer), tsan
# (ThreadSanitizer), fuzz (libFuzzer, clang). Each has its own objects below build/VARIANT.

VARIANT ?= plain
CC      ?= cc
OUT     := build/$(VARIANT)
SHELL   := /bin/bash
# V=1 shows the commands.
Q       := $(if $(V),,@)

PACKAGES_BUILD := gcc libc6-dev pkg-config libevent-dev libssl-dev libc-ares-dev libopendkim-dev liblmdb-dev \
    liblua5.4-dev libidn2-dev libpcre2-dev libjansson-dev libsystemd-dev libcrypt-dev libcurl4-openssl-dev \
    libhiredis-dev openssl
LIBRARIES := libevent libssl libcrypto libcares opendkim lmdb lua5.4 libidn2 libpcre2-8 jansson libsystemd libcrypt libcurl hiredis

WARN   := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
COMMON  = -std=c11 -D_GNU_SOURCE -Igateway -g -fno-omit-frame-pointer -pthread $(WARN)
# gcc sees a cut-off text in every bounded snprintf; ours are bounded on purpose. clang does not know the warning.
ifneq ($(filter fuzz afl,$(VARIANT)),)
WARN   += -Wno-missing-field-initializers
else
WARN   += -Wno-format-truncation
endif
ifeq ($(VARIANT),plain)
# The folder that this was built in does not show in what is built: the same commit makes the same package anywhere.
FLAGS  := -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE -ffile-prefix-map=$(CURDIR)=.
LINK   := -pie -Wl,-z,relro,-z,now
else ifeq ($(VARIANT),asan)
FLAGS  := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
LINK   := -fsanitize=address,undefined
else ifeq ($(VARIANT),tsan)
FLAGS  := -O1 -fsanitize=thread
LINK   := -fsanitize=thread
else ifeq ($(VARIANT),fuzz)
CC     := clang
FLAGS  := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
LINK   := -fsanitize=address,undefined
else ifeq ($(VARIANT),afl)
CC     := afl-clang-fast
FLAGS  := -O1
LINK   :=
else
$(error VARIANT=$(VARIANT): plain, asan, tsan, fuzz or afl)
endif

# Looked up when first used, after `deps` had its chance to install what is missing.
# hiredis asks for 64-bit offsets, which every machine we build for has; asked for, libc's calls get other names, and tests/torture/interpose sees none.
LIB_CFLAGS = $(eval LIB_CFLAGS := $(filter-out -D_FILE_OFFSET_BITS=64,$(shell pkg-config --cflags $(LIBRARIES))))$(LIB_CFLAGS)
LIB_LIBS   = $(eval LIB_LIBS := $(shell pkg-config --libs $(LIBRARIES)) -lresolv)$(LIB_LIBS)

ROOMS   := $(sort $(wildcard gateway/*/*.c))
OBJECTS := $(ROOMS:%.c=$(OUT)/%.o)
MAIN    := $(OUT)/gateway/cli/main.o
ARCHIVE := $(OUT)/libtidegate.a
BINARY  := $(if $(filter plain,$(VARIANT)),build/tidegate,$(OUT)/tidegate)
UNITS   := $(sort $(wildcard tests/unit/*_test.c))
UNIT_BINARIES := $(UNITS:tests/unit/%.c=$(OUT)/unit/%)

.DEFAULT_GOAL := build
.PHONY: build deb appliance appliance-test deps run test lint stories unit replay integration fuzz fuzzers integration-sanitized unit-threads torture benches bench micro scale measure help clean
.SECONDARY:
.DELETE_ON_ERROR:

## build        compile build/tidegate (installing the libraries it needs, if any is missing)
build: $(BINARY)

build/.deps: Makefile
	@mkdir -p build
	@tests/setup/packages $(PACKAGES_BUILD)
	@touch $@
deps: build/.deps

$(OUT)/%.o: %.c build/.deps
	@mkdir -p $(@D)
	@echo '  cc $<'
	$(Q)$(CC) $(COMMON) $(FLAGS) $(LIB_CFLAGS) -MMD -MP -c $< -o $@

$(ARCHIVE): $(filter-out $(MAIN),$(OBJECTS))
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BINARY): $(MAIN) $(ARCHIVE)
	@echo '  ld $@'
	$(Q)$(CC) $(LINK) -pthread -o $@ $^ $(LIB_LIBS)

$(OUT)/unit/%: tests/unit/%.c $(ARCHIVE)
	@mkdir -p $(@D)
	@echo '  cc $<'
	$(Q)$(CC) $(COMMON) $(FLAGS) -Itests/unit $(LIB_CFLAGS) -MMD -MP -MF $@.d $(LINK) -o $@ $< $(ARCHIVE) $(LIB_LIBS) -lcmocka

## unit         build and run the unit tests of VARIANT (plain, asan, tsan)
unit: $(UNIT_BINARIES)
	@tests/setup/run-units $(UNIT_BINARIES)

# ---- running ---------------------------------------------------------------------------------------------------

## run          build and start the gateway of this checkout on loopback, capturing all mail below var/
run: build
	@tests/setup/first-run
	@exec build/tidegate run

# ---- testing ---------------------------------------------------------------------------------------------------

build/.deps-test: tests/setup/deps-test tests/setup/peers build/.deps
	@tests/setup/packages $$(grep -v '^\#' tests/setup/deps-test)
	@touch $@

## lint         is the house built as drawn: floors, libraries, sizes, links
lint: build/.deps
	@tests/lint/floors --self-test
	@tests/lint/floors
	@tests/lint/map
	@tests/lint/events

## stories      the stories of the shipped policy (scripts/) and of the library (tests/lua/)
stories: build
	@build/tidegate test --conf conf/tidegate.lua
	@build/tidegate test --conf conf/tidegate.lua tests/lua/*.story.lua

FUZZ    := $(sort $(wildcard tests/fuzz/*_fuzz.c))
REPLAYS := $(FUZZ:tests/fuzz/%.c=$(OUT)/replay/%)
FUZZERS := $(FUZZ:tests/fuzz/%.c=build/fuzz/bin/%)

$(OUT)/replay/%: tests/fuzz/%.c tests/fuzz/replay.c $(ARCHIVE)
	@mkdir -p $(@D)
	@echo '  cc $<'
	$(Q)$(CC) $(COMMON) -Wno-missing-prototypes $(FLAGS) $(LIB_CFLAGS) $(LINK) -o $@ $< tests/fuzz/replay.c $(ARCHIVE) $(LIB_LIBS)

## replay       give the kept corpus to every fuzz target
replay: $(REPLAYS)
	@for target in $(REPLAYS); do name=$$(basename $$target _fuzz); \
	    printf '%-10s ' $$name; $$target tests/fuzz/corpus/$$name || exit 1; done

build/fuzz/bin/%: tests/fuzz/%.c build/fuzz/libtidegate.a
	@mkdir -p $(@D)
	@echo '  cc $<'
	$(Q)clang $(COMMON) -Wno-missing-prototypes $(FLAGS) -fsanitize=fuzzer,address,undefined $(LIB_CFLAGS) -o $@ $< build/fuzz/libtidegate.a $(LIB_LIBS)

ifeq ($(VARIANT),fuzz)
fuzzers: $(FUZZERS)
else
fuzzers:
	@tests/setup/packages clang libclang-rt-14-dev
	@$(MAKE) --no-print-directory VARIANT=fuzz fuzzers
endif

FUZZ_SECONDS ?= 60
## fuzz         build every fuzz target with libFuzzer and run each for FUZZ_SECONDS (60), RUN="--dry 600 server" as tests/fuzz/run takes it
fuzz: fuzzers
	tests/fuzz/run --seconds $(FUZZ_SECONDS) $(RUN)

# The protocol and what is below it: all that its targets need.
AFL_ROOMS := $(filter gateway/base/% gateway/mail/% gateway/smtp/%,$(ROOMS))
build/afl/libprotocol.a: $(AFL_ROOMS:%.c=build/afl/%.o)
	@rm -f $@
	$(Q)ar rcs $@ $^

build/afl/bin/%: tests/fuzz/%_fuzz.c build/afl/libprotocol.a
	@mkdir -p $(@D)
	@echo '  cc $<'
	$(Q)afl-clang-fast $(COMMON) -Wno-missing-prototypes $(FLAGS) -fsanitize=fuzzer $(LIB_CFLAGS) -o $@ $< build/afl/libprotocol.a $(LIB_LIBS)

AFL ?= server client dialogue
## afl          run fuzz targets (AFL="server client dialogue") with AFL++ for FUZZ_SECONDS each; findings stay in build/afl/out
.PHONY: afl
afl: $(if $(filter afl,$(VARIANT)),$(AFL:%=build/afl/bin/%))
ifeq ($(VARIANT),afl)
	@for name in $(AFL); do mkdir -p build/afl/out/$$name; \
	    AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_UI=1 AFL_NO_AFFINITY=1 AFL_AUTORESUME=1 \
	    afl-fuzz -V $(FUZZ_SECONDS) -i tests/fuzz/corpus/$$name -o build/afl/out/$$name build/afl/bin/$$name >build/afl/out/$$name.log 2>&1 || { tail build/afl/out/$$name.log; exit 1; }; \
	    grep -E '^(execs_done|corpus_count|saved_crashes|saved_hangs)' build/afl/out/$$name/default/fuzzer_stats | sed "s/^/$$name: /"; \
	    grep -q '^saved_crashes *: 0$$' build/afl/out/$$name/default/fuzzer_stats || exit 1; done
else
	@tests/setup/packages afl++ clang
	@$(MAKE) --no-print-directory VARIANT=afl afl
endif

# A test that fails beside others gets a second chance alone: on a busy machine a deadline of the lab may pass unmet. Both outcomes are
# printed, so one that needs the second chance often is seen.
PYTEST := /usr/bin/python3 -m pytest -q -c tests/integration/pytest.ini -o cache_dir=$(CURDIR)/build/pytest
AGAIN   = || { echo 'those that failed, once more, alone:'; $(PYTEST) --last-failed --last-failed-no-failures none
## integration  real clients, real servers: the whole way through build/tidegate (TESTS=... names some)
TESTS ?= tests/integration
integration: build deb build/.deps-test interpose
	@tests/setup/peers
	$(PYTEST) -n 2 $(TESTS) $(AGAIN) $(TESTS); }

INTERPOSE := build/torture/interpose.so
$(INTERPOSE): tests/torture/interpose.c build/.deps
	@mkdir -p $(@D)
	@echo '  cc $<'
	$(Q)$(CC) -std=c11 -D_GNU_SOURCE -O2 -g -fPIC -shared -ftls-model=initial-exec -pthread $(WARN) -Wno-missing-prototypes -o $@ $<
.PHONY: interpose
interpose: $(INTERPOSE)

# The same tests against builds that watch themselves. A report of a sanitizer fails the test that provoked it.
integration-sanitized: build/.deps-test
	@$(MAKE) --no-print-directory VARIANT=asan build
	@$(MAKE) --no-print-directory VARIANT=tsan build
	@tests/setup/peers
	TIDEGATE_BINARY=$(CURDIR)/build/asan/tidegate; export TIDEGATE_BINARY; $(PYTEST) -n 2 -m core $(TESTS) $(AGAIN) -m core $(TESTS); }
	TIDEGATE_BINARY=$(CURDIR)/build/tsan/tidegate; export TIDEGATE_BINARY; $(PYTEST) -n 2 -m threads $(TESTS) $(AGAIN) -m threads $(TESTS); }

## test         everything that must hold, on a machine with git and make; about twenty minutes
test: build build/.deps-test
	@$(MAKE) --no-print-directory lint stories model benches
	@$(MAKE) --no-print-directory -j2 unit
	@$(MAKE) --no-print-directory -j2 VARIANT=asan unit replay
	@$(MAKE) --no-print-directory -j2 VARIANT=tsan unit-threads
	@$(MAKE) --no-print-directory -j2 fuzzers
	tests/fuzz/run --seconds 20 --seed 1
	@$(MAKE) --no-print-directory integration
	@$(MAKE) --no-print-directory integration-sanitized

## model        the state machines of a recipient and of the ledger, all their states (Spin; tests/model/README.md)
.PHONY: model
model:
	@tests/setup/packages spin gcc libc6-dev
	@tests/model/run

## torture      nothing acknowledged is lost: power cuts, kills, failing calls, a full disk, a wrong clock; about an hour and a half
torture: build build/.deps-test interpose $(OUT)/unit/store_full_test
	@tests/setup/peers
	tests/torture/powercut.py --cuts 500 --seconds 20
	tests/torture/faults.py --kinds kill
	tests/torture/faults.py --kinds write sync name read socket memory --most 150
	tests/torture/kill.py --kills 1000
	tests/torture/cap.py --messages 20000 --cap 5000
	tests/torture/cap.py --messages 16000 --cap 5000 --least 4700 --gateways 3
	tests/torture/clock.py --jumps 100
	tests/torture/upgrade.py
	@tests/setup/run-units $(OUT)/unit/store_full_test

# Those whose rooms are used by several threads.
THREADED := $(filter %/net_loop_test %/store_store_test %/store_patience_test %/store_redo_test %/store_compact_test %/store_full_test %/relay_ledger_test %/relay_password_test %/relay_token_test %/relay_gateway_test,$(UNIT_BINARIES))
unit-threads: $(THREADED)
	@tests/setup/run-units $(THREADED)

# ---- packaging -------------------------------------------------------------------------------------------------

VERSION := $(shell sed -n 's/.*TIDEGATE_VERSION "\(.*\)".*/\1/p' gateway/base/version.h)
DEB     := build/deb/tidegate_$(VERSION)_amd64.deb

build/.deps-deb: appliance/debian/build-needs build/.deps
	@tests/setup/packages $$(grep -v '^\#' appliance/debian/build-needs)
	@touch $@

$(DEB): $(BINARY) build/.deps-deb LICENSE README.md $(shell find appliance/debian conf scripts stdlib -type f 2>/dev/null)
	@echo '  deb $@'
	@appliance/debian/package $@

## deb          build/deb/tidegate_VERSION_amd64.deb, which the appliance installs and any Debian 12 can (appliance/README.md)
deb: $(DEB)

build/.deps-appliance: appliance/make/needs build/.deps
	@tests/setup/packages $$(grep -v '^\#' appliance/make/needs)
	@touch $@

# The operator's signing key (Ed25519, PEM) and version; APPLIANCE=--fresh asks the archive again.
APPLIANCE_KEY     ?=
APPLIANCE_VERSION ?= $(VERSION)
APPLIANCE         ?=
## appliance    build/appliance: the virtual machine as raw, qcow2, VMDK, OVA, VHDX, signed (APPLIANCE_KEY=FILE; appliance/README.md)
appliance: $(DEB) build/.deps-appliance
	@appliance/make/appliance $(DEB) --version $(APPLIANCE_VERSION) $(if $(APPLIANCE_KEY),--key $(APPLIANCE_KEY)) $(APPLIANCE)

## appliance-test  boots the image in QEMU: seed, mail, reload, power cut, upgrade, rollback, restore (build/appliance-test/transcript.txt)
APPLIANCE_TEST ?=
appliance-test: appliance
	@tests/appliance/run $(if $(APPLIANCE_KEY),--key $(APPLIANCE_KEY)) $(APPLIANCE_TEST)

# ---- measuring -------------------------------------------------------------------------------------------------

MICRO   := $(patsubst tests/bench/%.c,build/bench/%,$(sort $(wildcard tests/bench/micro_*.c)))
BENCHES := build/bench/load build/bench/sink $(MICRO)

build/bench/micro_%: tests/bench/micro_%.c tests/bench/micro.h build/plain/libtidegate.a
	@mkdir -p $(@D)
	@echo '  cc $<'
	$(Q)$(CC) $(COMMON) -O2 $(LIB_CFLAGS) -o $@ $< build/plain/libtidegate.a $(LIB_LIBS)

build/bench/%: tests/bench/%.c tests/bench/kit.c tests/bench/kit.h build/.deps
	@mkdir -p $(@D)
	@echo '  cc $<'
	$(Q)$(CC) $(COMMON) -O2 -o $@ $< tests/bench/kit.c -lssl -lcrypto

benches: $(BENCHES)

## bench        Tidegate beside Postfix, OpenSMTPD, Exim and Haraka, in one run; BENCH=--quick: Postfix alone, a minute
BENCH ?=
bench: build build/.deps-test $(BENCHES)
	@tests/setup/peers bench
	@tests/bench/bench $(BENCH)

## micro        what one call of each machine costs, beside the budgets (MICRO_ARGS=--quick)
MICRO_ARGS ?=
micro: build $(MICRO)
	@tests/bench/micro $(MICRO_ARGS)

## scale        a backlog up to a million, 4 GB that drain, 10,000 idle connections, 10,000 lanes (SCALE=--small: two minutes)
SCALE ?=
scale: build build/.deps-test $(BENCHES)
	@tests/setup/peers
	@tests/bench/scale $(SCALE)

## measure      all figures of this version: bench, micro and scale, one after the other; about half an hour, on an idle machine
measure:
	@failed=; for what in micro scale bench; do $(MAKE) --no-print-directory $$what || failed="$$failed $$what"; done; \
	    [ -z "$$failed" ] || { echo "not as it should be:$$failed" >&2; exit 1; }

## clean        remove build/ (var/ with its queue is left alone)
clean:
	rm -rf build

## help         this list
help:
	@sed -n 's/^## //p' Makefile

-include $(OBJECTS:.o=.d) $(UNIT_BINARIES:%=%.d)
