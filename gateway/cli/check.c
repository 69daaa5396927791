// SPDX-License-Identifier: MIT
#include "base/jsonl.h"
#include "cli/certificates.h"
#include "cli/loose_ends.h"
#include "cli/show.h"
#include "cli/tool.h"
#include "cli/trial.h"
#include "cli/verbs.h"
#include "policy/generation.h"
#include "policy/hooks.h"
#include "relay/conf_key.h"
#include "relay/site.h"
#include "script/lines.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

struct checking {
    const struct call *call;
    size_t faults, warnings;
    struct loose_ends *ends;
    struct buf unreached; // hooks that the trial did not come to
};

static void print(const struct checking *c, const char *kind, const char *text) {
    struct buf line = {0};
    if (call_has(c->call, "json")) {
        struct jsonl j = jsonl_begin(&line);
        jsonl_textz(&j, kind, text);
        jsonl_end(&j);
    } else {
        if (strcmp(kind, "warning") == 0) buf_addz(&line, "warning: ");
        show_clean(&line, bytes_of(text));
        buf_byte(&line, '\n');
    }
    fwrite(line.at, 1, line.len, stdout);
    buf_release(&line);
}

static void print_fault(void *arg, const char *text) {
    struct checking *c = arg;
    c->faults++;
    print(c, "fault", text);
}

static void print_warning(void *arg, const char *text) {
    struct checking *c = arg;
    c->warnings++;
    print(c, "warning", text);
}

static int print_keys(void) {
    struct buf page = {0};
    conf_reference(&page);
    fwrite(page.at, 1, page.len, stdout);
    buf_release(&page);
    return EX_OK;
}

// Files that nobody requires are compiled, too: what is in the folder is meant to work.
static void check_syntax(struct checking *c, const struct bundle *bundle) {
    struct bytes name, text;
    for (size_t i = 0; bundle_at(bundle, i, &name, &text); i++) {
        struct err err;
        bool *lines = NULL;
        if (!lines_with_code(text, &lines, &err)) {
            struct buf words = {0};
            struct bytes said = bytes_of(err.text);
            buf_add(&words, name);
            buf_add(&words, bytes_starts(said, BYTES("text:")) ? bytes_skip(said, 4) : said);
            print_fault(c, buf_z(&words));
            buf_release(&words);
        }
        free(lines);
    }
}

// Hooks that the policy has and the trial did not come to.
static void note_unreached(struct checking *c, const struct generation *g, struct bytes reached) {
    static const char *const hooks[] = {"connect", "authenticate", "sender", "recipient", "message", "route", "retry"};
    for (size_t i = 0; i < sizeof hooks / sizeof *hooks; i++) {
        if (!hook_is_defined(g, hooks[i]) || bytes_search(reached, bytes_of(hooks[i])) >= 0) continue;
        buf_format(&c->unreached, "%s%s", c->unreached.len ? ", " : "", hooks[i]);
    }
}

static void on_decision(void *arg, const struct json *decision) {
    struct checking *c = arg;
    loose_ends_decided(c->ends, decision);
}

static void try_scripts(struct checking *c, const struct site *site, struct bundle *bundle, struct generation *g) {
    struct buf reached = {0};
    struct err err;
    size_t before = c->faults;
    c->ends = loose_ends_new();
    if (!trial_run(site->conf, site->users, bundle, &(struct trial_eyes){print_fault, on_decision, c}, &reached, &err)) print_fault(c, err.text);
    note_unreached(c, g, buf_bytes(&reached));
    // What a fault kept from being asked would look unused.
    if (c->faults == before)
        loose_ends_tell(c->ends, g, site->users, site->conf->users ? site->conf->users : "", trial_user(site->conf, site->users), print_warning, c);
    loose_ends_free(&c->ends);
    buf_release(&reached);
}

