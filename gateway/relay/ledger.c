// SPDX-License-Identifier: MIT
#include "relay/ledger.h"

#include "base/bug.h"
#include "base/map.h"
#include "policy/spends.h"
#include "relay/account.h"
#include "relay/commons.h"
#include "relay/grant.h"
#include "relay/sweep.h"
#include "relay/waiters.h"

#include <stdlib.h>

enum { PATIENCE_MS = 2000, SICK_MS = 1000, IDLE_MS = 120 * 1000, LONGEST_SLEEP_MS = 60000 };
enum { HEAR_MS = 5000, UNREACHED_MS = 10 * 1000, OUTBID_MOST = 3 };

struct legs {
    struct leg *first, *last;
};

struct entry {
    // The store's while `writing`, as is `row`; hence apart from what the owner looks at meanwhile.
    struct store_op op;          // first
    int stored;
    struct task written;
    struct ledger *ledger;
    char *name;                  // "KEY/SECONDS"
    struct account account;
    struct legs waiting;         // for tokens, a moment
    struct legs leasing;         // hold tokens; granted when the next commit is done
    struct legs leased;          // the same, in the commit under way
    struct legs held;            // granted, oldest first
    size_t granted;              // those, and those that were held for so long that they were taken for spent
    struct waiters *waiters;     // in the store
    uint64_t cap;                // as last asked, for show
    // The row on disk: for the current bucket it allows for `lease` tokens.
    uint64_t lease;
    bool writing;                // to the store, then to the commons
    bool has_row;                // one is, or may be, on disk
    bool carry;                  // a bucket has closed with tokens in flight: the row must say so
    bool spare;                  // the row says more than is so: to be written when a bucket closes
    struct buf row;              // being written; empty: deleted
    uint64_t row_lease;
    int64_t row_bucket;
    // What the other gateways have spent; NULL: nobody shares it.
    struct account *others;
    int64_t heard_ms;
    bool hearing;
    int64_t touched_ms, again_ms; // last asked; not to write before, after a failure
    struct timer *timer;
};

struct ledger {
    struct worker *worker;
    struct map entries;
    bool stopped;
    struct sweep *sweep;
    struct commons *commons; // NULL: limits are this gateway's own
};

static int64_t now_ms(const struct ledger *l) { return clock_ms(&l->worker->gateway->clock); }

// ---- lists

static void legs_add(struct legs *list, struct leg *leg) {
    leg->next = NULL;
    leg->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = leg;
    list->last = leg;
}

static void legs_add_first(struct legs *list, struct leg *leg) {
    leg->prev = NULL;
    leg->next = list->first;
    *(list->first ? &list->first->prev : &list->last) = leg;
    list->first = leg;
}

static void legs_remove(struct legs *list, struct leg *leg) {
    *(leg->prev ? &leg->prev->next : &list->first) = leg->next;
    *(leg->next ? &leg->next->prev : &list->last) = leg->prev;
}

static struct leg *legs_take(struct legs *list) {
    struct leg *leg = list->first;
    if (leg) legs_remove(list, leg);
    return leg;
}

// ---- entries

static void serve(struct entry *e);
static void on_timer(void *arg) { serve(arg); }
static void on_written(struct task *task);

static void load(struct entry *e) {
    struct worker *w = e->ledger->worker;
    struct bytes row;
    reader_begin(w->reader);
    e->has_row = reader_get(w->reader, TABLE_LEDGER, bytes_of(e->name), &row);
    bool good = !e->has_row || account_decode(&e->account, row);
    reader_end(w->reader);
    if (good) return;
    // What is uncertain counts as spent.
    log_fault(&w->gateway->log, "ledger: the row of limit %s is damaged: it counts as used up", e->name);
    account_hold(&e->account, ACCOUNT_CAP_MAX);
    account_spend(&e->account, ACCOUNT_CAP_MAX);
}

