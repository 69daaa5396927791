// SPDX-License-Identifier: MIT
// returned_inside: what the rooms around returned.h share, and nobody else includes.
//
// Same contract as returned.h: bounded, linear, texts in the arena.
#pragma once

#include "mail/part.h"
#include "mail/returned.h"

struct reading {
    struct returned *out;
    struct arena *arena;
    struct parts parts;
    struct buf text;     // what people were meant to read, decoded, LF or CRLF lines
    struct bytes failed; // X-Failed-Recipients
};

// ---- fields of reports (returned_fields.c)

void returned_status(struct reading *r, struct bytes fields);   // message/delivery-status
void returned_feedback(struct reading *r, struct bytes fields); // message/feedback-report
void returned_original(struct reading *r, struct bytes head);   // the header block that was sent back

// ---- the return path (returned_path.c)

// The only recipient as the return path of the mail names him, where it does: instead of a guess, and of what a forward led to.
void returned_path(struct reading *r);

// ---- free text (returned_text.c)

// Where in it the returned message begins; text.len where it does not.
size_t returned_cut(struct bytes text);
// Recipients out of words, where no fields named them.
void returned_names(struct reading *r, struct bytes text);
// What the words say about recipients for whom nothing better is known.
void returned_reasons(struct reading *r, struct bytes text);

// ---- words (returned_words.c)

struct reason {
    int code;            // 0: none is told
    struct bytes status; // empty: none is told
    size_t at;           // where
};
bool returned_reply(struct bytes text, struct reason *out); // the first code or enhanced code; false: neither
const char *returned_status_of(struct bytes words); // what words alone mean: "5.1.1"; NULL: nothing known
const char *returned_stage(struct bytes words);     // "rcpt" where the words name no other
bool returned_is_status(struct bytes text);         // x.y.z of RFC 3463
bool returned_has_any(struct bytes text, const char *const *phrases);
bool returned_is_failure(struct bytes words), returned_is_delay(struct bytes words), returned_is_away(struct bytes subject);
bool returned_is_challenge(struct bytes words), returned_is_pure_challenge(struct bytes words);
struct bytes returned_line(struct arena *arena, struct bytes text); // one trimmed line of RETURNED_TEXT at most
struct returned_recipient *returned_add(struct reading *r);         // NULL: there are enough
// The first mailbox of *rest, without brackets, which is moved behind it; in brackets or bare. False: no more.
bool returned_address(struct bytes *rest, struct bytes *address);
