// SPDX-License-Identifier: MIT
// lab_kit: for tests of labs and stories: a scripts folder, its bundle, and the usual budgets.
#pragma once

#include "policy/lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

struct kit {
    char root[64];
    struct bundle *bundle;
    struct generation_options usual;
    struct err err;
};

static inline void kit_put(struct kit *k, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", k->root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static inline void kit_open(struct kit *k) {
    *k = (struct kit){0};
    snprintf(k->root, sizeof k->root, "/tmp/tidegate-lab-test-XXXXXX");
    assert_non_null(mkdtemp(k->root));
    k->usual = (struct generation_options){.key_dir = k->root, .hostname = "gate.example"};
}

// The folder has this policy and what was put there before.
static inline struct bundle *kit_bundle(struct kit *k, const char *policy) {
    kit_put(k, "policy.lua", policy);
    if (k->bundle) bundle_free(&k->bundle);
    k->bundle = bundle_read(k->root, "stdlib", &k->err);
    if (!k->bundle) fail_msg("%s", k->err.text);
    return k->bundle;
}

static inline void kit_close(struct kit *k) {
    char command[128];
    if (k->bundle) bundle_free(&k->bundle);
    snprintf(command, sizeof command, "rm -rf '%s'", k->root);
    assert_int_equal(system(command), 0);
}