static struct entry *entry_get(struct ledger *l, struct bytes name) {
    struct entry *e = map_get(&l->entries, name);
    uint32_t window_s = 1;
    if (e) return e;
    bug_if(!account_window(name, &window_s));
    e = must_alloc(sizeof *e);
    e->ledger = l;
    e->name = bytes_dupz(name);
    e->written.run = on_written;
    e->timer = timer_new(l->worker->loop, on_timer, e);
    account_init(&e->account, window_s, now_ms(l));
    if (account_is_durable(&e->account)) load(e);
    if (l->commons && account_is_durable(&e->account)) {
        e->others = must_alloc(sizeof *e->others);
        account_init(e->others, window_s, now_ms(l));
    }
    map_put(&l->entries, name, e);
    return e;
}

static void entry_free(struct entry *e) {
    timer_free(&e->timer);
    waiters_free(&e->waiters);
    buf_release(&e->row);
    free(e->others);
    free(e->name);
    free(e);
}

// Nothing of it is needed in memory: the row, where there is one, says it all.
static bool is_idle(const struct entry *e, int64_t now) {
    bool busy = e->waiting.first || e->leasing.first || e->leased.first || e->granted || e->waiters || e->writing || e->hearing ||
                e->carry || e->spare;
    bool counts = account_taken(&e->account) > 0;
    bool kept = account_is_durable(&e->account) ? counts || !e->has_row : !counts;
    return !busy && kept && now - e->touched_ms >= IDLE_MS;
}

// ---- all that share it

static uint64_t taken_by_all(const struct entry *e) {
    return account_taken(&e->account) + (e->others ? account_taken(e->others) : 0);
}

// As one account; where others have a part in it, in `sum`.
static const struct account *of_all(const struct entry *e, struct account *sum) {
    if (!e->others) return &e->account;
    *sum = e->account;
    account_join(sum, e->others);
    return sum;
}

static bool is_in_reach(const struct entry *e, int64_t now) {
    return !e->others || (commons_is_in_reach(e->ledger->commons) && now >= e->again_ms);
}

// ---- granting

static bool would_be_leased(const struct entry *e, uint64_t n) {
    return !account_is_durable(&e->account) || account_current(&e->account) + e->account.held + n <= e->lease;
}

static void grant(struct entry *e, struct leg *leg, int64_t now) {
    leg->since_ms = now;
    legs_add(&e->held, leg);
    e->granted++;
    grant_passed(leg);
}

static void refuse(struct entry *e, struct leg *leg, uint64_t taken) {
    struct account sum;
    const struct account *all = of_all(e, &sum);
    struct refusal why = {.spend = leg->spend, .used = account_used(all)};
    why.until_ms = account_free_at(all, leg->spend->cap, taken - taken_by_all(e) + leg->n);
    if (leg->spend->recipients && taken < leg->spend->cap) why.room = leg->spend->cap - taken;
    grant_refused(leg, &why);
}

// There may be room, but nobody can say so.
static void refuse_unreached(struct entry *e, struct leg *leg, int64_t now) {
    struct account sum;
    struct refusal why = {.spend = leg->spend, .used = account_used(of_all(e, &sum)), .until_ms = now + UNREACHED_MS, .unreachable = true};
    grant_refused(leg, &why);
}

// Something will fall free in a moment; or may, because only what is in flight stands in the way.
static bool may_fit_soon(const struct entry *e, const struct leg *leg, uint64_t others) {
    struct account sum;
    const struct account *a = of_all(e, &sum);
    if (!a->full_until_ms && a->spent + others + leg->n <= leg->spend->cap) return true;
    return account_free_at(a, leg->spend->cap, others + leg->n) <= leg->since_ms + PATIENCE_MS;
}

// In the order in which they came, those that fit are let in. The rest stays for as long as its patience lasts.
static void let_in(struct entry *e, int64_t now) {
    uint64_t ahead = 0;
    for (struct leg *leg = e->waiting.first, *next; leg; leg = next) {
        uint64_t used = taken_by_all(e), taken = used + ahead;
        bool patient = leg->patient && !e->ledger->stopped && now < leg->since_ms + PATIENCE_MS;
        next = leg->next;
        if (!leg->called) taken += waiters_reserved(e->waiters, now); // the room is kept for those that were called
        bool fits = taken + leg->n <= leg->spend->cap;
        bool leased = would_be_leased(e, leg->n), reached = leased || is_in_reach(e, now);
        if (patient && (fits ? !reached : may_fit_soon(e, leg, taken - used))) {
            ahead += leg->n;
            continue;
        }
        legs_remove(&e->waiting, leg);
        if (!fits) {
            refuse(e, leg, taken);
            continue;
        }
        if (!reached) {
            refuse_unreached(e, leg, now);
            continue;
        }
        account_hold(&e->account, leg->n);
        if (leased) grant(e, leg, now);
        else legs_add(&e->leasing, leg);
    }
}

