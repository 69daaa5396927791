// SPDX-License-Identifier: MIT
// Days of traffic, and what they come to: the same every time, and a month of warmup is the ladder that was planned.
#include "relay/simulation.h"

#include "rehearsal_kit.h"
#include "warmup_policy.h"

static const char pooled[] = WARMUP_POLICY("32", "4", "providers = { google = 0.5 }");

static const char two_providers[] = "return { providers = { google = { domains = 'gmail.com' }, own = { domains = { 'own.example' } } } }";

static struct tally *play(const char *policy, const char *rules, const char *traffic, int days, uint64_t seed) {
    struct err err = {""};
    struct kit k;
    // The kit's own rehearsal is not played: its configuration, bundle and rules are.
    kit_open(&k, policy, rules, &(struct rehearsal_options){.seed = seed});
    char path[200];
    snprintf(path, sizeof path, "%s/tidegate.lua", k.folder);
    struct simulation_options o = {.rehearsal = k.options, .days = days};
    o.rehearsal.conf = conf_read(path, kit_fault, NULL);
    o.traffic = traffic_read(bytes_of(traffic), "traffic.lua", KIT_START, seed, &err);
    if (!o.traffic) fail_msg("%s", err.text);
    struct tally *t = simulation_run(&o, &err);
    if (!t) fail_msg("%s", err.text);
    traffic_free(&o.traffic);
    // What it was counted by goes away with the kit: names are looked at no more.
    kit_close(&k);
    return t;
}

static const struct tally_cell *cells_of(struct tally *t, const char *identity, const char *provider) {
    const char *i, *p;
    const struct tally_cell *cells;
    for (size_t n = 0; tally_pair(t, n, &i, &p, &cells); n++)
        if (strcmp(i, identity) == 0 && strcmp(p, provider) == 0) return cells;
    fail_msg("nothing of %s at %s", identity, provider);
    return NULL;
}

// floor(4 * 1.09 ^ day), and of that the provider's share.
static uint64_t step_of(int day, double share) {
    double n = 4;
    for (int i = 0; i < day; i++) n *= 1.09;
    return (uint64_t)(share * (double)(uint64_t)n);
}

static void a_month_climbs_the_ladder(void **state) {
    (void)state;
    enum { DAYS = 30 };
    struct tally *t = play(pooled, two_providers,
                           "return { streams = { { per_day = 110, sender = 'a@example.org', to = 'gmail.com' },\n"
                           "                     { per_day = 200, sender = 'a@example.org', to = 'own.example' } } }", DAYS, 5);
    assert_int_equal(tally_limits(t).broken, 0);
    assert_int_equal(tally_limits(t).accounts, 6);
    static const char *const names[] = {"a", "b", "c"}, *const providers[] = {"google", "own"};
    for (int i = 0; i < 3; i++) {
        for (int p = 0; p < 2; p++) {
            const struct tally_cell *cells = cells_of(t, names[i], providers[p]);
            uint64_t sent = 0, planned = 0;
            for (int d = 0; d < DAYS; d++) {
                uint64_t step = step_of(d + 1 + i, p ? 1 : 0.5);
                sent += cells[d].sent;
                planned += step;
                assert_true(cells[d].sent <= step);
            }
            // The window slides, so what is sent late on one day is missing early on the next: a little less than the ladder.
            if (sent < planned * 93 / 100) fail_msg("%s at %s: %d of %d", names[i], providers[p], (int)sent, (int)planned);
        }
    }
    const struct tally_cell *over = cells_of(t, "relay.example", "google");
    assert_true(over[0].sent > 90 && over[0].elsewhere == over[0].sent);
    uint64_t in = 0, out = 0;
    for (int d = 0; d < DAYS; d++) in += tally_day(t, d)->recipients;
    const char *i, *p;
    const struct tally_cell *cells;
    for (size_t n = 0; tally_pair(t, n, &i, &p, &cells); n++)
        for (int d = 0; d < DAYS; d++) out += cells[d].sent;
    assert_in_range(in, 30 * 310 - 60, 30 * 310 + 60);
    assert_in_range(out, in - 3, in);
    tally_free(&t);
}

static const char mixed_rules[] =
    "return { default = { bounce = 0.05, defer = 0.1, greylist = { time = '10m', share = 0.3 },\n"
    "  storms = { from = '8h', to = '9h', share = 0.5 }, quota = { messages = 60, window = '1h' } } }";
