// SPDX-License-Identifier: MIT
#include "relay/commons.h"

#include "net/redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

enum { PROBE_MS = 1000, TOLD_AT_ONCE = 100, COMPLAINT_MS = 60 * 1000, SECRET_MAX = 512 };

// The rows are those of account_encode. What is of the future counts: a gateway's clock may be ahead. Such a one must not take the rows of
// others away either, so they go when they are old by Redis' own clock, too.
static const char script[] =
    "local me, now, window, cap, row = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]\n"
    "local clock = redis.call('TIME')\n"
    "local function spent(row, now)\n"
    "  if row == '' then return 0, 0 end\n"
    "  local version, width, newest, full, count = struct.unpack('>I1I4I8I8I2', row)\n"
    "  if version ~= 2 then error('a row of another version of tidegate') end\n"
    "  local slack, total = math.min(width, 60000), 0\n"
    "  for i = 0, count - 1 do\n"
    "    local back, n = struct.unpack('>I2I4', row, 24 + 6 * i)\n"
    "    if (newest - back + 1) * width + window + slack > now then total = total + n end\n"
    "  end\n"
    "  return total, full\n"
    "end\n"
    "local all, full = 0, 0\n"
    "local answer, rows = { 'taken' }, redis.call('HGETALL', KEYS[1])\n"
    "for i = 1, #rows, 2 do\n"
    "  if rows[i] ~= me then\n"
    "    local n, until_ms = spent(rows[i + 1], now)\n"
    "    local old = n == 0 and until_ms <= math.min(now, clock[1] * 1000) and spent(rows[i + 1], clock[1] * 1000) == 0\n"
    "    if old then redis.call('HDEL', KEYS[1], rows[i])\n"
    "    else all, full, answer[#answer + 1] = all + n, math.max(full, until_ms), rows[i + 1] end\n"
    "  end\n"
    "end\n"
    "if cap == -2 then return answer end\n"
    "local mine, mine_full = spent(row, now)\n"
    "if cap >= 0 and (all + mine > cap or full > now) then answer[1] = 'full' return answer end\n"
    "if row == '' then redis.call('HDEL', KEYS[1], me) return answer end\n"
    "redis.call('HSET', KEYS[1], me, row)\n"
    "local keep = math.max(2 * window + 120000, mine_full - now, redis.call('PTTL', KEYS[1]))\n"
    "redis.call('PEXPIRE', KEYS[1], string.format('%.0f', keep))\n"
    "return answer\n";

struct ask {
    LIST_ENTRY(ask) link;
    struct commons *commons;
    commons_fn answer;
    void *arg;
    uint32_t window_s;
};

struct commons {
    struct worker *worker;
    struct redis *redis;
    struct tls_context *tls;
    LIST_HEAD(, ask) asks;
    struct timer *probe;
    void (*in_reach)(void *arg);
    void *arg;
    bool lost, told; // told: this gateway's rows, since it was lost
    int64_t complained_ms;
    char where[ADDR_TEXT], host[ADDR_TEXT];
    char name[300];
    char user[SECRET_MAX], password[SECRET_MAX];
    struct buf next; // rows are told from here on; empty: all are
    size_t telling;  // not answered yet
};

static int64_t now_ms(const struct commons *c) { return clock_ms(&c->worker->gateway->clock); }

// ---- asking

static bool add_up(struct account *sum, const struct redis_answer *said) {
    for (size_t i = 1; i < said->count; i++)
        if (!account_decode(sum, said->texts[i])) return false;
    return true;
}

static void set_lost(struct commons *c, bool lost, const char *why);

static void complain(struct commons *c, const char *why) {
    int64_t now = now_ms(c);
    if (c->complained_ms && now - c->complained_ms < COMPLAINT_MS) return;
    c->complained_ms = now;
    log_fault(&c->worker->gateway->log, "ledger: what the Redis at %s has of a limit cannot be read, so nothing is granted of it: %s", c->where, why);
}

// "READONLY ...", "OOM ...", "LOADING ...": it can do nothing of the kind for anybody. What a script says itself is of this account alone.
static void take_fault(struct commons *c, const struct redis_answer *said) {
    if (said->lost) return;
    if (bytes_starts(bytes_of(said->fault), BYTES("ERR "))) return complain(c, said->fault);
    set_lost(c, true, said->fault);
    timer_set(c->probe, PROBE_MS);
}