// ---- the row

static bool apply(struct store_op *op, struct txn *txn, struct err *err) {
    struct entry *e = (struct entry *)op;
    struct bytes name = bytes_of(e->name);
    if (e->row.len == 0) return txn_delete(txn, TABLE_LEDGER, name, err);
    return txn_put(txn, TABLE_LEDGER, name, buf_bytes(&e->row), err);
}

static void finish(struct store_op *op, bool done, const struct err *why) {
    struct entry *e = (struct entry *)op;
    (void)why; // the store has said it
    e->stored = done;
    loop_post(e->ledger->worker->loop, &e->written);
}

static void write_row(struct entry *e) {
    buf_reset(&e->row);
    if (account_taken(&e->account)) account_encode(&e->account, &e->row);
    e->row_bucket = e->account.bucket;
    e->row_lease = account_current(&e->account) + e->account.held;
    // It may allow for less than the one before (refunds): what is granted while it is being written must be in it (tests/model, BUG=7).
    if (e->lease > e->row_lease) e->lease = e->row_lease;
    e->leased = e->leasing;
    e->leasing = (struct legs){0};
    e->carry = e->spare = false;
    e->has_row = e->writing = true;
    e->op = (struct store_op){.apply = apply, .finish = finish, .file = -1};
    store_submit(e->ledger->worker->gateway->store, &e->op);
}

static void maybe_write(struct entry *e, int64_t now) {
    if (e->writing || !account_is_durable(&e->account) || now < e->again_ms) return;
    bool idle = now - e->touched_ms >= IDLE_MS;
    bool needless = e->has_row && account_taken(&e->account) == 0 && idle;
    bool others_wait = e->others && now - e->heard_ms >= HEAR_MS; // perhaps, for what was given back
    if (e->leasing.first || e->carry || (e->spare && (e->ledger->stopped || idle || others_wait)) || needless) write_row(e);
}

static void turn(struct entry *e, int64_t now) {
    if (e->others) account_turn(e->others, now);
    if (!account_turn(&e->account, now)) return;
    e->lease = 0;
    if (account_is_durable(&e->account) && (e->account.held || e->spare)) e->carry = true;
}

static void row_stands(struct entry *e, int64_t now) {
    if (e->row_bucket == e->account.bucket) e->lease = e->row_lease;
    for (struct leg *leg; (leg = legs_take(&e->leased));) grant(e, leg, now);
}

static void row_failed(struct entry *e, int64_t now) {
    e->carry = true;
    e->again_ms = now + SICK_MS;
    for (struct leg *leg; (leg = legs_take(&e->leased));) {
        account_drop(&e->account, leg->n);
        grant_refused(leg, &(struct refusal){.spend = NULL});
    }
}

// In the store it stands; whether it does there, nobody knows. Those who stop have said what they could.
static void row_unheard(struct entry *e, int64_t now) {
    e->carry = !e->ledger->stopped;
    e->again_ms = now + UNREACHED_MS;
    for (struct leg *leg; (leg = legs_take(&e->leased));) {
        account_drop(&e->account, leg->n);
        refuse_unreached(e, leg, now);
    }
}

// Another gateway was faster: those who asked look again, with what it has counted in, in the order in which they came. The store's row
// says more than is so.
static void row_outbid(struct entry *e, int64_t now) {
    e->spare = true;
    for (struct leg *leg; (leg = e->leased.last);) {
        legs_remove(&e->leased, leg);
        account_drop(&e->account, leg->n);
        if (++leg->outbid < OUTBID_MOST) legs_add_first(&e->waiting, leg);
        else refuse_unreached(e, leg, now); // here and there they count otherwise
    }
}

static void hear(struct entry *e, const struct account *others, int64_t now) {
    if (others) *e->others = *others;
    e->heard_ms = now;
    turn(e, now);
}

