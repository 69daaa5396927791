// SPDX-License-Identifier: MIT
#include "cli/replaying.h"

#include "base/condition.h"
#include "cli/progress.h"
#include "cli/show.h"
#include "cli/tool.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 32, WAIT_NS = 50000000 };

// ---- which messages

struct choice {
    uint64_t *ids;
    size_t count, room;
    uint64_t last;
};

static bool note_id(void *arg, uint64_t id, int64_t at_ms, struct bytes entry) {
    struct choice *c = arg;
    (void)at_ms;
    (void)entry;
    if (c->count && c->last == id) return true;
    if (c->count == c->room) {
        c->room = c->room ? c->room * 2 : 1024;
        c->ids = must_realloc(c->ids, c->room * sizeof *c->ids);
    }
    c->ids[c->count++] = c->last = id;
    return true;
}

static bool read_sample(const char *text, double *share, uint64_t *most, struct err *err) {
    char *end;
    *share = 1;
    *most = UINT64_MAX;
    if (!text) return true;
    double n = strtod(text, &end);
    bool percent = *end == '%' && !end[1];
    if (end == text || n <= 0 || (percent && n > 100) || (!percent && *end))
        return err_set(err, "--sample: a number of messages, or a share as 10%%, is expected, not '%s'", text);
    if (percent) *share = n / 100;
    else *most = (uint64_t)n;
    return true;
}

// The same messages for the same journal, spread over all of it.
static void thin(struct choice *c, double share, uint64_t most) {
    size_t kept = 0, was = c->count;
    if (most > was) most = was;
    for (size_t i = 0; i < was; i++) {
        char be[8];
        put_be64(be, c->ids[i]);
        bool in_share = share >= 1 || (double)(bytes_hash(bytes_range(be, sizeof be)) % 10000) < share * 10000;
        bool in_most = most == was || i * most / was != (i + 1) * most / was;
        if (in_share && in_most) c->ids[kept++] = c->ids[i];
    }
    c->count = kept;
}

// ---- threads

struct crew {
    const struct choice *choice;
    struct store *store;
    const struct replay_options *options;
    atomic_size_t next, done;
    atomic_int left;
};

struct hand {
    struct crew *crew;
    pthread_t thread;
    bool started;
    struct replay *replay;
    struct err err;
};

static void *work(void *arg) {
    struct hand *h = arg;
    struct crew *c = h->crew;
    struct reader *reader = reader_new(c->store, &h->err);
    if (reader) h->replay = replay_new(c->options, &h->err);
    for (size_t i; h->replay && (i = atomic_fetch_add(&c->next, 1)) < c->choice->count;) {
        replay_message(h->replay, reader, c->choice->ids[i]);
        atomic_fetch_add(&c->done, 1);
    }
    reader_free(&reader);
    atomic_fetch_sub(&c->left, 1);
    return NULL;
}

static void watch(struct crew *c, bool quiet) {
    struct progress p = progress_begin("replaying", c->choice->count);
    while (atomic_load(&c->left) > 0) {
        nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
        size_t done = atomic_load(&c->done);
        if (!quiet) progress_at(&p, done, done, "messages");
    }
    progress_end(&p);
}

static bool run_crew(struct replaying *r, struct crew *c, struct err *err) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t count = cores < 1 ? 1 : cores > THREADS_MAX ? THREADS_MAX : (size_t)cores;
    struct hand *hands = must_alloc(count * sizeof *hands);
    bool good = true;
    if (count > c->choice->count) count = c->choice->count ? c->choice->count : 1;
    atomic_store(&c->left, (int)count);
    for (size_t i = 0; i < count; i++) {
        hands[i].crew = c;
        hands[i].started = pthread_create(&hands[i].thread, NULL, work, &hands[i]) == 0;
        if (!hands[i].started) atomic_fetch_sub(&c->left, 1);
    }
    watch(c, r->quiet);
    size_t worked = 0;
    for (size_t i = 0; i < count; i++) {
        if (hands[i].started) pthread_join(hands[i].thread, NULL);
        if (hands[i].started && !hands[i].replay) {
            *err = hands[i].err;
            good = false;
        }
        if (!hands[i].replay) continue;
        worked++;
        replay_add(r->tally, replay_result(hands[i].replay));
        replay_free(&hands[i].replay);
    }
    free(hands);
    return good && (worked || err_set(err, "no thread could be started"));
}

// ---- the condition