static const char mixed_traffic[] =
    "return { streams = { { name = 'x', per_day = 400.5, sender = { ['a@example.org'] = 3, [''] = 1 }, user = { 'u', 'v' },\n"
    "    to = { ['one.example'] = 2, ['two.example'] = 1 }, recipients = { 1, 3 }, addresses = 50, hours = { from = 6, to = 12 } },\n"
    "  { name = 'y', per_day = 100, sender = 'b@example.org', to = 'three.example', weekdays = { sun = 0.5 }, days = { from = 2 } } } }";
static const char mixed_policy[] =
    "local route, identity = require 'route', require 'identity'\n"
    "local one, two = identity.define { name = 'one' }, identity.define { name = 'two' }\n"
    "return { route = function(m, r)\n"
    "  return route.first {\n"
    "    route.send { via = route.direct {}, identity = one, spend = { limit.per_day('one', 300, { per = 'recipient' }) }, because = 'first' },\n"
    "    route.send { via = route.direct {}, identity = two, spend = { limit.per_hour('two', 20) }, because = 'then' } }\n"
    "end }";

static void sum_up(struct tally *t, struct buf *out) {
    const char *i, *p;
    const struct tally_cell *c;
    for (size_t n = 0; tally_pair(t, n, &i, &p, &c); n++)
        for (int d = 0; d < tally_days(t); d++)
            buf_format(out, "%s %s %d: %d %d %d %d %d %d %d\n", i, p, d, (int)c[d].sent, (int)c[d].deferred, (int)c[d].bounced,
                       (int)c[d].expired, (int)c[d].waited, (int)c[d].elsewhere, (int)c[d].waiting);
}

static void the_same_again_and_another_seed(void **state) {
    (void)state;
    struct buf first = {0}, again = {0}, other = {0};
    struct buf *outs[] = {&first, &again, &other};
    for (int i = 0; i < 3; i++) {
        struct tally *t = play(mixed_policy, mixed_rules, mixed_traffic, 3, i == 2 ? 8 : 7);
        assert_int_equal(tally_limits(t).broken, 0);
        sum_up(t, outs[i]);
        tally_free(&t);
    }
    assert_string_equal(buf_z(&first), buf_z(&again));
    assert_string_not_equal(buf_z(&first), buf_z(&other));
    buf_release(&first);
    buf_release(&again);
    buf_release(&other);
}

static void nothing_is_lost_count(void **state) {
    (void)state;
    struct tally *t = play(mixed_policy, mixed_rules, mixed_traffic, 3, 7);
    uint64_t in = 0, gone = 0, waiting = 0;
    const char *i, *p;
    const struct tally_cell *c;
    for (int d = 0; d < 3; d++) in += tally_day(t, d)->recipients;
    for (size_t n = 0; tally_pair(t, n, &i, &p, &c); n++) {
        bool report = strcmp(p, "example.org") == 0; // bounces come back there
        for (int d = 0; d < 3 && !report; d++) gone += c[d].sent + c[d].bounced + c[d].expired;
        if (!report) waiting += c[2].waiting;
    }
    assert_true(waiting > 0);
    assert_in_range(gone + waiting, in - 3, in); // but what is under way at midnight
    tally_free(&t);
}

// ---- files

static void traffic_fault(const char *text, const char *file, const char *words) {
    struct err err = {""};
    assert_null(traffic_read(bytes_of(text), file, KIT_START, 1, &err));
    if (strcmp(err.text, words) != 0) fail_msg("'%s' instead of '%s'", err.text, words);
}

static void faults_of_traffic_name_file_and_key(void **state) {
    (void)state;
    traffic_fault("return {}", "t.lua", "t.lua: streams: a list of 1 to 1000 streams is expected");
    traffic_fault("return { streams = { { per_dya = 3 } } }", "t.lua", "t.lua: streams[1].per_dya: unknown key (did you mean 'per_day'?)");
    traffic_fault("return { streams = { { per_day = 3, to = 'a.example' } } }", "t.lua",
                  "t.lua: streams[1].sender: is missing: an address, several, or { [ADDRESS] = WEIGHT }");
    traffic_fault("return { streams = { { per_day = -3 } } }", "t.lua", "t.lua: streams[1].per_day: a number from 0 to 1e+08 is expected");
    traffic_fault("return { streams = { { per_day = 3, sender = 'x', to = 'a.example' } } }", "t.lua", "t.lua: streams[1].sender: 'x' is no address");
    traffic_fault("return { streams = { { per_day = 3, sender = 'x@y.example', to = 'a.example', hours = { 1, 2 } } } }", "t.lua",
                  "t.lua: streams[1].hours: 24 weights are expected, from midnight UTC on, not 2");
    traffic_fault("return { streams = { { per_day = 3, sender = 'x@y.example', to = 'a.example', headers = { ['A B'] = 'c' } } } }", "t.lua",
                  "t.lua: streams[1].headers.A B: one line of a header field is expected");
    traffic_fault("{\"time\":\"2026-11-01T10:00:00.000Z\",\"sender\":\"\",\"recipients\":[\"a@b.example\"]}\n{\"time\":5}\n", "day.jsonl",
                  "day.jsonl:2: time: a time is expected");
    traffic_fault("{\"type\":\"delivered\"}\n", "day.jsonl", "day.jsonl: no line of it is a message that was received");
}