// The scripts as a worker would load them, with the budgets of the configuration, and then asked. "" where they do not load.
static void check_scripts(struct checking *c, const struct site *site, char version[16]) {
    const struct conf *conf = site->conf;
    struct clock clock = {0};
    struct log log;
    struct err err;
    log_open(&log, LOG_WARN, &clock);
    version[0] = 0;
    struct bundle *bundle = bundle_read(conf->scripts, conf->stdlib, &err);
    if (!bundle) {
        print_fault(c, err.text);
        return;
    }
    struct generation_options options;
    conf_script_options(conf, &options);
    options.check_keys = options.watch = true;
    options.clock = &clock;
    options.log = &log;
    size_t before = c->faults;
    check_syntax(c, bundle);
    struct generation *generation = c->faults == before ? generation_new(bundle, &options, &err) : NULL;
    if (generation) {
        snprintf(version, 16, "%s", generation_version(generation));
        try_scripts(c, site, bundle, generation);
    } else if (c->faults == before) {
        print_fault(c, err.text);
    }
    generation_free(&generation);
    bundle_free(&bundle);
}

static int check_store(struct checking *c, const struct conf *conf, uint64_t *checked) {
    struct clock clock = {0};
    struct log log;
    struct err err;
    if (access(conf->store, F_OK) != 0) return EX_OK; // nothing was ever queued
    log_open(&log, LOG_WARN, &clock);
    struct store_options options = {.path = conf->store,
                                    .segment_bytes = conf->segment_size,
                                    .ceiling_bytes = conf->store_ceiling,
                                    .reserve_bytes = conf->store_reserve,
                                    .journal_max = conf->journal_max,
                                    .clock = &clock,
                                    .log = &log};
    struct store *store = store_open(&options, &err);
    if (!store) return tool_fail(c->call, EX_UNAVAILABLE, "%s (stop the gateway first)", err.text);
    bool sound = store_check(store, print_fault, c, checked);
    store_close(&store);
    return sound ? EX_OK : EX_DATAERR;
}

static void print_verdict(const struct checking *c, const char *file, const char *version, const uint64_t *checked) {
    if (call_has(c->call, "json")) {
        printf("{\"good\":true,\"policy\":\"%s\",\"warnings\":%zu,\"unreached\":\"%.*s\"", version, c->warnings, BYTES_FMT(buf_bytes(&c->unreached)));
        if (checked) printf(",\"records\":%" PRIu64, *checked);
        printf("}\n");
        return;
    }
    printf("%s: good; policy %s", file, version);
    if (c->warnings) printf("; %zu warning%s", c->warnings, c->warnings == 1 ? "" : "s");
    if (checked) printf("; %" PRIu64 " records of the queue are sound", *checked);
    if (c->unreached.len) printf("; no trial message came to %.*s (stories do)", BYTES_FMT(buf_bytes(&c->unreached)));
    printf("\n");
}

int verb_check(const struct call *call) {
    if (call_has(call, "keys")) return print_keys();
    int code = EX_OK;
    const char *file = tool_conf_file(call, &code);
    if (!file) return code;
    struct checking c = {.call = call};
    char version[16] = "";
    uint64_t checked = 0;
    struct site *site = site_load(file, NULL, print_fault, &c);
    if (site) {
        certificates_look(site->conf, time(NULL), print_warning, &c);
        check_scripts(&c, site, version);
        if (call_has(call, "store")) code = check_store(&c, site->conf, &checked);
        site_free(&site);
    }
    if (!code && c.faults) code = tool_fail(call, EX_CONFIG, "%zu fault%s", c.faults, c.faults == 1 ? "" : "s");
    if (!code && c.warnings && call_has(call, "strict"))
        code = tool_fail(call, EX_CONFIG, "%zu warning%s, and --strict", c.warnings, c.warnings == 1 ? "" : "s");
    if (!code) print_verdict(&c, file, version, call_has(call, "store") ? &checked : NULL);
    buf_release(&c.unreached);
    return code;
}