static bool is_failed(struct replaying *r, struct err *err) {
    const struct replay_tally *t = r->tally;
    uint64_t same = t->counts[CONTRAST_NONE], unknown = t->counts[CONTRAST_UNKNOWN];
    double all = (double)t->decisions, mean = all > 0 ? (double)t->took_us / all : 0;
    const struct figure figures[] = {
        {"decisions", all}, {"messages", (double)t->messages}, {"changed", (double)(t->decisions - same - unknown)},
        {"unknown", (double)unknown}, {"incomplete", (double)t->incomplete}, {"route", (double)t->counts[CONTRAST_ROUTE]},
        {"identity", (double)t->counts[CONTRAST_IDENTITY]}, {"limit", (double)t->counts[CONTRAST_LIMIT]},
        {"refusal", (double)t->counts[CONTRAST_REFUSAL]}, {"fault", (double)t->counts[CONTRAST_FAULT]},
        {"other", (double)t->counts[CONTRAST_OTHER]}, {"mean_us", mean}, {"longest_us", (double)t->longest_us}, {0}};
    r->failed = false;
    if (!r->fail_if) return true;
    return condition_holds(bytes_of(r->fail_if), figures, all, &r->failed, &r->why, err) || err_within(err, "--fail-if");
}

// ---- the run

static bool choose(struct replaying *r, struct store *store, const struct clock *clock, struct choice *c, struct err *err) {
    double share;
    uint64_t most;
    if (!read_sample(r->sample, &share, &most, err)) return false;
    struct reader *reader = reader_new(store, err);
    if (!reader) return false;
    int64_t from_ms = clock_ms(clock) - r->since_s * 1000;
    reader_begin(reader);
    reader_journal(reader, from_ms > 0 ? id_make(from_ms, 0, 0) : 0, note_id, c);
    reader_end(reader);
    reader_free(&reader);
    thin(c, share, most);
    return true;
}

static bool replay_all(struct replaying *r, struct bundle *b, struct store *store, const struct clock *clock, struct err *err) {
    struct choice choice = {0};
    struct generation_options usual;
    conf_script_options(r->conf, &usual);
    struct replay_options options = {.bundle = b, .usual = &usual, .kept = &r->conf->journal_fields, .expire_s = r->conf->expire_s};
    struct crew crew = {.choice = &choice, .store = store, .options = &options};
    int64_t began_us = clock_monotonic_us();
    bool good = choose(r, store, clock, &choice, err) && run_crew(r, &crew, err) && is_failed(r, err);
    r->took_ms = (clock_monotonic_us() - began_us) / 1000;
    free(choice.ids);
    return good;
}

bool replaying_run(struct replaying *r, const struct call *call, int *code) {
    static const struct clock clock;
    struct log log;
    struct err err;
    r->tally = must_alloc(sizeof *r->tally);
    log_open(&log, LOG_FAULT, &clock);
    double share;
    uint64_t most;
    // A slip in the condition is said before the work, not behind it.
    if (!is_failed(r, &err) || !read_sample(r->sample, &share, &most, &err)) {
        *code = tool_fail(call, EX_USAGE, "%s", err.text);
        return false;
    }
    buf_reset(&r->why);
    struct bundle *b = bundle_read(r->scripts, r->conf->stdlib, &err);
    if (!b) {
        *code = tool_fail(call, EX_CONFIG, "%s", err.text);
        return false;
    }
    snprintf(r->version, sizeof r->version, "%s", bundle_version(b));
    struct store *store = NULL;
    if (access(r->conf->store, F_OK) == 0) store = store_look(r->conf->store, &clock, &log, &err);
    else err_set(&err, "nothing was decided yet: no gateway has run with this configuration (there is no %s)", r->conf->store);
    *code = store ? EX_CONFIG : EX_UNAVAILABLE;
    bool good = store && replay_all(r, b, store, &clock, &err);
    if (!good) tool_fail(call, *code, "%s", err.text);
    if (store) store_close(&store);
    bundle_free(&b);
    return good;
}

void replaying_release(struct replaying *r) {
    free(r->tally);
    r->tally = NULL;
    buf_release(&r->why);
}

// ---- the report

static const enum contrast shown[] = {CONTRAST_ROUTE, CONTRAST_IDENTITY, CONTRAST_LIMIT, CONTRAST_REFUSAL, CONTRAST_FAULT,
                                      CONTRAST_OTHER, CONTRAST_UNKNOWN};
enum { SHOWN = sizeof shown / sizeof *shown };

static void put_example(struct jsonl *j, const struct replay_example *e) {
    char id[ID_TEXT];
    id_text(e->id, id);
    jsonl_open(j, NULL, '{');
    jsonl_textz(j, "id", id);
    jsonl_textz(j, "hook", journal_hook_name[e->hook]);
    jsonl_textz(j, "subject", e->subject);
    jsonl_textz(j, "what", e->words);
    jsonl_textz(j, "where", e->where);
    jsonl_textz(j, "was_where", e->was_where);
    jsonl_close(j, '}');
}