static void on_put(void *arg, enum commons_said said, const struct account *others) {
    struct entry *e = arg;
    int64_t now = now_ms(e->ledger);
    e->writing = false;
    hear(e, others, now);
    if (said == COMMONS_TAKEN) row_stands(e, now);
    else if (said == COMMONS_FULL) row_outbid(e, now);
    else row_unheard(e, now);
    serve(e);
}

// The most that all may have spent for every leg's cap to hold.
static int64_t lowest_cap(const struct legs *legs) {
    int64_t cap = COMMONS_ANY;
    for (const struct leg *leg = legs->first; leg; leg = leg->next)
        if (cap == COMMONS_ANY || (int64_t)leg->spend->cap < cap) cap = (int64_t)leg->spend->cap;
    return cap;
}

static void on_written(struct task *task) {
    struct entry *e = (struct entry *)((char *)task - offsetof(struct entry, written));
    int64_t now = now_ms(e->ledger);
    if (e->stored) e->has_row = e->row.len > 0;
    if (e->stored && e->others)
        return commons_ask(e->ledger->commons, bytes_of(e->name), buf_bytes(&e->row), lowest_cap(&e->leased), on_put, e);
    e->writing = false;
    turn(e, now);
    if (e->stored) row_stands(e, now);
    else row_failed(e, now);
    serve(e);
}

static void on_heard(void *arg, enum commons_said said, const struct account *others) {
    struct entry *e = arg;
    (void)said;
    e->hearing = false;
    hear(e, others, now_ms(e->ledger));
    serve(e);
}

// While anybody may ask: what the others give back makes room here.
static void maybe_hear(struct entry *e, int64_t now) {
    bool asked = e->waiting.first || e->waiters || now - e->touched_ms < IDLE_MS;
    if (!e->others || e->hearing || e->writing || e->ledger->stopped || !asked || now - e->heard_ms < HEAR_MS) return;
    e->hearing = true;
    commons_ask(e->ledger->commons, bytes_of(e->name), BYTES(""), COMMONS_LOOK, on_heard, e);
}

// ---- one turn

// What has been in flight for a whole window is taken for spent: a peer that hangs must not stop everybody else for longer.
static void age(struct entry *e, int64_t now) {
    struct leg *leg;
    while ((leg = e->held.first) && now - leg->since_ms > e->account.window_ms) {
        legs_remove(&e->held, leg);
        leg->bucket = account_spend(&e->account, leg->n);
    }
}

static uint64_t asked(const struct entry *e) {
    uint64_t sum = 0;
    for (const struct leg *leg = e->waiting.first; leg; leg = leg->next) sum += leg->n;
    return sum;
}

static int64_t sooner(int64_t a, int64_t b) { return a < b ? a : b; }

static bool may_call(const struct entry *e, int64_t now) {
    return !e->ledger->stopped && gateway_may_send(e->ledger->worker->gateway) && is_in_reach(e, now);
}

static void set_timer(struct entry *e, int64_t now, uint64_t taken) {
    struct account sum;
    int64_t next = now + LONGEST_SLEEP_MS, free = account_next_free(of_all(e, &sum));
    if (e->waiting.first) next = sooner(next, sooner(free, e->waiting.first->since_ms + PATIENCE_MS));
    if (e->held.first) next = sooner(next, e->held.first->since_ms + e->account.window_ms + 1);
    if (e->others && (e->waiters || e->waiting.first || now - e->touched_ms < IDLE_MS)) next = sooner(next, e->heard_ms + HEAR_MS);
    if (e->waiters) next = sooner(next, may_call(e, now) ? waiters_next(e->waiters, taken, free, now) : now + SICK_MS);
    if (account_is_durable(&e->account)) {
        if (e->account.held || e->spare) next = sooner(next, account_bucket_end(&e->account));
        if ((e->carry || e->leasing.first) && !e->writing) next = sooner(next, e->again_ms);
    }
    timer_set(e->timer, next > now ? next - now : 1);
}

static void serve(struct entry *e) {
    struct ledger *l = e->ledger;
    int64_t now = now_ms(l);
    turn(e, now);
    age(e, now);
    let_in(e, now);
    maybe_write(e, now);
    maybe_hear(e, now);
    uint64_t taken = taken_by_all(e) + asked(e);
    if (may_call(e, now)) waiters_call(&e->waiters, l->worker, bytes_of(e->name), taken, now);
    if (is_idle(e, now)) {
        map_remove(&l->entries, bytes_of(e->name));
        return entry_free(e);
    }
    set_timer(e, now, taken);
}

