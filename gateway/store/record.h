// SPDX-License-Identifier: MIT
// record: what the store keeps of a message and of a recipient, and how that looks on disk.
//
// Encoding: a version byte, then fixed big-endian fields, then length-prefixed texts; a reader of version N
// reads all versions up to N. Decoded texts point into the encoded bytes: they are good as long as those are.
#pragma once

#include "base/arena.h"
#include "base/bytes.h"
#include "base/err.h"

// Where a body lies in the segment files.
struct place {
    uint32_t segment;
    uint64_t offset; // of the record's header
    uint64_t length; // of the body, without the record's header
};

enum message_flag {
    MESSAGE_8BIT = 1,      // content has bytes above 127
    MESSAGE_SMTPUTF8 = 2,  // asked for with MAIL
    MESSAGE_RET_FULL = 4,  // RFC 3461 RET=FULL
    MESSAGE_RET_HDRS = 8,
    MESSAGE_REPORT = 16,   // made by us: a delivery status notification
    MESSAGE_UNHASHED = 32, // body_hash was not taken: who signs reads the body first
};

struct message {
    uint64_t id;             // see id_make; time-ordered, never used twice
    int64_t received_ms, expires_ms;
    uint32_t flags;
    struct bytes sender;     // reverse-path, "" for the null sender
    struct bytes envid;      // RFC 3461 ENVID, xtext
    struct bytes user;       // who logged in, ""
    struct bytes facts;      // session facts as JSON object text (client, helo, listener, tls, user's facts): for route and explain
    struct bytes tags;       // JSON object text, "" for none
    struct bytes policy;     // version of the policy that accepted it
    struct bytes trail;      // how its hooks decided (relay/journal), ""
    struct bytes head;       // header block as it will be sent, without the empty line
    uint8_t body_hash[32];   // SHA-256 of the relaxed body (RFC 6376 3.4.4), but where MESSAGE_UNHASHED says otherwise
    struct place body;       // the body without the empty line before it
    uint32_t recipients;     // how many it was accepted for
};

// In which order those parked under one key are called back: class by class, and inside a class in turns.
enum priority { PRIORITY_NONE, PRIORITY_URGENT, PRIORITY_NORMAL, PRIORITY_BULK, PRIORITY_COUNT }; // NONE: by age alone
extern const char *const priority_name[]; // "", "urgent", "normal", "bulk"

enum recipient_state { RECIPIENT_DUE = 1, RECIPIENT_PARKED, RECIPIENT_HELD };
extern const char *const recipient_state_name[]; // "due", "parked", "held"

struct recipient {
    uint64_t id;             // the message's
    uint32_t n;              // 0..
    enum recipient_state state;
    uint32_t attempts;       // counted ones
    int64_t due_ms;          // key in the due index; PARKED: its end (older versions: a look before that); HELD: expiry
    int64_t last_ms;         // when last tried, 0: never
    uint32_t notify;         // RFC 3461 NOTIFY bits (smtp/server.h), 0: not given
    struct bytes address;    // forward-path
    struct bytes orcpt;      // RFC 3461 ORCPT as it came
    struct bytes lane;       // lane key while PARKED, or of the last attempt
    struct bytes outcome;    // last outcome as JSON object text (reply, stage, peer, verdict)
    enum priority priority;  // while PARKED: its class there; NONE: it stands in the order of age (so wrote versions before 2)
    struct bytes turn;       // while PARKED with a priority: whose turn it is
    struct bytes decision;   // last decision as JSON object text (plan, because, where, policy version)
};

void message_encode(const struct message *m, struct buf *out);
bool must_use message_decode(uint64_t id, struct bytes from, struct message *out, struct err *err);
void recipient_encode(const struct recipient *r, struct buf *out);
bool must_use recipient_decode(uint64_t id, uint32_t n, struct bytes from, struct recipient *out, struct err *err);

// Copies with all texts in the arena: for what outlives the read that found it.
void message_copy(struct arena *arena, const struct message *from, struct message *to);
void recipient_copy(struct arena *arena, const struct recipient *from, struct recipient *to);

// Ids: 41 bits of milliseconds since 2020-01-01, 8 bits of worker, 15 bits of sequence. Shown as 16 hex digits.
uint64_t id_make(int64_t ms, unsigned worker, unsigned sequence);
unsigned id_worker(uint64_t id);
int64_t id_ms(uint64_t id);
enum { ID_TEXT = 17, ID_SEQUENCES = 1 << 15 };
void id_text(uint64_t id, char out[ID_TEXT]);
bool id_parse(struct bytes text, uint64_t *id); // 16 hex digits, either case