static uint64_t example_count(const struct replaying *r, enum contrast c) {
    uint64_t most = (uint64_t)(r->examples < REPLAY_EXAMPLES ? r->examples : REPLAY_EXAMPLES);
    return r->tally->counts[c] < most ? r->tally->counts[c] : most;
}

static void print_json(const struct replaying *r) {
    const struct replay_tally *t = r->tally;
    struct buf out = {0};
    struct jsonl j = jsonl_begin(&out);
    jsonl_textz(&j, "version", r->version);
    jsonl_int(&j, "messages", (int64_t)t->messages);
    jsonl_int(&j, "decisions", (int64_t)t->decisions);
    jsonl_int(&j, "same", (int64_t)t->counts[CONTRAST_NONE]);
    for (int i = 0; i < SHOWN; i++) jsonl_int(&j, contrast_name[shown[i]], (int64_t)t->counts[shown[i]]);
    jsonl_int(&j, "incomplete", (int64_t)t->incomplete);
    jsonl_int(&j, "unkept", (int64_t)t->unkept);
    jsonl_int(&j, "foreign", (int64_t)t->foreign);
    jsonl_int(&j, "took_ms", r->took_ms);
    jsonl_real(&j, "mean_us", t->decisions ? (double)t->took_us / (double)t->decisions : 0);
    jsonl_int(&j, "longest_us", t->longest_us);
    if (r->fail_if) jsonl_bool(&j, "failed", r->failed);
    if (r->failed) jsonl_text(&j, "why", buf_bytes(&r->why));
    jsonl_open(&j, "examples", '{');
    for (int i = 0; i < SHOWN; i++) {
        if (!t->counts[shown[i]]) continue;
        jsonl_open(&j, contrast_name[shown[i]], '[');
        for (uint64_t k = 0; k < example_count(r, shown[i]); k++) put_example(&j, &t->examples[shown[i]][k]);
        jsonl_close(&j, ']');
    }
    jsonl_close(&j, '}');
    jsonl_end(&j);
    fwrite(out.at, 1, out.len, stdout);
    buf_release(&out);
}

static void print_table(const struct replaying *r) {
    const struct replay_tally *t = r->tally;
    printf("%-10s  %9s  %6s\n", "CHANGES", "DECISIONS", "OF ALL");
    for (int i = -1; i < SHOWN; i++) {
        enum contrast c = i < 0 ? CONTRAST_NONE : shown[i];
        double share = t->decisions ? (double)t->counts[c] * 100 / (double)t->decisions : 0;
        if (i < 0 || t->counts[c]) printf("%-10s  %9" PRIu64 "  %5.1f%%\n", i < 0 ? "none" : contrast_name[c], t->counts[c], share);
    }
}

static void print_example(const struct replay_example *e) {
    struct buf line = {0};
    char id[ID_TEXT];
    id_text(e->id, id);
    buf_format(&line, "  %s  %s", id, journal_hook_name[e->hook]);
    if (*e->subject) buf_byte(&line, ' ');
    show_clean(&line, bytes_of(e->subject));
    buf_addz(&line, "\n      ");
    show_clean(&line, bytes_of(e->words));
    buf_addz(&line, "\n      ");
    show_clean(&line, bytes_of(*e->was_where ? e->was_where : "default"));
    buf_addz(&line, " -> ");
    show_clean(&line, bytes_of(*e->where ? e->where : "default"));
    printf("%s\n", buf_z(&line));
    buf_release(&line);
}

void replaying_print(const struct replaying *r, bool json) {
    const struct replay_tally *t = r->tally;
    if (json) return print_json(r);
    printf("%" PRIu64 " decisions of %" PRIu64 " messages, decided again by %s in %.1f s (%.0f us of CPU each, %" PRId64 " us at most)\n\n",
           t->decisions, t->messages, r->version, (double)r->took_ms / 1000,
           t->decisions ? (double)t->took_us / (double)t->decisions : 0, t->longest_us);
    print_table(r);
    for (int i = 0; i < SHOWN; i++) {
        if (!t->counts[shown[i]] || !r->examples) continue;
        printf("\n%s\n", contrast_name[shown[i]]);
        for (uint64_t k = 0; k < example_count(r, shown[i]); k++) print_example(&t->examples[shown[i]][k]);
    }
    if (t->incomplete) printf("\n%" PRIu64 " messages are only half in the journal, and were left out\n", t->incomplete);
    if (t->unkept) printf("\n%" PRIu64 " sessions were too large to be kept; their messages' routes were replayed\n", t->unkept);
    if (t->foreign)
        printf("\n%" PRIu64 " messages were recorded by another version of Tidegate; what that wrote of them was left out\n", t->foreign);
    if (r->failed) printf("\nfailed: %.*s\n", BYTES_FMT(buf_bytes(&r->why)));
}