static void rules_fault(const char *text, const char *words) {
    struct err err = {""};
    assert_null(peer_rules_read(bytes_of(text), "p.lua", KIT_START, &err));
    if (strcmp(err.text, words) != 0) fail_msg("'%s' instead of '%s'", err.text, words);
}

static void faults_of_rules_name_file_and_key(void **state) {
    (void)state;
    rules_fault("return { providers = { a = {} } }", "p.lua: providers.a.domains: either domains or hosts is expected");
    rules_fault("return { providers = { a = { domain = 'x' } } }", "p.lua: providers.a.domain: unknown key (did you mean 'domains'?)");
    rules_fault("return { default = { bounce = { share = 2 } } }", "p.lua: default.bounce.share: a number from 0 to 1 is expected");
    rules_fault("return { default = { bounce = { share = 0.1, reply = '450 4.1.1 x' } } }", "p.lua: default.bounce.reply: a reply with a code of 5xx is expected");
    rules_fault("return { default = { quota = { messages = 3, window = 'soon' } } }", "p.lua: default.quota[1].window: a duration is expected ('300ms', '90s', '24h', '2d')");
    rules_fault("return { default = { quota = { window = '1h' } } }", "p.lua: default.quota[1].messages: either messages or recipients is expected");
    rules_fault("return { default = { storms = { from = '2h', to = '1h' } } }", "p.lua: default.storms[1].to: a time after 'from' is expected");
    rules_fault("return { providers = { a = { domains = 'x.example' }, b = { domains = 'x.example' } } }", "p.lua: providers.b: 'x.example' belongs to 'a' already");
}

static void a_recorded_day_is_repeated(void **state) {
    (void)state;
    static const char day[] = "{\"time\":\"2026-10-07T20:00:00.000Z\",\"type\":\"received\",\"sender\":\"a@example.org\",\"recipients\":[\"x@one.example\",\"y@one.example\"],\"user\":\"u\",\"size\":900}\n"
                              "{\"time\":\"2026-10-07T09:00:00.000Z\",\"type\":\"delivered\",\"n\":0}\n"
                              "{\"time\":\"2026-10-07T08:00:00.000Z\",\"sender\":\"\",\"recipients\":[\"z@one.example\"],\"tags\":{\"class\":\"bulk\"}}\n";
    struct err err = {""};
    struct arena arena = {0};
    struct traffic *t = traffic_read(bytes_of(day), "day.jsonl", KIT_START, 1, &err);
    if (!t) fail_msg("%s", err.text);
    for (int d = 0; d < 3; d++) {
        struct arrival a;
        int64_t at;
        traffic_next(t, &arena, &at, &a);
        assert_int_equal(at, KIT_START + d * 86400000 + 8 * 3600000);
        assert_true(a.count == 1 && a.trusted && bytes_equal(a.tags, BYTES("{\"class\":\"bulk\"}")));
        traffic_next(t, &arena, &at, &a);
        assert_int_equal(at, KIT_START + d * 86400000 + 20 * 3600000);
        assert_true(a.count == 2 && !a.trusted && a.size == 900 && bytes_equal(a.user, BYTES("u")));
    }
    traffic_free(&t);
    arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_month_climbs_the_ladder),
        cmocka_unit_test(the_same_again_and_another_seed),
        cmocka_unit_test(nothing_is_lost_count),
        cmocka_unit_test(faults_of_traffic_name_file_and_key),
        cmocka_unit_test(faults_of_rules_name_file_and_key),
        cmocka_unit_test(a_recorded_day_is_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
