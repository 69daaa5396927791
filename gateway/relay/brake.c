// SPDX-License-Identifier: MIT
#include "relay/brake.h"

#include "policy/decision.h"

#include <stdlib.h>

static const char *const state_name[] = {"open", "resting", "probing"};

static void keep_words(char **at, struct bytes words) {
    free(*at);
    *at = words.len ? bytes_dupz(words) : NULL;
}

static void keep_why(struct brake *b, const struct reply *why) {
    b->why_code = why->code;
    keep_words(&b->why, bytes_of(why->text));
}

void brake_release(struct brake *b) {
    keep_words(&b->why, BYTES(""));
    keep_words(&b->because, BYTES(""));
    keep_words(&b->paused_because, BYTES(""));
}

// ---- what happens

int64_t brake_failed(struct brake *b, const struct reply *why, size_t standing, int64_t now_ms) {
    keep_why(b, why);
    if (standing) { // the way works, just not for one more
        b->narrow = standing;
        if (b->narrow_until_ms < now_ms + BRAKE_NARROW_MS) b->narrow_until_ms = now_ms + BRAKE_NARROW_MS;
        return 0;
    }
    if (b->state == BRAKE_RESTING) return 0; // one of several that were under way together
    int64_t rest = BRAKE_REST_FIRST_MS;
    for (int i = 0; i < b->failures && rest < BRAKE_REST_LONGEST_MS; i++) rest *= 2;
    if (rest > BRAKE_REST_LONGEST_MS) rest = BRAKE_REST_LONGEST_MS;
    b->failures++;
    b->state = BRAKE_RESTING;
    b->asked = b->proven = false;
    keep_words(&b->because, BYTES(""));
    b->rest_until_ms = now_ms + rest;
    b->rest_ms = rest;
    return rest;
}

bool brake_succeeded(struct brake *b) {
    if (b->state == BRAKE_RESTING && b->asked) return false; // one that was under way: what was asked for stands
    bool again = b->state != BRAKE_OPEN;
    b->state = BRAKE_OPEN;
    b->proven = true;
    b->failures = 0;
    return again;
}

void brake_react(struct brake *b, const struct reaction *r, const struct reply *why, struct bytes because, int64_t now_ms) {
    int64_t until = now_ms + r->seconds * 1000;
    keep_why(b, why);
    keep_words(&b->because, bytes_first(because, BRAKE_WORDS - 1));
    if (r->rests) {
        if (b->state != BRAKE_RESTING || b->rest_until_ms < until) {
            b->rest_until_ms = until;
            b->rest_ms = r->seconds * 1000;
        }
        b->state = BRAKE_RESTING;
        b->asked = true;
        return;
    }
    if (r->connections) {
        b->narrow = r->connections;
        b->narrow_until_ms = until;
    }
    if (!r->pace.n) return;
    b->pace = r->pace;
    b->pace_until_ms = until;
    if (b->next_ms < now_ms) brake_went(b, now_ms); // the complaint itself was one
}

void brake_end_rest(struct brake *b, bool asked_too) {
    if (b->state == BRAKE_RESTING && (asked_too || !b->asked)) b->rest_until_ms = 0;
    if (!asked_too) return;
    b->narrow = 0;
    b->pace.n = 0;
}

void brake_pause(struct brake *b, bool on, int64_t until_ms, struct bytes because) {
    b->paused = on;
    b->paused_until_ms = until_ms;
    keep_words(&b->paused_because, bytes_first(because, BRAKE_WORDS - 1));
}

// ---- what follows from it

int64_t brake_closed_until(struct brake *b, int64_t now_ms) {
    if (b->paused && b->paused_until_ms && now_ms >= b->paused_until_ms) b->paused = false;
    if (b->rest_until_ms > now_ms + b->rest_ms) b->rest_until_ms = now_ms + b->rest_ms;
    if (b->state == BRAKE_RESTING && now_ms >= b->rest_until_ms) {
        b->state = BRAKE_PROBING;
        b->asked = false;
    }
    int64_t until = b->state == BRAKE_RESTING ? b->rest_until_ms : 0;
    int64_t paused = !b->paused ? 0 : b->paused_until_ms ? b->paused_until_ms : INT64_MAX;
    return paused > until ? paused : until;
}

