# Tidegate. Two commands matter: `make run` and `make test`; `make help` lists the rest.
#
# A variant is a way to compile everything: plain (what ships), asan (Address- and UBSanitizer), tsan
# (ThreadSanitizer), fuzz (libFuzzer, clang). Each has its own objects below build/VARIANT.

VARIANT ?= plain
CC      ?= cc
OUT     := build/$(VARIANT)
SHELL   := /bin/bash

PACKAGES_BUILD := gcc libc6-dev pkg-config libevent-dev libssl-dev libc-ares-dev libopendkim-dev liblmdb-dev \
    liblua5.4-dev libidn2-dev libpcre2-dev libjansson-dev libsystemd-dev libcrypt-dev openssl
LIBRARIES := libevent libssl libcrypto libcares opendkim lmdb lua5.4 libidn2 libpcre2-8 jansson libsystemd libcrypt

WARN   := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
COMMON := -std=c11 -D_GNU_SOURCE -Igateway -g -fno-omit-frame-pointer -pthread $(WARN)
# gcc sees a cut-off text in every bounded snprintf; ours are bounded on purpose. clang does not know the warning.
ifneq ($(VARIANT),fuzz)
WARN   += -Wno-format-truncation
endif
ifeq ($(VARIANT),plain)
FLAGS  := -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
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
else
$(error VARIANT=$(VARIANT): plain, asan, tsan or fuzz)
endif

# Looked up when first used, after `deps` had its chance to install what is missing.
LIB_CFLAGS = $(eval LIB_CFLAGS := $(shell pkg-config --cflags $(LIBRARIES)))$(LIB_CFLAGS)
LIB_LIBS   = $(eval LIB_LIBS := $(shell pkg-config --libs $(LIBRARIES)) -lresolv)$(LIB_LIBS)

ROOMS   := $(sort $(wildcard gateway/*/*.c))
OBJECTS := $(ROOMS:%.c=$(OUT)/%.o)
MAIN    := $(OUT)/gateway/cli/main.o
ARCHIVE := $(OUT)/libtidegate.a
BINARY  := $(if $(filter plain,$(VARIANT)),build/tidegate,$(OUT)/tidegate)
UNITS   := $(sort $(wildcard tests/unit/*_test.c))
UNIT_BINARIES := $(UNITS:tests/unit/%.c=$(OUT)/unit/%)

.DEFAULT_GOAL := build
.PHONY: build deps run help clean unit
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
	$(CC) $(COMMON) $(FLAGS) $(LIB_CFLAGS) -MMD -MP -c $< -o $@

$(ARCHIVE): $(filter-out $(MAIN),$(OBJECTS))
	@rm -f $@
	ar rcs $@ $^

$(BINARY): $(MAIN) $(ARCHIVE)
	$(CC) $(LINK) -pthread -o $@ $^ $(LIB_LIBS)

$(OUT)/unit/%: tests/unit/%.c $(ARCHIVE)
	@mkdir -p $(@D)
	$(CC) $(COMMON) $(FLAGS) -Itests/unit $(LIB_CFLAGS) -MMD -MP -MF $@.d $(LINK) -o $@ $< $(ARCHIVE) $(LIB_LIBS) -lcmocka

## unit         build and run the unit tests of VARIANT (plain, asan, tsan)
unit: $(UNIT_BINARIES)
	@tests/setup/run-units $(UNIT_BINARIES)

## clean        remove build/ (var/ with its queue is left alone)
clean:
	rm -rf build

## help         this list
help:
	@sed -n 's/^## //p' Makefile

-include $(OBJECTS:.o=.d) $(UNIT_BINARIES:%=%.d)