void ledger_take(struct ledger *l, struct leg *leg, struct bytes from) {
    struct entry *e = entry_get(l, leg->spend->account);
    struct place_of place;
    leg->entry = e;
    leg->since_ms = e->touched_ms = now_ms(l);
    leg->outbid = 0;
    leg->called = waiters_place_read(from, &place) && bytes_equal(place.account, bytes_of(e->name)) &&
                  waiters_arrived(e->waiters, &place, leg->id, leg->spend->cap, leg->since_ms);
    // Who came before and waits in the store must not be passed by those who come now.
    leg->patient = leg->called || !e->waiters;
    e->cap = leg->spend->cap;
    legs_add(&e->waiting, leg);
    serve(e);
}

void ledger_settle(struct leg *leg) {
    struct entry *e = leg->entry;
    uint64_t back = leg->n - leg->counted;
    e->touched_ms = now_ms(e->ledger);
    turn(e, e->touched_ms);
    e->granted--;
    if (leg->bucket < 0) {
        legs_remove(&e->held, leg);
        account_spend(&e->account, leg->counted);
        account_drop(&e->account, back);
        if (back) e->spare = account_is_durable(&e->account);
    } else {
        account_give_back(&e->account, leg->bucket, back);
        account_move(&e->account, leg->bucket, leg->counted);
        e->carry = account_is_durable(&e->account);
    }
    leg->bucket = -1;
    serve(e);
}

uint64_t ledger_used(struct ledger *l, struct bytes account) {
    struct entry *e = entry_get(l, account);
    int64_t now = now_ms(l);
    turn(e, now);
    if (e->others) e->touched_ms = now; // it is heard from now on
    timer_set(e->timer, 1); // this may be the first to name it: it goes again when nobody else does
    return taken_by_all(e);
}

void ledger_look(struct ledger *l, const struct spend *s, uint64_t n, struct limit_state *out) {
    char name[SPEND_ACCOUNT_MAX];
    struct entry *e = entry_get(l, spend_account(s, name));
    int64_t now = now_ms(l);
    turn(e, now);
    if (e->others) e->touched_ms = now; // as in ledger_used
    timer_set(e->timer, 1);
    struct account sum;
    const struct account *a = of_all(e, &sum);
    uint64_t others = asked(e) + waiters_reserved(e->waiters, now); // those before us (let_in)
    bool fits = account_taken(a) + others + n <= s->cap;
    *out = (struct limit_state){.used = account_used(a),
                                .room_at_ms = fits ? 0 : account_free_at(a, s->cap, others + n),
                                .next_free_ms = account_taken(a) ? account_next_free(a) : 0,
                                .full_until_ms = a->full_until_ms};
}

// What an account hears without being asked for a grant.
struct news {
    uint64_t count;       // so many more
    int64_t full_until_ms; // where count is 0
    char account[SPEND_ACCOUNT_MAX];
};

static void hear_news(struct worker *w, void *arg) {
    struct news *news = arg;
    struct entry *e = entry_get(w->ledger, bytes_of(news->account));
    e->touched_ms = now_ms(w->ledger);
    turn(e, e->touched_ms);
    if (news->count) {
        account_hold(&e->account, news->count);
        account_spend(&e->account, news->count);
    } else {
        account_fill(&e->account, news->full_until_ms);
    }
    e->carry = account_is_durable(&e->account);
    free(news);
    serve(e);
}

static void send_news(struct gateway *g, struct bytes account, struct news what) {
    struct news *news = must_alloc(sizeof *news);
    bug_if(account.len >= sizeof news->account);
    *news = what;
    memcpy(news->account, account.at, account.len);
    worker_post(gateway_worker_of_lane(g, account), hear_news, news);
}

void ledger_exhaust(struct gateway *g, struct bytes account, int64_t until_ms) {
    send_news(g, account, (struct news){.full_until_ms = until_ms});
}

void ledger_count(struct gateway *g, struct bytes account, uint64_t n) {
    bug_if(n == 0);
    send_news(g, account, (struct news){.count = n});
}

