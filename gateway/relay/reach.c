// SPDX-License-Identifier: MIT
#include "relay/reach.h"

static uint64_t hash(const struct addr *a) {
    char text[ADDR_TEXT];
    addr_text(a, text);
    uint64_t h = bytes_hash(bytes_of(text));
    return h ? h : 1;
}

void reach_failed(struct reach *r, const struct addr *a, int64_t now_ms) {
    uint64_t h = hash(a);
    r->out[h % REACH_KEPT] = (struct reach_out){h, now_ms + REACH_REST_MS};
}

void reach_answered(struct reach *r, const struct addr *a) {
    uint64_t h = hash(a);
    struct reach_out *out = &r->out[h % REACH_KEPT];
    if (out->address == h) out->address = 0;
}

bool reach_is_out(const struct reach *r, const struct addr *a, int64_t now_ms) {
    uint64_t h = hash(a);
    const struct reach_out *out = &r->out[h % REACH_KEPT];
    return out->address == h && now_ms < out->until_ms;
}
