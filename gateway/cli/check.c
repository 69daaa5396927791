// SPDX-License-Identifier: MIT
#include "base/jsonl.h"
#include "cli/show.h"
#include "cli/tool.h"
#include "cli/verbs.h"
#include "policy/generation.h"
#include "relay/conf_key.h"
#include "relay/site.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

struct checking {
    const struct call *call;
    size_t faults;
};

static void print_fault(void *arg, const char *text) {
    struct checking *c = arg;
    struct buf line = {0};
    c->faults++;
    if (call_has(c->call, "json")) {
        struct jsonl j = jsonl_begin(&line);
        jsonl_textz(&j, "fault", text);
        jsonl_end(&j);
    } else {
        show_clean(&line, bytes_of(text));
        buf_byte(&line, '\n');
    }
    fwrite(line.at, 1, line.len, stdout);
    buf_release(&line);
}

static int print_keys(void) {
    struct buf page = {0};
    conf_reference(&page);
    fwrite(page.at, 1, page.len, stdout);
    buf_release(&page);
    return EX_OK;
}

// The scripts as a worker would load them, with the budgets of the configuration. "" where they do not load.
static void check_scripts(struct checking *c, const struct conf *conf, char version[16]) {
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
    struct generation_options options = {.check_keys = true,
                                         .memory_max = conf->limits.script_memory,
                                         .steps_max = (uint64_t)conf->limits.hook_steps,
                                         .time_max_ms = (int64_t)conf->limits.hook_time_s * 1000,
                                         .key_dir = conf->base,
                                         .hostname = conf->hostname,
                                         .clock = &clock,
                                         .log = &log};
    struct generation *generation = generation_new(bundle, &options, &err);
    if (!generation)
        print_fault(c, err.text);
    else
        snprintf(version, 16, "%s", generation_version(generation));
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

static void print_verdict(const struct call *call, const char *file, const char *version,
                          const uint64_t *checked) {
    if (call_has(call, "json")) {
        printf("{\"good\":true,\"policy\":\"%s\"", version);
        if (checked) printf(",\"records\":%" PRIu64, *checked);
        printf("}\n");
        return;
    }
    printf("%s: good; policy %s", file, version);
    if (checked) printf("; %" PRIu64 " records of the queue are sound", *checked);
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
    struct site *site = site_load(file, print_fault, &c);
    if (site) {
        check_scripts(&c, site->conf, version);
        if (call_has(call, "store")) code = check_store(&c, site->conf, &checked);
        site_free(&site);
    }
    if (code) return code;
    if (c.faults) return tool_fail(call, EX_CONFIG, "%zu fault%s", c.faults, c.faults == 1 ? "" : "s");
    print_verdict(call, file, version, call_has(call, "store") ? &checked : NULL);
    return EX_OK;
}