void ledger_put_refusal(struct jsonl *j, const struct refusal *r) {
    const struct spend *s = r->spend;
    jsonl_open(j, "limit", '{');
    jsonl_text(j, "key", s->key);
    jsonl_int(j, "window_s", s->window_s);
    jsonl_int(j, "cap", (int64_t)s->cap);
    jsonl_int(j, "used", (int64_t)r->used);
    jsonl_time(j, "until", r->until_ms);
    if (r->unreachable) jsonl_bool(j, "unreachable", true);
    jsonl_close(j, '}');
}

// ---- those who wait in the store

struct told {
    char place[WAITERS_PLACE];
};

static void hear_told(struct ledger *l, const struct told *told) {
    struct place_of place;
    if (!waiters_place_read(bytes_of(told->place), &place)) return;
    struct entry *e = entry_get(l, place.account);
    waiters_add(&e->waiters, &place);
    serve(e);
}

static void hear_there(struct worker *w, void *arg) {
    hear_told(w->ledger, arg);
    free(arg);
}

static struct worker *owner_of_place(struct gateway *g, struct bytes place) {
    struct place_of of;
    return waiters_place_read(place, &of) ? gateway_worker_of_lane(g, of.account) : NULL;
}

void ledger_tell_parked(struct gateway *g, struct bytes place) {
    struct worker *owner = owner_of_place(g, place);
    struct told *told = must_alloc(sizeof *told);
    bug_if(!owner || place.len >= sizeof told->place);
    memcpy(told->place, place.at, place.len);
    worker_post(owner, hear_there, told);
}

struct back {
    uint64_t id;
    bool elsewhere;
    char account[SPEND_ACCOUNT_MAX];
};

static void hear_back(struct worker *w, void *arg) {
    struct back *back = arg;
    struct entry *e = map_get(&w->ledger->entries, bytes_of(back->account));
    if (e) waiters_back(e->waiters, back->id, back->elsewhere, now_ms(w->ledger));
    if (e) serve(e);
    free(back);
}

void ledger_tell_back(struct gateway *g, struct bytes account, uint64_t id, bool elsewhere) {
    struct back *back = must_alloc(sizeof *back);
    bug_if(account.len >= sizeof back->account);
    back->id = id;
    back->elsewhere = elsewhere;
    memcpy(back->account, account.at, account.len);
    worker_post(gateway_worker_of_lane(g, account), hear_back, back);
}

struct places {
    struct ledger *ledger;
    struct told *at;
    size_t count;
};

static bool note_place(void *arg, struct bytes place) {
    struct places *p = arg;
    struct worker *w = p->ledger->worker;
    if (place.len >= WAITERS_PLACE || owner_of_place(w->gateway, place) != w) return true;
    if ((p->count & (p->count - 1)) == 0) p->at = must_realloc(p->at, (p->count ? p->count * 2 : 1) * sizeof *p->at);
    struct told *told = &p->at[p->count++];
    *told = (struct told){{0}};
    memcpy(told->place, place.at, place.len);
    return true;
}

// ---- life

void ledger_recover(struct ledger *l) {
    struct places p = {.ledger = l};
    reader_begin(l->worker->reader);
    reader_parked_lanes(l->worker->reader, BYTES(""), note_place, &p);
    reader_end(l->worker->reader);
    for (size_t i = 0; i < p.count; i++) hear_told(l, &p.at[i]);
    free(p.at);
    sweep_start(l->sweep);
    commons_begin(l->commons);
}

static bool is_in_memory(void *arg, struct bytes account) {
    struct ledger *l = arg;
    return map_get(&l->entries, account) != NULL;
}

static void serve_all(struct ledger *l, bool probe) {
    size_t at = 0;
    void *value;
    while (map_next(&l->entries, &at, NULL, &value)) {
        struct entry *e = value;
        if (probe) waiters_probe(e->waiters);
        serve(e);
    }
}

static void on_reach(void *ledger) {
    struct ledger *l = ledger;
    size_t at = 0;
    void *value;
    while (map_next(&l->entries, &at, NULL, &value)) ((struct entry *)value)->again_ms = 0;
    serve_all(l, true);
}

