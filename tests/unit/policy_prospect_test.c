// SPDX-License-Identifier: MIT
// prospect: the way that is taken is the first with room; where none has, the wait is for the one that has some first.
#include "policy/plan.h"
#include "policy/prospect.h"
#include "script/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static const int64_t now = 1800000000000;

struct world {
    int64_t room_at[4]; // of limits "0", "1", ...; 0: there is room
    int64_t rests[4];   // of lanes of identities "0", "1", ...
};

static bool see_limit(void *arg, const struct spend *s, uint64_t n, struct limit_state *out) {
    const struct world *w = arg;
    int64_t at = w->room_at[s->key.at[0] - '0'];
    assert_int_equal(n, 1);
    *out = (struct limit_state){.used = at ? s->cap : 1, .room_at_ms = at ? at : now, .next_free_ms = now + 1000};
    return true;
}

static bool see_way(void *arg, struct bytes lane, struct way_state *out) {
    const struct world *w = arg;
    out->rests_until_ms = w->rests[lane.at[0] - '0'];
    snprintf(out->why, sizeof out->why, "421 no");
    return true;
}

static const struct plan *way(const char *name, const char *keys, const struct plan *otherwise) {
    struct spend spends[4];
    struct plan draft = {.kind = PLAN_SEND, .via = {.kind = VIA_CAPTURE}, .identity = {.name = bytes_of(name)}, .connections = 1,
                         .per_connection = 1, .otherwise = otherwise, .spends = spends, .origin = {.because = bytes_of(name)}};
    for (; keys[draft.spend_count]; draft.spend_count++)
        spends[draft.spend_count] = (struct spend){.key = bytes_range(keys + draft.spend_count, 1), .window_s = 86400, .cap = 5};
    const struct plan *p = plan_make(&draft, BYTES("d.example"));
    plan_free(&otherwise);
    return p;
}

static const struct plan *hold(void) {
    struct plan draft = {.kind = PLAN_HOLD, .origin = {.because = BYTES("what else")}};
    return plan_make(&draft, BYTES(""));
}

static struct json *look(const struct plan *p, const struct world *w) {
    struct prospect_eyes eyes = {.limit = see_limit, .way = see_way, .arg = (void *)w};
    struct buf text = {0};
    struct jsonl j = jsonl_begin(&text);
    prospect_tell(&j, p, &eyes, now);
    jsonl_close(&j, '}');
    struct err err;
    struct json *said = json_parse(buf_bytes(&text), &err);
    if (!said) fail_msg("%s: %s", err.text, buf_z(&text));
    buf_release(&text);
    return said;
}

static int64_t number(const struct json *j, const char *name) {
    int64_t n = -1;
    json_int(json_get(j, name), &n);
    return n;
}

static void goes_by(const struct plan *p, struct world w, int64_t goes, int64_t pause_ms) {
    struct json *said = look(p, &w);
    assert_int_equal(number(said, "goes"), goes);
    assert_int_equal(number(said, "pause_ms"), pause_ms ? pause_ms : -1);
    assert_int_equal(number(said, "waits_s"), -1);
    json_free(&said);
}

static void waits_for(const struct plan *p, struct world w, int64_t wait_s, const char *what) {
    struct json *said = look(p, &w);
    struct bytes text = BYTES("");
    assert_int_equal(number(said, "goes"), -1);
    assert_int_equal(number(said, "waits_s"), wait_s);
    json_text(json_get(said, "waits_for"), &text);
    if (!bytes_equal(text, bytes_of(what))) fail_msg("waits for %.*s, not %s", BYTES_FMT(text), what);
    json_free(&said);
}

static void the_first_with_room_is_taken(void **state) {
    (void)state;
    const struct plan *p = way("0", "01", way("1", "2", way("2", "", NULL)));
    goes_by(p, (struct world){0}, 1, 0);
    goes_by(p, (struct world){.room_at = {0, now + 60000}}, 2, 0);
    goes_by(p, (struct world){.room_at = {now + 60000, 0, now + 60000}}, 3, 0);
    goes_by(p, (struct world){.rests = {now + 60000, now + 60000}}, 3, 0);
    goes_by(p, (struct world){.rests = {now - 1}}, 1, 0);
    plan_free(&p);
}

static void a_moment_is_waited_for_on_the_way(void **state) {
    (void)state;
    const struct plan *p = way("0", "01", way("1", "", NULL));
    goes_by(p, (struct world){.room_at = {now + 300, now + 1500}}, 1, 1500);
    goes_by(p, (struct world){.room_at = {now + 300, now + PROSPECT_PATIENCE_MS + 1}}, 2, 0);
    plan_free(&p);
}

static void where_none_has_room_the_soonest_is_waited_for(void **state) {
    (void)state;
    const struct plan *p = way("0", "01", way("1", "2", NULL));
    waits_for(p, (struct world){.room_at = {0, now + 60000, now + 90000}}, 60, "1");
    waits_for(p, (struct world){.room_at = {0, now + 60001, now + 30000}}, 30, "2");
    waits_for(p, (struct world){.room_at = {0, now + 60001}, .rests = {0, now + 10000}}, 10, "lane");
    waits_for(p, (struct world){.rests = {now + 9999, now + 10000}}, 10, "lane");
    plan_free(&p);
}

static void what_sends_nothing_has_always_room(void **state) {
    (void)state;
    const struct plan *p = way("0", "0", hold());
    goes_by(p, (struct world){.room_at = {now + 60000}}, 2, 0);
    struct json *said = look(p, &(struct world){.room_at = {now + 60000}});
    const struct json *ways = json_get(said, "ways");
    struct bytes text = BYTES("");
    assert_int_equal(json_count(ways), 2);
    assert_true(json_text(json_get(json_item(ways, 1), "do"), &text) && bytes_equal(text, BYTES("hold")));
    const struct json *limit = json_item(json_get(json_item(ways, 0), "limits"), 0);
    assert_int_equal(number(limit, "used"), 5);
    assert_int_equal(number(limit, "left"), 0);
    json_free(&said);
    plan_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_with_room_is_taken),
        cmocka_unit_test(a_moment_is_waited_for_on_the_way),
        cmocka_unit_test(where_none_has_room_the_soonest_is_waited_for),
        cmocka_unit_test(what_sends_nothing_has_always_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
