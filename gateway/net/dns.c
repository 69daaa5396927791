// SPDX-License-Identifier: MIT
#include "net/dns.h"

#include "base/bug.h"
#include "net/dns_cache.h"
#include "net/dns_server.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SERVERS_MAX = 8,
    ASKING_MAX = 500, // questions on the wire at a time; more would overrun a socket buffer in one burst
    FAILURE_S = 5,    // how long a failure is remembered
    TTL_MAX_S = 86400,
    ABSENCE_MAX_S = 3600,
    NAME_MAX_LEN = 253,
    DOUBLINGS_MAX = 4, // of the patience with a server
};

struct dns_ticket {
    TAILQ_ENTRY(dns_ticket) link;
    struct dns *dns;
    struct question *question; // NULL: ready
    struct dns_entry *entry;   // once ready
    void (*answer)(void *arg, const struct dns_answer *answer);
    void *arg;
};

TAILQ_HEAD(tickets, dns_ticket);

struct question {
    struct dns_asker asker;     // first: an asker is its question
    TAILQ_ENTRY(question) link; // in one of the lists of struct dns, by state
    struct dns *dns;
    enum { WAITING, ASKING, GONE } state;
    struct tickets tickets;
    struct timer *timer;              // the patience of the last try
    size_t last;                      // which server was asked in it
    unsigned char asked[SERVERS_MAX]; // times each server was asked
    unsigned failed;                  // bit per server that answered, but with a failure
    bool sending, again;              // an answer may come before dns_server_send returns
    char why[200];
    struct bytes key; // big-endian type, then name
    char memory[2 + NAME_MAX_LEN + 1];
};

TAILQ_HEAD(questions, question);

struct dns {
    struct loop *loop;
    const struct clock *clock;
    const struct log *log;
    int timeout_ms, tries;
    bool trust_ad, offline;
    struct dns_server *servers[SERVERS_MAX];
    size_t server_count;
    struct dns_cache cache;
    struct map open; // questions without an answer, by key
    struct questions waiting, asking, gone;
    size_t asking_count;
    struct tickets ready; // their answer is due
    size_t ready_count;
    struct timer *soon; // works off ready, gone and waiting
    bool delivering;
};

// ---- names

// What may stand in a label besides letters and digits: all that ns_name_ntop prints without an escape.
static bool is_plain(char c) {
    return c > ' ' && c < 0x7f && !strchr("\"$().;@\\", c);
}

static const char *check_name(const char *name, char out[NAME_MAX_LEN + 1]) {
    size_t len = strlen(name);
    if (len && name[len - 1] == '.') len--;
    if (!len) return "an empty name";
    if (len > NAME_MAX_LEN) return "the name is longer than 253 octets";
    size_t label = 0;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (c == '.' && !label) return "the name has an empty label";
        if (c != '.' && !is_plain(c)) return "the name has a character that no host name has";
        label = c == '.' ? 0 : label + 1;
        if (label > 63) return "a label of the name is longer than 63 octets";
        out[i] = byte_lower(c);
    }
    out[len] = '\0';
    return label ? NULL : "the name has an empty label";
}

// ---- answers on their way to the askers

static void make_ready(struct dns *dns, struct dns_ticket *t, struct dns_entry *entry) {
    t->question = NULL;
    t->entry = dns_entry_ref(entry);
    TAILQ_INSERT_TAIL(&dns->ready, t, link);
    dns->ready_count++;
    timer_set(dns->soon, 0);
}

static void deliver(struct dns *dns, struct dns_ticket *t) {
    TAILQ_REMOVE(&dns->ready, t, link);
    dns->ready_count--;
    struct dns_entry *entry = t->entry;
    struct dns_answer answer = entry->answer;
    int64_t left_s = (entry->good_until - clock_ms(dns->clock) + 999) / 1000;
    if (left_s < (int64_t)answer.ttl_s) answer.ttl_s = left_s < 0 ? 0 : (uint32_t)left_s;
    void (*call)(void *, const struct dns_answer *) = t->answer;
    void *arg = t->arg;
    free(t);
    call(arg, &answer);
    dns_entry_unref(entry);
}

static void leave_list(struct question *q) {
    struct dns *dns = q->dns;
    if (q->state == ASKING) {
        TAILQ_REMOVE(&dns->asking, q, link);
        dns->asking_count--;
    } else {
        TAILQ_REMOVE(&dns->waiting, q, link);
    }
}

// Takes the question out of all that could still touch it. It is freed from on_soon: c-ares may be on the
// stack.
static void retire(struct question *q) {
    struct dns *dns = q->dns;
    bug_if(q->state == GONE || map_remove(&dns->open, q->key) != q);
    leave_list(q);
    q->state = GONE;
    TAILQ_INSERT_TAIL(&dns->gone, q, link);
    dns_asker_forget(&q->asker);
    timer_free(&q->timer);
    timer_set(dns->soon, 0);
}

