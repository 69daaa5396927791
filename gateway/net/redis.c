// SPDX-License-Identifier: MIT
#include "net/redis.h"

#include "base/bug.h"
#include "net/conn.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUT_MAX = 256 << 10 };

struct question {
    struct question *next;
    redis_fn answer;
    void *arg;
};

struct redis {
    struct loop *loop;
    struct redis_options o;
    enum { CLOSED, DIALING, GREETING, OPEN } state;
    struct conn *conn;
    redisReader *reader;
    struct question *first, **last; // without an answer yet, in order; the greeting's is none of them
    struct buf early;               // asked before it was open
    struct timer *fail;             // soon: those that came while it was not to be tried again
    int64_t again_ms;               // on the loop's clock
};

// ---- losing it ----------------------------------------------------------------------------------------------------------

static void answer_next(struct redis *r, const struct redis_answer *what) {
    struct question *q = r->first;
    r->first = q->next;
    if (!r->first) r->last = &r->first;
    q->answer(q->arg, what);
    free(q);
}

// Of those asked before now: whoever hears of it may ask again.
static void fail_all(struct redis *r, const char *why) {
    struct question *q = r->first, *next;
    r->first = NULL;
    r->last = &r->first;
    buf_reset(&r->early);
    for (; q; q = next) {
        next = q->next;
        q->answer(q->arg, &(struct redis_answer){.fault = why, .lost = true});
        free(q);
    }
}

static void lose(struct redis *r, const char *words) {
    char why[200]; // the words may be the connection's
    snprintf(why, sizeof why, "%s", words);
    if (r->reader) redisReaderFree(r->reader);
    r->reader = NULL;
    conn_free(&r->conn);
    r->state = CLOSED;
    r->again_ms = loop_now_ms(r->loop) + REDIS_PAUSE_MS;
    r->o.lost(r->o.arg, why);
    fail_all(r, why);
}

static void on_fail(void *arg) {
    struct redis *r = arg;
    if (r->state == CLOSED) fail_all(r, "it was out of reach a moment ago");
}

// ---- answers ------------------------------------------------------------------------------------------------------------

static struct bytes text_of(const redisReply *reply, char number[24]) {
    if (reply->type == REDIS_REPLY_INTEGER) return bytes_range(number, (size_t)snprintf(number, 24, "%lld", reply->integer));
    return reply->type == REDIS_REPLY_NIL ? BYTES("") : bytes_range(reply->str, reply->len);
}

static bool is_text(const redisReply *reply) { return reply->type != REDIS_REPLY_ARRAY && reply->type != REDIS_REPLY_ERROR; }

// False: an array in an array, or an error in one.
static bool tell(struct redis *r, const redisReply *reply) {
    bool many = reply->type == REDIS_REPLY_ARRAY;
    size_t count = many ? reply->elements : 1;
    if (reply->type == REDIS_REPLY_ERROR) {
        answer_next(r, &(struct redis_answer){.fault = reply->str});
        return true;
    }
    for (size_t i = 0; many && i < count; i++)
        if (!is_text(reply->element[i])) return false;
    struct bytes *texts = must_alloc((count + 1) * sizeof *texts);
    char(*numbers)[24] = must_alloc((count + 1) * sizeof *numbers);
    for (size_t i = 0; i < count; i++) texts[i] = text_of(many ? reply->element[i] : reply, numbers[i]);
    answer_next(r, &(struct redis_answer){.texts = texts, .count = count});
    free(texts);
    free(numbers);
    return true;
}

// What `opened` asks goes before what has waited for it.
static void become_open(struct redis *r) {
    struct question *waiting = r->first, **last = r->last;
    r->state = OPEN;
    r->first = NULL;
    r->last = &r->first;
    r->o.opened(r->o.arg);
    *r->last = waiting;
    if (waiting) r->last = last;
    conn_pass(r->conn, &r->early);
    conn_deadline(r->conn, r->first ? REDIS_PATIENCE_MS : 0);
}

static void take_reply(struct redis *r, const redisReply *reply) {
    char why[200];
    if (r->state == GREETING) {
        if (reply->type != REDIS_REPLY_ERROR) return become_open(r);
        snprintf(why, sizeof why, "it does not let us in: %s", reply->str);
        return lose(r, why);
    }
    if (!r->first) return lose(r, "it answers what was not asked");
    if (!tell(r, reply)) lose(r, "its answer is not one of Redis to what was asked");
}

