// SPDX-License-Identifier: MIT
// redis: questions to one Redis server over one connection, on one loop. [hiredis: its protocol; the stream is net/conn's]
//
// Connects when it is first asked; what is asked meanwhile waits for that. Answers come in the order of the questions, from the
// loop, each once. A server that is silent for REDIS_PATIENCE_MS, or says what no Redis says, loses the connection: whatever was
// asked then has no answer, and may have been done or not. For REDIS_PAUSE_MS after that all questions fail at once. What is told may ask
// again, but not free.
#pragma once

#include "base/bytes.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/tls.h"

enum { REDIS_PATIENCE_MS = 2000, REDIS_PAUSE_MS = 1000, REDIS_ANSWER_MAX = 8 << 20 };

struct redis;

struct redis_options { // texts and tls live as long as the redis
    struct addr address;
    struct tls_context *tls;      // NULL: in plain. The certificate must hold, for tls_host
    const char *tls_host;         // a name or an IP address
    const char *user, *password;  // user NULL: the default one; password NULL: no AUTH
    void (*opened)(void *arg);                  // connected and let in: before what waited is sent
    void (*lost)(void *arg, const char *why);   // told once for each time that it was, or could not be, open
    void *arg;
};

// What the server said, flat: the elements of an array, or the one value. Good during the call. fault: why there is nothing, or the
// server's error ("ERR ..."); else NULL.
struct redis_answer {
    const struct bytes *texts; // integers in decimal; what is nil is empty
    size_t count;
    const char *fault;
    bool lost; // of a fault: nobody answered
};
typedef void (*redis_fn)(void *arg, const struct redis_answer *answer);

struct redis *redis_new(struct loop *loop, const struct redis_options *options);
void redis_free(struct redis **redis); // questions without an answer get none; NULL inside is fine
void redis_ask(struct redis *redis, const struct bytes *words, size_t count, redis_fn answer, void *arg);
