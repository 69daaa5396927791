// SPDX-License-Identifier: MIT
#include "store/redo.h"

#include "base/bug.h"

enum { ENTRY_HEAD = 1 + 8 + 4 + 4 }; // kind, id, n, length

void redo_begin(struct buf *record, const char secret[REDO_SECRET]) {
    buf_reset(record);
    buf_add(record, bytes_range(secret, REDO_SECRET));
}

void redo_add(struct buf *record, enum redo_kind kind, uint64_t id, uint32_t n, struct bytes encoded) {
    bug_if(encoded.len > UINT32_MAX);
    buf_reserve(record, ENTRY_HEAD + encoded.len);
    char *at = record->at + record->len;
    at[0] = (char)kind;
    put_be64(at + 1, id);
    put_be32(at + 9, n);
    put_be32(at + 13, (uint32_t)encoded.len);
    record->len += ENTRY_HEAD;
    buf_add(record, encoded);
}

bool redo_is_empty(const struct buf *record) {
    return record->len <= REDO_SECRET;
}

// `*message`: whose recipients may come now, `*alone` while it has none.
static bool read_entry(struct bytes *rest, uint64_t *message, bool *alone, struct redo_entry *out) {
    if (rest->len < ENTRY_HEAD) return false;
    uint8_t kind = (uint8_t)rest->at[0];
    uint64_t id = get_be64(rest->at + 1);
    uint32_t n = get_be32(rest->at + 9), len = get_be32(rest->at + 13);
    struct bytes encoded = bytes_skip(*rest, ENTRY_HEAD);
    if (encoded.len < len) return false;
    *rest = bytes_skip(encoded, len);
    encoded = bytes_first(encoded, len);
    out->kind = (enum redo_kind)kind;
    if (kind == REDO_MESSAGE) {
        if (*alone || id == 0 || !message_decode(id, encoded, &out->message, NULL)) return false;
        *message = id;
        *alone = true;
        return true;
    }
    if (kind != REDO_RECIPIENT || id == 0 || id != *message) return false;
    *alone = false;
    return recipient_decode(id, n, encoded, &out->recipient, NULL);
}

bool redo_read(struct bytes record, const char secret[REDO_SECRET],
               bool (*each)(void *arg, const struct redo_entry *entry), void *arg) {
    if (record.len <= REDO_SECRET || !bytes_starts(record, bytes_range(secret, REDO_SECRET))) return false;
    struct bytes rest = bytes_skip(record, REDO_SECRET);
    uint64_t message = 0;
    bool alone = false;
    while (rest.len) {
        struct redo_entry entry;
        if (!read_entry(&rest, &message, &alone, &entry) || !each(arg, &entry)) return false;
    }
    return !alone;
}