static void on_readable(void *arg) {
    struct redis *r = arg;
    struct bytes in = conn_peek(r->conn);
    redisReply *reply;
    bool fed = r->reader->len - r->reader->pos + in.len <= REDIS_ANSWER_MAX && redisReaderFeed(r->reader, in.at, in.len) == REDIS_OK;
    conn_take(r->conn, in.len);
    if (!fed) return lose(r, "its answer is too long");
    while (r->reader) {
        if (redisReaderGetReply(r->reader, (void **)&reply) != REDIS_OK) return lose(r, "what it says is not Redis's protocol");
        if (!reply) break;
        take_reply(r, reply);
        freeReplyObject(reply);
    }
    if (r->conn && r->state == OPEN) conn_deadline(r->conn, r->first ? REDIS_PATIENCE_MS : 0);
}

// ---- opening ------------------------------------------------------------------------------------------------------------

static void format(struct buf *out, const struct bytes *words, size_t count) {
    buf_format(out, "*%zu\r\n", count);
    for (size_t i = 0; i < count; i++) {
        buf_format(out, "$%zu\r\n", words[i].len);
        buf_add(out, words[i]);
        buf_add(out, BYTES("\r\n"));
    }
}

static void greet(struct redis *r) {
    const struct redis_options *o = &r->o;
    struct bytes words[3] = {BYTES("AUTH")};
    size_t count = 1;
    struct buf out = {0};
    if (!o->password) return become_open(r);
    if (o->user) words[count++] = bytes_of(o->user);
    words[count++] = bytes_of(o->password);
    format(&out, words, count);
    conn_pass(r->conn, &out);
    buf_release(&out);
    r->state = GREETING;
}

static void on_opened(void *arg) {
    struct redis *r = arg;
    if (!r->o.tls) return greet(r);
    struct tls_peer peer = {.host = r->o.tls_host, .demand = TLS_VERIFY};
    if (!conn_secure_client(r->conn, r->o.tls, &peer)) lose(r, "it speaks before TLS");
}

static void on_secured(void *arg) { greet(arg); }

static void on_closed(void *arg, enum conn_end how, const struct err *why) {
    lose(arg, how == CONN_TIMEOUT ? "it does not answer" : how == CONN_EOF ? "it closed the connection" : why->text);
}

static void dial(struct redis *r) {
    static const struct conn_events events = {.opened = on_opened, .readable = on_readable, .secured = on_secured, .closed = on_closed};
    static const struct addr anywhere;
    r->reader = redisReaderCreate();
    bug_if(!r->reader);
    r->state = DIALING;
    r->conn = conn_dial(r->loop, &anywhere, &r->o.address, REDIS_PATIENCE_MS, INPUT_MAX, &events, r);
    conn_deadline(r->conn, REDIS_PATIENCE_MS); // for all of it
}

void redis_ask(struct redis *r, const struct bytes *words, size_t count, redis_fn answer, void *arg) {
    struct question *q = must_alloc(sizeof *q);
    *q = (struct question){.answer = answer, .arg = arg};
    *r->last = q;
    r->last = &q->next;
    if (r->state == CLOSED && loop_now_ms(r->loop) < r->again_ms) return timer_set(r->fail, 0);
    if (r->state == CLOSED) dial(r);
    if (r->state == OPEN && r->first == q) conn_deadline(r->conn, REDIS_PATIENCE_MS);
    struct buf out = {0};
    format(r->state == OPEN ? &out : &r->early, words, count);
    if (r->state == OPEN) conn_pass(r->conn, &out);
    buf_release(&out);
}

struct redis *redis_new(struct loop *loop, const struct redis_options *options) {
    struct redis *r = must_alloc(sizeof *r);
    r->loop = loop;
    r->o = *options;
    r->last = &r->first;
    r->fail = timer_new(loop, on_fail, r);
    return r;
}

void redis_free(struct redis **at) {
    struct redis *r = *at;
    *at = NULL;
    if (!r) return;
    for (struct question *q = r->first, *next; q; q = next) {
        next = q->next;
        free(q);
    }
    if (r->reader) redisReaderFree(r->reader);
    conn_free(&r->conn);
    timer_free(&r->fail);
    buf_release(&r->early);
    free(r);
}