struct ledger *ledger_new(struct worker *w) {
    struct ledger *l = must_alloc(sizeof *l);
    l->worker = w;
    l->sweep = sweep_new(w, is_in_memory, l);
    l->commons = commons_new(w, on_reach, l);
    return l;
}

void ledger_free(struct ledger **at) {
    struct ledger *l = *at;
    size_t i = 0;
    void *value;
    *at = NULL;
    if (!l) return;
    while (map_next(&l->entries, &i, NULL, &value)) {
        bug_if(((struct entry *)value)->writing);
        entry_free(value);
    }
    map_release(&l->entries);
    sweep_free(&l->sweep);
    commons_free(&l->commons);
    free(l);
}

void ledger_look_again(struct ledger *l) { serve_all(l, true); }

void ledger_stop(struct ledger *l) {
    l->stopped = true;
    sweep_stop(l->sweep);
    serve_all(l, false);
}

bool ledger_is_idle(const struct ledger *l) {
    size_t at = 0;
    void *value;
    if (l->worker->grants) return false;
    while (map_next(&l->entries, &at, NULL, &value)) {
        const struct entry *e = value;
        if (e->writing || e->carry || e->spare || e->granted) return false;
    }
    return true;
}

// ---- for people

static void show_account(struct jsonl *j, const struct account *a, struct bytes name) {
    jsonl_text(j, "key", bytes_first(name, (size_t)bytes_find_last(name, '/')));
    jsonl_int(j, "window_s", a->window_ms / 1000);
    jsonl_int(j, "used", (int64_t)account_used(a));
    jsonl_int(j, "in_flight", (int64_t)a->held);
    if (a->full_until_ms) jsonl_time(j, "full_until", a->full_until_ms);
    if (a->spent) jsonl_time(j, "next_free", account_next_free(a));
    if (a->spent) jsonl_time(j, "all_free", account_free_at(a, account_used(a), account_used(a)));
}

struct showing {
    struct ledger *ledger;
    void (*row)(void *arg, struct bytes json);
    void *arg;
    struct buf out;
};

static void show_entry(struct showing *s, struct entry *e) {
    turn(e, now_ms(s->ledger));
    uint64_t needed = account_current(&e->account) + e->account.held;
    buf_reset(&s->out);
    struct jsonl j = jsonl_begin(&s->out);
    struct account sum;
    show_account(&j, of_all(e, &sum), bytes_of(e->name));
    if (e->cap) jsonl_int(&j, "cap", (int64_t)e->cap);
    if (e->others) jsonl_int(&j, "elsewhere", (int64_t)account_used(e->others));
    jsonl_int(&j, "leased", e->lease > needed ? (int64_t)(e->lease - needed) : 0);
    if (e->waiters) waiters_show(e->waiters, &j);
    jsonl_int(&j, "worker", s->ledger->worker->index);
    jsonl_end(&j);
    s->row(s->arg, buf_bytes(&s->out));
}

static bool show_row(void *arg, struct bytes name, struct bytes row) {
    struct showing *s = arg;
    struct worker *w = s->ledger->worker;
    struct account a;
    uint32_t window_s;
    bool ours = account_window(name, &window_s) && gateway_worker_of_lane(w->gateway, name) == w;
    if (!ours || map_get(&s->ledger->entries, name)) return true;
    account_init(&a, window_s, now_ms(s->ledger));
    if (!account_decode(&a, row)) return true;
    account_turn(&a, now_ms(s->ledger));
    if (!account_taken(&a)) return true;
    buf_reset(&s->out);
    struct jsonl j = jsonl_begin(&s->out);
    show_account(&j, &a, name);
    jsonl_int(&j, "worker", w->index);
    jsonl_end(&j);
    s->row(s->arg, buf_bytes(&s->out));
    return true;
}

void ledger_show(struct ledger *l, void (*row)(void *arg, struct bytes json), void *arg) {
    struct showing s = {.ledger = l, .row = row, .arg = arg};
    size_t at = 0;
    void *value;
    while (map_next(&l->entries, &at, NULL, &value)) show_entry(&s, value);
    reader_begin(l->worker->reader);
    reader_walk(l->worker->reader, TABLE_LEDGER, BYTES(""), show_row, &s);
    reader_end(l->worker->reader);
    buf_release(&s.out);
}
