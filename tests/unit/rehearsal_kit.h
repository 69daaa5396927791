// SPDX-License-Identifier: MIT
// rehearsal_kit: a rehearsal of a policy given as text, with rules of its peers given as text.
#pragma once

#include "relay/arrival.h"
#include "relay/rehearsal.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KIT_START INT64_C(1793491200000) // 2026-11-01, a Sunday

struct kit {
    char folder[64];
    struct bundle *bundle;
    struct peer_rules *rules;
    struct rehearsal *r;
    struct rehearsal_options options;
};

static inline void kit_write(const struct kit *k, const char *name, const char *text) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", k->folder, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static inline void kit_fault(void *arg, const char *text) {
    (void)arg;
    fail_msg("%s", text);
}

// rules NULL: everybody takes everything. options: fate, accepted, arg.
static inline void kit_open(struct kit *k, const char *policy, const char *rules, const struct rehearsal_options *options) {
    char path[200];
    struct err err = {""};
    *k = (struct kit){.options = *options};
    snprintf(k->folder, sizeof k->folder, "%s/tidegate-kit-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(k->folder));
    snprintf(path, sizeof path, "%s/scripts", k->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    kit_write(k, "tidegate.lua", "return { hostname = 'gateway.example', listeners = {}, scripts = 'scripts', users = nil }\n");
    kit_write(k, "scripts/policy.lua", policy);
    k->bundle = bundle_read(path, "stdlib", &err);
    if (!k->bundle) fail_msg("%s", err.text);
    k->rules = rules ? peer_rules_read(bytes_of(rules), "peers.lua", KIT_START, &err) : peer_rules_usual();
    if (!k->rules) fail_msg("%s", err.text);
    snprintf(path, sizeof path, "%s/tidegate.lua", k->folder);
    k->options.conf = conf_read(path, kit_fault, NULL);
    k->options.bundle = k->bundle;
    k->options.rules = k->rules;
    k->options.start_ms = KIT_START;
    k->options.log_level = LOG_FAULT;
    k->r = rehearsal_open(&k->options, &err);
    if (!k->r) fail_msg("%s", err.text);
}

static inline int kit_remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw) {
    (void)st, (void)what, (void)ftw;
    return remove(path);
}

static inline void kit_close(struct kit *k) {
    rehearsal_close(&k->r);
    bundle_free(&k->bundle);
    peer_rules_free(&k->rules);
    nftw(k->folder, kit_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
