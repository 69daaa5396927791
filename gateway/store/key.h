// SPDX-License-Identifier: MIT
// key: how the keys of the store's tables look, so that byte order is the order wanted.
//
//   message    id            8
//   recipient  id n          12
//   due        ms id n       20   every recipient has exactly one entry
//   place      lane id n          parked recipients only, in the order of age (and all those of stores before turns); lane = be16 length, text; of a text above KEY_LANE_TEXT bytes
//                                 its first KEY_LANE_TEXT and a hash of the whole (two such lanes that agree in both
//                                 are told apart by the recipients' records)
//              lane p turn id n   ... in the order of turns: p = 0xfc + priority (record.h), turn = a hash of its name. No id begins
//                                 with such a byte before the year 2088, so these stand behind the others of their lane
//   journal    id ms seq     20
//   segment    number        4
//   suppression address 0 scope   of an address above KEY_ADDRESS_TEXT bytes its first KEY_ADDRESS_TEXT and a hash of the whole
//                                 (its record has it all); a scope has no NUL, so the last one parts the two
//   shelf       a script's key, which has no control character (shelf.h)
//               0 "pause" 0 kind 0 name: pauses of relay/pause
//               0 "token" 0 SHA-256 (hex) of an account: refresh tokens of relay/rotation
//
// All integers big-endian; times before 1970 sort as 1970. A struct key is a value that owns its bytes.
#pragma once

#include "base/bytes.h"

enum { KEY_MAX = 511, KEY_LANE_TEXT = 440, KEY_RECIPIENT = 12, KEY_TURN = 9, KEY_PRIORITY = 0xfc, KEY_ADDRESS_TEXT = 320, KEY_SCOPE = 120 };

struct key {
    size_t len;
    char at[2 + KEY_LANE_TEXT + 8 + KEY_TURN + KEY_RECIPIENT];
};

static inline struct bytes key_bytes(const struct key *k) { return (struct bytes){k->at, k->len}; }

struct key key_message(uint64_t id);
struct key key_recipient(uint64_t id, uint32_t n);
struct key key_due(int64_t due_ms, uint64_t id, uint32_t n);
struct key key_lane(struct bytes lane); // what the place keys of a lane begin with
struct key key_place(struct bytes lane, uint64_t id, uint32_t n);
struct key key_turn(struct bytes lane, unsigned priority, uint64_t turn); // what the place keys of a turn begin with; priority above 0
struct key key_turn_place(struct bytes lane, unsigned priority, uint64_t turn, uint64_t id, uint32_t n); // priority 0: key_place
struct key key_journal(uint64_t id, int64_t at_ms, uint32_t seq);
struct key key_segment(uint32_t number);
struct key key_suppression(struct bytes address, struct bytes scope); // a scope of KEY_SCOPE bytes at most
struct key key_suppression_of(struct bytes address);                  // what the keys of an address begin with

// Taking keys apart; false where the key has not the shape of its table.
bool key_to_recipient(struct bytes key, uint64_t *id, uint32_t *n);
bool key_to_due(struct bytes key, int64_t *due_ms, uint64_t *id, uint32_t *n);
struct key_of_place {
    struct bytes lane;   // the text as far as the key has it
    bool whole;          // that is all of it
    unsigned priority;   // 0: in the order of age
    uint64_t turn, id;
    uint32_t n;
    size_t lane_end;     // so many bytes of the key are the lane's
};
bool key_to_place(struct bytes key, struct key_of_place *out);
bool key_to_journal(struct bytes key, uint64_t *id, int64_t *at_ms);
// `*address` as far as the key has it, `*whole` whether that is all of it.
bool key_to_suppression(struct bytes key, struct bytes *address, bool *whole, struct bytes *scope);
