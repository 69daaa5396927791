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
    r->out[h % REACH_KEPT].address = h;
    r->out[h % REACH_KEPT].until_ms = now_ms + REACH_REST_MS;
}

void reach_answered(struct reach *r, const struct addr *a) {
    uint64_t h = hash(a);
    if (r->out[h % REACH_KEPT].address == h) r->out[h % REACH_KEPT].address = 0;
}

bool reach_is_out(const struct reach *r, const struct addr *a, int64_t now_ms) {
    uint64_t h = hash(a);
    return r->out[h % REACH_KEPT].address == h && now_ms < r->out[h % REACH_KEPT].until_ms;
}