static void on_answer(void *arg, const struct redis_answer *said) {
    struct ask *a = arg;
    struct commons *c = a->commons;
    struct account others;
    enum commons_said what = COMMONS_SILENT;
    account_init(&others, a->window_s, now_ms(c));
    if (said->fault) {
        take_fault(c, said);
    } else if (said->count == 0 || !add_up(&others, said)) {
        complain(c, "it is damaged");
    } else {
        account_turn(&others, now_ms(c));
        what = bytes_equal(said->texts[0], BYTES("taken")) ? COMMONS_TAKEN : COMMONS_FULL;
    }
    LIST_REMOVE(a, link);
    a->answer(a->arg, what, what == COMMONS_SILENT ? NULL : &others);
    free(a);
}

void commons_ask(struct commons *c, struct bytes account, struct bytes row, int64_t cap, commons_fn answer, void *arg) {
    char key[1024], now[24], window[24], most[24];
    struct ask *a = must_alloc(sizeof *a);
    *a = (struct ask){.commons = c, .answer = answer, .arg = arg, .window_s = 1};
    account_window(account, &a->window_s);
    LIST_INSERT_HEAD(&c->asks, a, link);
    snprintf(key, sizeof key, "tidegate:%.*s", BYTES_FMT(account));
    snprintf(now, sizeof now, "%lld", (long long)now_ms(c));
    snprintf(window, sizeof window, "%lld", (long long)a->window_s * 1000);
    snprintf(most, sizeof most, "%lld", (long long)cap);
    struct bytes words[] = {BYTES("EVAL"), BYTES(script), BYTES("1"), bytes_of(key), bytes_of(c->name),
                            bytes_of(now), bytes_of(window), bytes_of(most), row};
    redis_ask(c->redis, words, sizeof words / sizeof words[0], on_answer, a);
}

// ---- all that this gateway has spent is told when the connection has opened: Redis may have forgotten it, or never known

static void tell_some(struct commons *c);

static void on_told(void *arg, enum commons_said said, const struct account *others) {
    struct commons *c = arg;
    (void)said, (void)others;
    if (c->lost) buf_reset(&c->next); // it will open again, and all are told again
    if (--c->telling == 0 && c->next.len) tell_some(c);
}

static bool tell_one(void *arg, struct bytes account, struct bytes row) {
    struct commons *c = arg;
    uint32_t window_s;
    if (c->telling == TOLD_AT_ONCE) {
        buf_add(&c->next, account);
        return false;
    }
    if (!account_window(account, &window_s) || gateway_worker_of_lane(c->worker->gateway, account) != c->worker) return true;
    c->telling++;
    commons_ask(c, account, row, COMMONS_ANY, on_told, c);
    return true;
}

static void tell_some(struct commons *c) {
    struct buf from = c->next;
    struct reader *reader = c->worker->reader;
    c->next = (struct buf){0};
    reader_begin(reader);
    reader_walk_from(reader, TABLE_LEDGER, buf_bytes(&from), tell_one, c);
    reader_end(reader);
    buf_release(&from);
}

// ---- in and out of reach

// Of all workers only the first that loses it and the last that has it back says so.
static void set_lost(struct commons *c, bool lost, const char *why) {
    struct gateway *g = c->worker->gateway;
    if (c->lost == lost) return;
    c->lost = lost;
    if (lost) c->told = false;
    int before = atomic_fetch_add(&g->commons_lost, lost ? 1 : -1);
    if (lost && before == 0)
        log_fault(&g->log, "ledger: the Redis at %s, in which limits are shared, cannot be asked: %s. What is not granted yet waits", c->where, why);
    if (!lost && before == 1) log_note(&g->log, "ledger: the Redis at %s can be asked again", c->where);
}

static void warn_of(struct commons *c, struct bytes info, struct bytes line, const char *what) {
    if (bytes_search(info, line) >= 0) log_warn(&c->worker->gateway->log, "ledger: the Redis at %s %s", c->where, what);
}

static void on_info(void *arg, const struct redis_answer *said) {
    struct commons *c = arg;
    if (said->fault || said->count != 1) return; // not everybody may ask for it
    warn_of(c, said->texts[0], BYTES("\naof_enabled:0"),
            "forgets when it restarts what was spent since its last snapshot, and limits are overspent by as much: set `appendonly yes` and `appendfsync always`");
    if (bytes_search(said->texts[0], BYTES("\nmaxmemory_policy:noeviction")) < 0)
        warn_of(c, said->texts[0], BYTES("\nmaxmemory_policy:"), "may drop rows when its memory is full: set `maxmemory-policy noeviction`");
}