static void widen(struct brake *b, size_t planned, int64_t now_ms) {
    while (b->narrow && now_ms >= b->narrow_until_ms) {
        b->narrow *= 2;
        b->narrow_until_ms += BRAKE_WIDEN_MS;
        if (b->narrow >= planned) b->narrow = 0;
    }
}

size_t brake_width(struct brake *b, size_t planned, int64_t now_ms) {
    if (b->state == BRAKE_PROBING) return 1;
    widen(b, planned, now_ms);
    if (!b->proven && planned > BRAKE_UNPROVEN) planned = BRAKE_UNPROVEN;
    return b->narrow && b->narrow < planned ? b->narrow : planned;
}

static int64_t interval_ms(const struct pace *p) { return (int64_t)p->window_s * 1000 / p->n; }

int64_t brake_pace_left(struct brake *b, int64_t now_ms) {
    if (b->pace.n && now_ms >= b->pace_until_ms) b->pace.n = 0;
    if (!b->pace.n) return 0;
    if (b->next_ms > now_ms + interval_ms(&b->pace)) b->next_ms = now_ms; // the clock was set back
    return b->next_ms > now_ms ? b->next_ms - now_ms : 0;
}

void brake_went(struct brake *b, int64_t now_ms) {
    if (!b->pace.n) return;
    // What was not used is not saved up, but small steps must not add up to a slower pace.
    int64_t each = interval_ms(&b->pace);
    b->next_ms = b->next_ms + each > now_ms ? b->next_ms + each : now_ms + each;
}

size_t brake_line(struct brake *b, size_t width, int64_t now_ms) {
    enum { EACH = 4, MINUTE_MS = 60 * 1000 };
    bool narrow = b->narrow && now_ms < b->narrow_until_ms;
    size_t line = b->state != BRAKE_OPEN || narrow ? width * EACH : SIZE_MAX;
    brake_pace_left(b, now_ms);
    size_t paced = b->pace.n ? (size_t)(MINUTE_MS / interval_ms(&b->pace)) + EACH : SIZE_MAX;
    return line < paced ? line : paced;
}

bool brake_is_loose(struct brake *b, int64_t now_ms) {
    bool narrow = b->narrow && now_ms < b->narrow_until_ms;
    return !brake_closed_until(b, now_ms) && !narrow && !brake_pace_left(b, now_ms) && !b->pace.n;
}

static void show_pace(const struct brake *b, struct jsonl *j) {
    char text[PACE_TEXT];
    pace_text(&b->pace, text);
    jsonl_textz(j, "rate", text);
    jsonl_time(j, "rate_until", b->pace_until_ms);
}

void brake_show(struct brake *b, int64_t now_ms, struct jsonl *j) {
    brake_closed_until(b, now_ms);
    jsonl_textz(j, "state", b->paused ? "paused" : state_name[b->state]);
    if (b->paused && b->paused_until_ms) jsonl_time(j, "paused_until", b->paused_until_ms);
    if (b->paused) jsonl_text(j, "paused_because", bytes_of(b->paused_because));
    if (b->state == BRAKE_RESTING) jsonl_time(j, "rests_until", b->rest_until_ms);
    if (b->narrow) jsonl_int(j, "narrow", (int64_t)b->narrow);
    if (b->narrow) jsonl_time(j, "narrow_until", b->narrow_until_ms);
    brake_pace_left(b, now_ms);
    if (b->pace.n) show_pace(b, j);
    if (b->failures) jsonl_int(j, "failures", b->failures);
    bool held = b->failures || b->asked || b->narrow || b->pace.n;
    if (held && b->why) jsonl_textz(j, "why", b->why);
    if (held && b->because) jsonl_textz(j, "because", b->because);
}
