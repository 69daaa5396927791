// SPDX-License-Identifier: MIT
#include "smtp/transaction.h"

#include <stdlib.h>

enum { KEPT_MEMORY = 4096 }; // what an idle session may hold on to

void transaction_ask(struct transaction *t, const struct server_path *path) {
    t->pending = *path;
    t->pending.address = arena_copy(&t->arena, path->address);
    if (path->envid.len) t->pending.envid = arena_copy(&t->arena, path->envid);
    if (path->orcpt.len) t->pending.orcpt = arena_copy(&t->arena, path->orcpt);
}

void transaction_open(struct transaction *t) {
    t->sender = t->pending;
}

// Whether it was there; it is from now on. The local part is the recipient's own matter, the domain knows no case, and who asks
// for other notices means another thing (RFC 3461).
static bool note(struct transaction *t, const struct server_path *path) {
    size_t local = (size_t)(bytes_find_last(path->address, '@') + 1);
    buf_reset(&t->key);
    buf_add(&t->key, bytes_first(path->address, local));
    for (size_t i = local; i < path->address.len; i++)
        buf_byte(&t->key, byte_lower(path->address.at[i]));
    buf_format(&t->key, " %u ", path->notify);
    buf_add(&t->key, path->orcpt);
    return map_put(&t->seen, buf_bytes(&t->key), t) != NULL;
}

bool transaction_has(struct transaction *t) {
    if (t->count == 0) return false;
    if (t->count == 1) note(t, &t->recipients[0]);
    return note(t, &t->pending);
}

void transaction_add(struct transaction *t) {
    if (t->count == t->room) {
        t->room = t->room ? t->room * 2 : 4;
        t->recipients = must_realloc(t->recipients, t->room * sizeof *t->recipients);
    }
    t->recipients[t->count++] = t->pending;
}

void transaction_forget(struct transaction *t) {
    if (t->arena.total > KEPT_MEMORY)
        arena_release(&t->arena);
    else
        arena_reset(&t->arena);
    if (t->room * sizeof *t->recipients > KEPT_MEMORY) {
        free(t->recipients);
        t->recipients = NULL;
        t->room = 0;
    }
    buf_release(&t->spoilt);
    buf_release(&t->key);
    map_release(&t->seen);
    *t = (struct transaction){.arena = t->arena, .recipients = t->recipients, .room = t->room};
}

void transaction_release(struct transaction *t) {
    arena_release(&t->arena);
    free(t->recipients);
    buf_release(&t->spoilt);
    buf_release(&t->key);
    map_release(&t->seen);
    *t = (struct transaction){0};
}

struct bytes transaction_fault(const struct transaction *t, const struct gauge_limits *limits) {
    static const char *const lines[] = {
        [GAUGE_GOOD] = "",
        [GAUGE_TOO_BIG] = "552 5.3.4 Message is larger than this server takes\r\n",
        [GAUGE_HEADER_TOO_BIG] = "552 5.3.4 Message header is larger than this server takes\r\n",
        [GAUGE_LOOP] = "554 5.4.6 Too many Received fields: mail loop\r\n",
        [GAUGE_NUL] = "550 5.6.0 Message contains NUL\r\n",
        [GAUGE_BARE] = "550 5.6.0 Message contains a bare CR or LF: lines end with CRLF (RFC 5321 2.3.8)\r\n",
        [GAUGE_LONG_LINE] = "554 5.6.0 Message contains a line that is too long (RFC 5321 4.5.3.1.6)\r\n",
    };
    return bytes_of(lines[gauge_fault(&t->gauge, limits)]);
}