static void finish(struct question *q, struct dns_answer *answer) {
    struct dns *dns = q->dns;
    uint32_t most = TTL_MAX_S;
    if (answer->status == DNS_NO_NAME || answer->status == DNS_NO_DATA) most = ABSENCE_MAX_S;
    if (answer->status == DNS_TEMPORARY || answer->status == DNS_BAD_NAME) answer->ttl_s = most = FAILURE_S;
    if (answer->ttl_s > most) answer->ttl_s = most;
    answer->authentic &= dns->trust_ad;
    struct dns_entry *entry = dns_cache_add(&dns->cache, q->key, q->asker.type, answer, clock_ms(dns->clock),
                                            (int64_t)answer->ttl_s * 1000);
    for (struct dns_ticket *t; (t = TAILQ_FIRST(&q->tickets));) {
        TAILQ_REMOVE(&q->tickets, t, link);
        make_ready(dns, t, entry);
    }
    dns_entry_unref(entry);
    retire(q);
}

static void finish_failed(struct question *q, enum dns_status status) {
    finish(q, &(struct dns_answer){.status = status, .why = q->why});
}

// ---- whom to ask

static bool may_ask(const struct question *q, size_t i) {
    return !(q->failed & 1u << i) && q->asked[i] < q->dns->tries;
}

// Those that work before those that do not, then who was asked least, then the operator's order. -1: nobody
// is left.
static int choose(const struct question *q) {
    int best = -1;
    bool best_down = false;
    for (size_t i = 0; i < q->dns->server_count; i++) {
        if (!may_ask(q, i)) continue;
        bool down = dns_server_is_down(q->dns->servers[i]);
        if (best < 0 || down < best_down || (down == best_down && q->asked[i] < q->asked[best])) {
            best = (int)i;
            best_down = down;
        }
    }
    return best;
}

static void ask(struct question *q, size_t i) {
    q->asked[i]++;
    dns_server_send(q->dns->servers[i], &q->asker);
}

// One packet more, to a server that is down, so that its return is noticed at nobody's expense.
static void probe(struct question *q) {
    for (size_t i = 0; i < q->dns->server_count && q->state == ASKING; i++)
        if (i != q->last && may_ask(q, i) && dns_server_wants_probe(q->dns->servers[i])) ask(q, i);
}

static void ask_next(struct question *q) {
    if (q->sending) { // the loop below is on the stack
        q->again = true;
        return;
    }
    q->sending = true;
    do {
        q->again = false;
        int i = choose(q);
        if (i < 0) {
            finish_failed(q, DNS_TEMPORARY);
            break;
        }
        q->last = (size_t)i;
        ask(q, q->last);
        probe(q);
    } while (q->again && q->state == ASKING);
    q->sending = false;
    if (q->state != ASKING) return;
    int round = q->asked[q->last] - 1;
    timer_set(q->timer, (int64_t)q->dns->timeout_ms << (round < DOUBLINGS_MAX ? round : DOUBLINGS_MAX));
}

static void on_patience_end(void *arg) {
    struct question *q = arg;
    struct dns_server *silent = q->dns->servers[q->last];
    dns_server_missed(silent);
    if (!q->why[0])
        snprintf(q->why, sizeof q->why, "no answer from the DNS server %s", dns_server_text(silent));
    if (TAILQ_EMPTY(&q->tickets))
        retire(q);
    else
        ask_next(q);
}

static size_t index_of(const struct dns *dns, const struct dns_server *server) {
    for (size_t i = 0; i < dns->server_count; i++)
        if (dns->servers[i] == server) return i;
    bug_die(__FILE__, __LINE__, "an answer from a server that is not ours");
}

static void on_message(struct question *q, struct dns_server *server, struct bytes message) {
    struct arena arena = {0};
    struct dns_answer answer;
    dns_parse(&arena, message, q->asker.name, q->asker.type, &answer);
    if (answer.status != DNS_TEMPORARY) {
        finish(q, &answer);
    } else {
        snprintf(q->why, sizeof q->why, "%s: %s", dns_server_text(server), answer.why);
        q->failed |= 1u << index_of(q->dns, server);
        ask_next(q);
    }
    arena_release(&arena);
}

