// SPDX-License-Identifier: MIT
// accept: gives a received message to the store and tells when it is on disk. What 250 waits for.
//
// It is on disk, and will be delivered whatever happens, some milliseconds before the queue shows it (store.h, PROMISING): `done` is
// called then; the runner hears of it when the queue does.
//
// Once submitted it belongs to the store and finishes even when the session is gone meanwhile: the message is then in
// the queue, and the client, which never heard 250, may send it again (RFC 5321 4.5.5 leaves no other way).
#pragma once

#include "policy/answer.h"
#include "relay/content.h"
#include "relay/keeping.h"
#include "relay/worker.h"

struct accept;
struct accept *accept_new(struct worker *w);          // content is moved in by the caller
struct arena *accept_arena(struct accept *a);
struct content *accept_content(struct accept *a);
struct message *accept_message(struct accept *a);     // fill: texts in the accept's arena; body and head are taken from the content
// What the answer asks to be kept, from the arena too.
void accept_keep(struct accept *a, const struct keeping *k);
void accept_recipient(struct accept *a, const struct recipient *r); // texts in the arena too
// Behind the last recipient: those of the answer's copies that are none yet. Nobody is told what becomes of them.
void accept_copies(struct accept *a, const struct answer *answer);
struct bytes accept_address(const struct accept *a, size_t i); // of a recipient, in the order in which they came
void accept_without_body(struct accept *a, uint64_t length); // a rehearsed message: only told to be so long
// `done` is called later, on the worker, once; cancel with accept_forget. held: recipients wait for an operator.
void accept_submit(struct accept *a, bool held, void (*done)(void *arg, bool stored, const struct err *why), void *arg);
void accept_forget(struct accept *a);                 // the asker is gone: no done
void accept_free(struct accept **a);                  // one that was not submitted
