// SPDX-License-Identifier: MIT
// brake: what holds a lane back: rests, narrowness, a slower pace, a pause. Pure: times come in, answers go out.
//
//     open     attempts start as connections allow
//     resting  nothing starts until rest_until_ms: the way out as such failed, or the policy asked for it (a verdict's `lane`)
//     probing  after a rest: one connection, until it succeeds (-> open) or fails (-> a longer rest)
//
// Beside that a lane can be narrow (a peer refused one connection more, or the policy asked for fewer) and paced (the policy asked for a
// rate). When narrowness ends, it doubles every BRAKE_WIDEN_MS until it is as wide as planned; a pace ends at once. And an
// operator's pause stands above all of it.
//
// A lane that does nothing but rest is remembered by its brake alone, and there may be very many (relay/asleep): words are kept in as
// many bytes as they have.
#pragma once

#include "base/jsonl.h"
#include "policy/answer.h"

enum {
    BRAKE_REST_FIRST_MS = 30 * 1000, // doubles with each failure in a row
    BRAKE_REST_LONGEST_MS = 15 * 60 * 1000,
    BRAKE_NARROW_MS = 60 * 1000,     // after a refused extra connection
    BRAKE_WIDEN_MS = 60 * 1000,
    BRAKE_UNPROVEN = 2,              // connections while none has ever stood: each that fails costs its message an attempt
};

enum brake_state { BRAKE_OPEN, BRAKE_RESTING, BRAKE_PROBING };

enum { BRAKE_WORDS = 200 };  // bytes kept of the policy's and an operator's words

struct brake { // zeroed at first
    enum brake_state state;
    int failures;            // in a row
    bool proven;             // a session has stood since the last rest
    bool asked;              // it rests by the policy's word: neither a reload nor `queue retry` ends it
    bool paused;
    size_t narrow;           // connections at most; 0: as planned
    int64_t rest_until_ms, rest_ms; // how long it was to be: a clock that is set back makes it no longer
    int64_t narrow_until_ms;
    struct pace pace;        // n 0: none
    int64_t pace_until_ms, next_ms; // next_ms: not before
    int64_t paused_until_ms; // 0: until it is resumed
    // Its own; NULL: there are none.
    char *why;               // what the peer said, or we
    char *because;           // the policy's words, for what it asked for
    char *paused_because;
    int why_code;
};

// The way out as such failed, while `standing` sessions stand. Gives the rest in ms; 0: it does not begin one.
int64_t brake_failed(struct brake *b, const struct reply *why, size_t standing, int64_t now_ms);
bool brake_succeeded(struct brake *b); // true: it works again
void brake_react(struct brake *b, const struct reaction *r, const struct reply *why, struct bytes because, int64_t now_ms);
void brake_end_rest(struct brake *b, bool asked_too); // failures' rests; asked_too: also what the policy asked for
void brake_pause(struct brake *b, bool on, int64_t until_ms, struct bytes because);

// Moves on with time. Until when nothing starts; 0: something may; INT64_MAX: until it is told otherwise.
int64_t brake_closed_until(struct brake *b, int64_t now_ms);
size_t brake_width(struct brake *b, size_t planned, int64_t now_ms); // connections
int64_t brake_pace_left(struct brake *b, int64_t now_ms);            // ms until the next attempt may go
void brake_went(struct brake *b, int64_t now_ms);                    // one goes now
size_t brake_line(struct brake *b, size_t width, int64_t now_ms);     // recipients that can go within about a minute; SIZE_MAX: not held back
bool brake_is_loose(struct brake *b, int64_t now_ms);                // nothing to remember: the lane may be forgotten
void brake_release(struct brake *b);
void brake_show(struct brake *b, int64_t now_ms, struct jsonl *j);