static void on_landed(struct dns_asker *asker, struct dns_server *server, enum dns_landing how,
                      struct bytes message, const char *why) {
    struct question *q = (struct question *)asker;
    if (how == DNS_LANDED) {
        on_message(q, server, message);
        return;
    }
    if (how == DNS_LOST) {
        timer_set(q->timer, 0);
        return;
    }
    snprintf(q->why, sizeof q->why, "%s: %s", how == DNS_UNSENDABLE ? q->asker.name : dns_server_text(server),
             why);
    if (how == DNS_UNSENDABLE) {
        finish_failed(q, DNS_BAD_NAME);
        return;
    }
    // Another server is asked at once; a lone one may be restarting and is given its time.
    int other = choose(q);
    if (other >= 0 && !dns_server_is_down(q->dns->servers[other])) ask_next(q);
}

// ---- questions

static struct question *question_new(struct dns *dns, const char *name, enum dns_type type) {
    struct question *q = must_alloc(sizeof *q);
    q->dns = dns;
    q->state = WAITING;
    TAILQ_INIT(&q->tickets);
    put_be16(q->memory, (uint16_t)type);
    memcpy(q->memory + 2, name, strlen(name));
    q->asker = (struct dns_asker){.name = q->memory + 2, .type = type, .landed = on_landed};
    q->key = bytes_range(q->memory, 2 + strlen(name));
    q->timer = timer_new(dns->loop, on_patience_end, q);
    map_put(&dns->open, q->key, q);
    TAILQ_INSERT_TAIL(&dns->waiting, q, link);
    timer_set(dns->soon, 0);
    return q;
}

static void start_waiting(struct dns *dns) {
    while (!TAILQ_EMPTY(&dns->waiting) && dns->asking_count < ASKING_MAX) {
        struct question *q = TAILQ_FIRST(&dns->waiting);
        TAILQ_REMOVE(&dns->waiting, q, link);
        TAILQ_INSERT_TAIL(&dns->asking, q, link);
        q->state = ASKING;
        dns->asking_count++;
        ask_next(q);
    }
}

static void free_gone(struct dns *dns) {
    for (struct question *q; (q = TAILQ_FIRST(&dns->gone));) {
        TAILQ_REMOVE(&dns->gone, q, link);
        free(q);
    }
}

static void on_soon(void *arg) {
    struct dns *dns = arg;
    free_gone(dns);
    start_waiting(dns);
    dns->delivering = true;
    // Only as many as there are now: an asker that asks again from its answer must not keep the loop here.
    for (size_t n = dns->ready_count; n && !TAILQ_EMPTY(&dns->ready); n--)
        deliver(dns, TAILQ_FIRST(&dns->ready));
    dns->delivering = false;
    if (!TAILQ_EMPTY(&dns->ready) || !TAILQ_EMPTY(&dns->gone)) timer_set(dns->soon, 0);
}

// ---- life

static bool add_server(struct dns *dns, struct addr *a, struct err *err) {
    if (dns->server_count == SERVERS_MAX) return err_set(err, "more than %d DNS servers", SERVERS_MAX);
    if (addr_family(a) != AF_INET && addr_family(a) != AF_INET6) return err_set(err, "not an IP address");
    if (!addr_port(a)) addr_set_port(a, 53);
    int doublings = dns->tries < DOUBLINGS_MAX ? dns->tries : DOUBLINGS_MAX;
    struct dns_server_options options = {
        .loop = dns->loop,
        .log = dns->log,
        .clock = dns->clock,
        .timeout_ms = dns->timeout_ms,
        .life_ms =
            dns->timeout_ms << doublings, // as long as its question, so that a late answer still counts
        .ask_ad = dns->trust_ad,
    };
    struct dns_server *server = dns_server_new(a, &options, err);
    if (server) dns->servers[dns->server_count++] = server;
    return server != NULL;
}

static bool add_listed(struct dns *dns, const char *list, struct err *err) {
    struct bytes rest = bytes_of(list);
    do {
        struct bytes one = bytes_trim(bytes_cut(&rest, ','));
        struct addr a;
        if (!addr_parse(one, &a, err) || !add_server(dns, &a, err))
            return err_within(err, "DNS server \"%.*s\"", BYTES_FMT(one));
    } while (rest.len);
    return true;
}

static bool add_system(struct dns *dns, struct err *err) {
    struct addr found[SERVERS_MAX];
    size_t count = dns_servers_of_system(found, SERVERS_MAX, err);
    for (size_t i = 0; i < count; i++)
        if (!add_server(dns, &found[i], err)) return false;
    return count > 0;
}

