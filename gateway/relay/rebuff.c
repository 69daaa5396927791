// SPDX-License-Identifier: MIT
#include "relay/rebuff.h"

#include <string.h>

enum { NAMED = 100 }; // recipients in one event

static void put_recipients(struct jsonl *j, const struct rebuff *r) {
    if (r->count == 1) return jsonl_text(j, "recipient", r->recipients[0]);
    if (!r->count) return;
    jsonl_open(j, "recipients", '[');
    for (size_t i = 0; i < r->count && i < NAMED; i++) jsonl_text(j, NULL, r->recipients[i]);
    jsonl_close(j, ']');
}

void rebuff_tell(struct event_writer *w, const struct rebuff *r) {
    struct jsonl *j = event_begin(w, "refused");
    jsonl_textz(j, "stage", r->stage);
    jsonl_text(j, "client_ip", r->session->client_ip);
    jsonl_text(j, "listener", r->session->listener);
    jsonl_text(j, "session", r->session->id);
    jsonl_text(j, "helo", r->session->helo);
    if (r->login.len) jsonl_text(j, "login", r->login);
    jsonl_text(j, "user", r->session->user);
    if (strcmp(r->stage, "connect") && strcmp(r->stage, "auth")) jsonl_text(j, "sender", r->sender); // "" is the null sender
    put_recipients(j, r);
    event_put_reply(j, r->reply);
    jsonl_text(j, "policy", r->origin->version);
    jsonl_text(j, "where", r->origin->where);
    jsonl_text(j, "because", r->origin->because);
    event_end(w);
}
