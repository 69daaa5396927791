// SPDX-License-Identifier: MIT
#include "base/clock.h"
#include "cli/progress.h"
#include "cli/simulate_report.h"
#include "cli/tool.h"
#include "cli/verbs.h"
#include "relay/simulation.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { OVER_A_CAP = 1, FILE_MAX = 256 << 20, DAYS = 30, DAYS_MOST = 3660 };
static const int64_t day_ms = 86400 * 1000;

struct simulating {
    const struct call *call;
    struct simulation_options options;
    struct traffic *traffic;
    struct peer_rules *rules;
    struct bundle *bundle;
    struct progress progress;
};

static bool read_file(const char *path, struct buf *text, struct err *err) {
    FILE *f = fopen(path, "re");
    bool more = true;
    if (!f) return err_errno(err, "%s", path);
    while (more && text->len <= FILE_MAX) {
        buf_reserve(text, 1 << 16);
        size_t n = fread(text->at + text->len, 1, 1 << 16, f);
        text->len += n;
        more = n > 0;
    }
    bool good = !ferror(f) || err_errno(err, "%s", path);
    fclose(f);
    return good && (text->len <= FILE_MAX || err_set(err, "%s: larger than %d MiB", path, FILE_MAX >> 20));
}

static bool write_file(const char *path, const struct buf *text, struct err *err) {
    FILE *f = fopen(path, "we");
    if (!f) return err_errno(err, "%s", path);
    bool good = fwrite(text->at, 1, text->len, f) == text->len;
    good = fclose(f) == 0 && good;
    return good || err_errno(err, "%s", path);
}

static bool read_traffic(struct simulating *s, struct err *err) {
    const char *path = call_text(s->call, "traffic");
    struct buf text = {0};
    if (!path) return err_set(err, "--traffic FILE says what mail comes in; scripts/examples/simulate/traffic.lua is one");
    if (read_file(path, &text, err))
        s->traffic = traffic_read(buf_bytes(&text), path, s->options.rehearsal.start_ms, s->options.rehearsal.seed, err);
    buf_release(&text);
    s->options.traffic = s->traffic;
    return s->traffic != NULL;
}

static bool read_peers(struct simulating *s, struct err *err) {
    const char *path = call_text(s->call, "peers");
    struct buf text = {0};
    if (!path) s->rules = peer_rules_usual();
    else if (read_file(path, &text, err)) s->rules = peer_rules_read(buf_bytes(&text), path, s->options.rehearsal.start_ms, err);
    buf_release(&text);
    s->options.rehearsal.rules = s->rules;
    return s->rules != NULL;
}

// The coming midnight, UTC, where nothing is said.
static bool read_start(struct simulating *s, struct err *err) {
    const char *text = call_text(s->call, "start");
    int64_t now = (int64_t)time(NULL) * 1000;
    s->options.rehearsal.start_ms = (now / day_ms + 1) * day_ms;
    if (!text || clock_from_iso(bytes_of(text), &s->options.rehearsal.start_ms)) return true;
    return err_set(err, "--start: '%s' is no time ('2026-11-24' or '2026-11-24T10:00Z')", text);
}

static void on_progress(void *arg, int64_t now_ms, uint64_t messages) {
    struct simulating *s = arg;
    progress_at(&s->progress, (uint64_t)(now_ms - s->options.rehearsal.start_ms), messages, "messages");
}

// What cannot be written is said before the days are played, not behind them.
static bool can_write(const char *path, struct err *err) {
    if (!path) return true;
    FILE *f = fopen(path, "a");
    if (!f) return err_errno(err, "%s", path);
    fclose(f);
    return true;
}

static bool write_results(const struct call *call, const struct simulate_report *report, struct err *err) {
    const char *csv = call_text(call, "csv"), *svg = call_text(call, "svg");
    struct buf text = {0};
    if (csv) simulate_report_csv(report, &text);
    bool good = !csv || write_file(csv, &text, err);
    buf_reset(&text);
    if (good && svg) {
        simulate_report_svg(report, &text);
        good = write_file(svg, &text, err);
    }
    buf_release(&text);
    return good;
}

static int play(struct simulating *s) {
    struct err err;
    int64_t began = clock_monotonic_us();
    s->progress = progress_begin("simulating", (uint64_t)(s->options.days * day_ms));
    struct tally *tally = simulation_run(&s->options, &err);
    progress_end(&s->progress);
    if (!tally) return tool_fail(s->call, EX_CONFIG, "%s", err.text);
    struct simulate_report report = {.tally = tally, .start_ms = s->options.rehearsal.start_ms, .seed = s->options.rehearsal.seed,
                                     .policy = bundle_version(s->bundle)};
    // Not among the results, which are the same every time.
    if (isatty(STDERR_FILENO)) fprintf(stderr, "%.1f s\n", (double)(clock_monotonic_us() - began) / 1e6);
    int code = tally_limits(tally).broken ? OVER_A_CAP : EX_OK;
    if (!write_results(s->call, &report, &err)) code = tool_fail(s->call, EX_CANTCREAT, "%s", err.text);
    if (call_has(s->call, "json")) simulate_report_json(&report, stdout);
    else simulate_report_print(&report, stdout);
    tally_free(&tally);
    return code;
}

static bool prepare(struct simulating *s, struct conf *conf, struct err *err) {
    const char *scripts = call_text(s->call, "scripts");
    if (!read_start(s, err) || !read_traffic(s, err) || !read_peers(s, err)) return false;
    s->bundle = bundle_read(scripts ? scripts : conf->scripts, conf->stdlib, err);
    s->options.rehearsal.bundle = s->bundle;
    return s->bundle != NULL;
}

int verb_simulate(const struct call *call) {
    struct simulating s = {.call = call};
    struct err err;
    int code = EX_OK;
    int64_t days = call_number(call, "days", DAYS);
    if (days < 1 || days > DAYS_MOST) return tool_fail(call, EX_USAGE, "--days: 1 to %d are possible", DAYS_MOST);
    setenv("TZ", "UTC", 1); // hours in scripts mean the same on every machine
    tzset();
    struct conf *conf = tool_conf_values(call, &code);
    if (!conf) return code;
    s.options = (struct simulation_options){.days = (int)days, .progress = on_progress, .arg = &s};
    s.options.rehearsal = (struct rehearsal_options){.conf = conf, .seed = (uint64_t)call_number(call, "seed", 1), .log_level = LOG_WARN};
    if (!can_write(call_text(call, "csv"), &err) || !can_write(call_text(call, "svg"), &err)) {
        code = tool_fail(call, EX_CANTCREAT, "%s", err.text);
        conf_free(&conf);
    } else if (prepare(&s, conf, &err)) {
        code = play(&s);
    } else {
        code = tool_fail(call, call_text(call, "traffic") ? EX_DATAERR : EX_USAGE, "%s", err.text);
        conf_free(&conf);
    }
    if (s.traffic) traffic_free(&s.traffic);
    if (s.rules) peer_rules_free(&s.rules);
    if (s.bundle) bundle_free(&s.bundle);
    return code;
}