struct dns *dns_new(struct loop *loop, const struct dns_options *options, struct err *err) {
    static const struct clock system_clock;
    struct dns *dns = must_alloc(sizeof *dns);
    dns->loop = loop;
    dns->clock = options->clock ? options->clock : &system_clock;
    dns->log = options->log;
    dns->timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : 1000;
    dns->tries = options->tries > 0 ? options->tries : 3;
    dns->trust_ad = options->trust_ad;
    dns->offline = options->offline;
    dns_cache_init(&dns->cache, options->cache_max ? options->cache_max : 10000);
    TAILQ_INIT(&dns->waiting);
    TAILQ_INIT(&dns->asking);
    TAILQ_INIT(&dns->gone);
    TAILQ_INIT(&dns->ready);
    dns->soon = timer_new(loop, on_soon, dns);
    if (dns->offline) return dns;
    bool listed = options->servers && options->servers[0];
    if (!(listed ? add_listed(dns, options->servers, err) : add_system(dns, err))) dns_free(&dns);
    return dns;
}

struct loop *dns_loop(const struct dns *dns) {
    return dns->loop;
}

// An answer that is nobody's but this asker's.
static struct dns_ticket *answer_one(struct dns *dns, struct dns_ticket *t, enum dns_type type,
                                     const struct dns_answer *answer) {
    struct dns_entry *entry = dns_cache_add(&dns->cache, BYTES(""), type, answer, clock_ms(dns->clock), 0);
    make_ready(dns, t, entry);
    dns_entry_unref(entry);
    return t;
}

struct dns_ticket *dns_ask(struct dns *dns, const char *name, enum dns_type type,
                           void (*answer)(void *arg, const struct dns_answer *answer), void *arg) {
    struct dns_ticket *t = must_alloc(sizeof *t);
    *t = (struct dns_ticket){.dns = dns, .answer = answer, .arg = arg};
    char key[2 + NAME_MAX_LEN + 1];
    put_be16(key, (uint16_t)type);
    int64_t now = clock_ms(dns->clock);
    const char *fault = check_name(name, key + 2);
    if (fault) return answer_one(dns, t, type, &(struct dns_answer){.status = DNS_BAD_NAME, .why = fault});
    struct bytes whole = bytes_range(key, 2 + strlen(key + 2));
    struct dns_entry *known = dns_cache_find(&dns->cache, whole, now);
    if (known) {
        make_ready(dns, t, known);
        return t;
    }
    if (dns->offline) return answer_one(dns, t, type, &(struct dns_answer){.status = DNS_NO_NAME, .why = ""});
    struct question *q = map_get(&dns->open, whole);
    if (!q) q = question_new(dns, key + 2, type);
    t->question = q;
    TAILQ_INSERT_TAIL(&q->tickets, t, link);
    return t;
}

void dns_cancel(struct dns_ticket **ticket) {
    struct dns_ticket *t = *ticket;
    *ticket = NULL;
    if (!t) return;
    struct question *q = t->question;
    if (!q) {
        TAILQ_REMOVE(&t->dns->ready, t, link);
        t->dns->ready_count--;
        dns_entry_unref(t->entry);
    } else {
        // What is on the wire already may come for the cache's sake; it is not asked again.
        TAILQ_REMOVE(&q->tickets, t, link);
        if (q->state == WAITING && TAILQ_EMPTY(&q->tickets)) retire(q);
    }
    free(t);
}

void dns_flush(struct dns *dns) {
    dns_cache_flush(&dns->cache);
}

bool dns_teach(struct dns *dns, const char *name, enum dns_type type, const struct dns_answer *answer,
               struct err *err) {
    char key[2 + NAME_MAX_LEN + 1];
    put_be16(key, (uint16_t)type);
    const char *fault = check_name(name, key + 2);
    if (fault) return err_set(err, "%s", fault);
    struct bytes whole = bytes_range(key, 2 + strlen(key + 2));
    // Made at the beginning of time, so that a clock that is set back knows it too.
    dns_entry_unref(dns_cache_add(&dns->cache, whole, type, answer, 0, INT64_MAX / 2));
    return true;
}

static void drop_tickets(struct tickets *tickets) {
    for (struct dns_ticket *t; (t = TAILQ_FIRST(tickets));) {
        TAILQ_REMOVE(tickets, t, link);
        if (t->entry) dns_entry_unref(t->entry);
        free(t);
    }
}

void dns_free(struct dns **dns_at) {
    struct dns *dns = *dns_at;
    *dns_at = NULL;
    if (!dns) return;
    bug_if(dns->delivering);
    for (struct questions *list = &dns->waiting;; list = &dns->asking) {
        for (struct question *q; (q = TAILQ_FIRST(list));) {
            drop_tickets(&q->tickets);
            retire(q);
        }
        if (list == &dns->asking) break;
    }
    drop_tickets(&dns->ready);
    free_gone(dns);
    for (size_t i = 0; i < dns->server_count; i++)
        dns_server_free(&dns->servers[i]);
    timer_free(&dns->soon);
    dns_cache_release(&dns->cache);
    map_release(&dns->open);
    free(dns);
}
