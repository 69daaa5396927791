// SPDX-License-Identifier: MIT
// tail: writing bodies at the ends of the body log.
//
// A group: tail_begin; tail_append for each body (writes are gathered, the parts are read until tail_sync returns);
// tail_sync; then tail_holds says which bodies are on disk: after a failure, those before it. After a failure all
// that is appended is refused until the next tail_begin. Writer thread only.
#pragma once

#include "store/segment.h"

struct tail_body {
    uint64_t id;
    const struct iovec *parts;
    size_t part_count;
    int file; // -1: none; else what follows the parts
    uint64_t file_offset, file_length;
    const uint32_t *expect_crc; // what the body must sum to, else it is not appended; NULL: anything
    uint8_t codec;
};

void tail_begin(struct segments *s);
bool must_use tail_append(struct segments *s, enum segment_kind kind, const struct tail_body *body, struct place *place,
                          struct err *err);
// Whether a record with so many bytes would go behind those there are, in the same segment, whose row the database has.
bool tail_goes_on(const struct segments *s, uint64_t length);
bool tail_refuses(const struct segments *s); // whether it was the log that failed, not the body's source
bool must_use tail_sync(struct segments *s, struct err *err);
bool tail_holds(const struct segments *s, const struct place *place);