static void on_opened(void *arg) {
    struct commons *c = arg;
    struct bytes info = BYTES("INFO");
    if (c->worker->index == 0) redis_ask(c->redis, &info, 1, on_info, c);
}

static void on_lost(void *arg, const char *why) {
    struct commons *c = arg;
    set_lost(c, true, why);
    timer_set(c->probe, PROBE_MS);
}

static void on_probed(void *arg, const struct redis_answer *said) {
    struct commons *c = arg;
    bool was = c->lost;
    if (said->fault) {
        if (!said->lost) set_lost(c, true, said->fault);
        return timer_set(c->probe, PROBE_MS);
    }
    set_lost(c, false, "");
    if (!c->told) {
        c->told = true;
        buf_reset(&c->next);
        buf_byte(&c->next, 0);
        if (c->telling == 0) tell_some(c);
    }
    if (was) c->in_reach(c->arg);
}

// Whether it takes writes is known by a write.
static void on_probe(void *arg) {
    struct commons *c = arg;
    struct bytes words[] = {BYTES("SET"), BYTES("tidegate:probe"), bytes_of(c->name), BYTES("EX"), BYTES("60")};
    redis_ask(c->redis, words, sizeof words / sizeof words[0], on_probed, c);
}

void commons_begin(struct commons *c) {
    if (c) on_probe(c);
}

bool commons_is_in_reach(const struct commons *c) { return !c->lost; }

// ---- life

// "PASSWORD" or "USER PASSWORD", in its first line.
static void read_password(struct commons *c, const char *path) {
    char text[SECRET_MAX] = "";
    FILE *file = fopen(path, "re");
    if (!file || !fgets(text, sizeof text, file))
        log_fault(&c->worker->gateway->log, "ledger.password: %s: %s", path, file ? "it is empty" : strerror(errno));
    if (file) fclose(file);
    struct bytes line = bytes_trim(bytes_of(text));
    ptrdiff_t blank = bytes_find(line, ' ');
    if (blank > 0) snprintf(c->user, sizeof c->user, "%.*s", (int)blank, line.at);
    line = bytes_trim(bytes_skip(line, blank > 0 ? (size_t)blank : 0));
    snprintf(c->password, sizeof c->password, "%.*s", BYTES_FMT(line));
    explicit_bzero(text, sizeof text);
}

static struct tls_context *open_tls(const struct commons *c, const struct conf *conf) {
    struct err err;
    struct tls_context *tls = tls_client_new(conf->ledger_ca ? conf->ledger_ca : conf->ca, &err);
    if (!tls) log_fault(&c->worker->gateway->log, "ledger.ca: %s", err.text);
    return tls;
}

struct commons *commons_new(struct worker *w, void (*in_reach)(void *arg), void *arg) {
    const struct conf *conf = w->site ? w->site->conf : NULL;
    if (!conf || !conf->ledger_redis.len || w->gateway->rehearsal) return NULL;
    struct commons *c = must_alloc(sizeof *c);
    c->worker = w;
    c->in_reach = in_reach;
    c->arg = arg;
    LIST_INIT(&c->asks);
    addr_text(&conf->ledger_redis, c->where);
    addr_ip_text(&conf->ledger_redis, c->host);
    snprintf(c->name, sizeof c->name, "%s %s", conf->hostname, store_name(w->gateway->store));
    struct redis_options o = {.address = conf->ledger_redis, .opened = on_opened, .lost = on_lost, .arg = c};
    if (conf->ledger_password) {
        read_password(c, conf->ledger_password);
        o.user = c->user[0] ? c->user : NULL;
        o.password = c->password;
    }
    if (conf->ledger_tls) {
        o.tls = c->tls = open_tls(c, conf);
        o.tls_host = conf->ledger_tls_name ? conf->ledger_tls_name : c->host;
    }
    c->redis = redis_new(w->loop, &o);
    c->probe = timer_new(w->loop, on_probe, c);
    return c;
}

void commons_free(struct commons **at) {
    struct commons *c = *at;
    struct ask *a;
    *at = NULL;
    if (!c) return;
    redis_free(&c->redis);
    while ((a = LIST_FIRST(&c->asks))) {
        LIST_REMOVE(a, link);
        free(a);
    }
    timer_free(&c->probe);
    tls_context_free(&c->tls);
    buf_release(&c->next);
    free(c);
}
