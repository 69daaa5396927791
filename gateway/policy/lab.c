// SPDX-License-Identifier: MIT
#include "policy/lab.h"

#include "base/bug.h"
#include "base/utf8.h"
#include "mail/address.h"
#include "policy/decision.h"
#include "policy/hooks.h"
#include "policy/lab_list.h"
#include "policy/lab_shelf.h"
#include "policy/lab_web.h"
#include "policy/wall.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LOG_MAX = 64 * 1024, RECORDS_MAX = 200 };

struct lab {
    struct lab_options options;
    struct loop *loop;
    struct dns *dns;
    struct lab_web *web;
    struct fetch *fetch;
    struct lab_list *list; // who must not be written to
    struct lab_shelf *shelf;
    struct clock clock;
    struct log log; // into a file in memory
    struct witness witness, counting;
    struct generation *generation;
    struct hook_facts facts;
    struct arena arena; // of the facts
    struct buf looked;  // JSON objects with commas between them
    struct jsonl *out;  // of the decision that is being made
    bool answered;
    struct task abandoning;
    _Atomic bool abandoned;
};

// ---- life

static void on_looked(void *arg, struct bytes json) {
    struct lab *lab = arg;
    if (lab->looked.len) buf_byte(&lab->looked, ',');
    buf_add(&lab->looked, json);
}

static void on_line(void *arg, const char *file, int line) {
    struct lab *lab = arg;
    lab->options.on_line(lab->options.arg, file, line);
}

static void furnish(struct lab *lab) {
    lab->web = lab_web_new();
    const struct fetch_options made_up = {.instead = lab_web_answer, .instead_arg = lab->web};
    lab->fetch = fetch_new(lab->loop, lab->dns, lab->options.world.web ? lab->options.world.web : &made_up);
    lab->list = lab_list_new(lab->loop, &lab->clock);
    lab->shelf = lab_shelf_new(&lab->clock);
}

struct lab *lab_new(const struct lab_options *options, struct err *err) {
    struct lab *lab = must_alloc(sizeof *lab);
    lab->options = *options;
    lab->witness = (struct witness){.looked = on_looked, .arg = lab};
    lab->counting =
        (struct witness){.looked = on_looked, .on_line = options->on_line ? on_line : NULL, .arg = lab};
    lab->clock.frozen_ms = LAB_MORNING;
    // As under systemd, lines begin with their level, which is easier to read than a time.
    lab->log = (struct log){.fd = memfd_create("policy log", MFD_CLOEXEC),
                            .level = LOG_INFO,
                            .journal = true,
                            .clock = &lab->clock};
    if (lab->log.fd < 0)
        err_errno(err, "a file in memory");
    else
        lab->loop = loop_new(err);
    const struct dns_options made_up = {.clock = &lab->clock, .offline = true};
    if (lab->loop)
        lab->dns = dns_new(lab->loop, options->world.resolver ? options->world.resolver : &made_up, err);
    if (lab->dns)
        furnish(lab);
    else
        lab_free(&lab);
    return lab;
}

void lab_free(struct lab **at) {
    struct lab *lab = *at;
    *at = NULL;
    if (!lab) return;
    if (lab->generation) generation_free(&lab->generation);
    lab_list_free(&lab->list);
    lab_shelf_free(&lab->shelf);
    if (lab->fetch) fetch_free(&lab->fetch);
    lab_web_free(&lab->web);
    if (lab->dns) dns_free(&lab->dns);
    if (lab->loop) loop_free(&lab->loop);
    if (lab->log.fd >= 0) close(lab->log.fd);
    arena_release(&lab->arena);
    buf_release(&lab->looked);
    free(lab);
}

void lab_reset(struct lab *lab) {
    if (lab->generation) generation_free(&lab->generation);
    lab->clock.frozen_ms = LAB_MORNING;
    dns_flush(lab->dns);
    lab_list_clear(lab->list);
    lab_shelf_clear(lab->shelf);
    lab_web_clear(lab->web);
    if (lab->options.limits.clear) lab->options.limits.clear(lab->options.limits.arg);
}

struct clock *lab_clock(struct lab *lab) {
    return &lab->clock;
}
struct loop *lab_loop(struct lab *lab) {
    return lab->loop;
}
bool lab_has_policy(const struct lab *lab) {
    return lab->generation;
}

// ---- the log

static void log_forget(struct lab *lab) {
    bug_if(ftruncate(lab->log.fd, 0) < 0 || lseek(lab->log.fd, 0, SEEK_SET) < 0);
}

// The lines written since log_forget, as texts of a list.
static void put_log(struct lab *lab, struct jsonl *j) {
    off_t size = lseek(lab->log.fd, 0, SEEK_CUR);
    if (size <= 0) return;
    char *text = must_alloc(LOG_MAX);
    ssize_t n = pread(lab->log.fd, text, LOG_MAX, 0);
    struct bytes rest = bytes_range(text, n > 0 ? (size_t)n : 0);
    jsonl_open(j, "log", '[');
    while (rest.len) {
        struct bytes line = bytes_cut(&rest, '\n');
        ptrdiff_t end = bytes_find(line, '>');
        jsonl_text(j, NULL, end > 0 ? bytes_skip(line, (size_t)end + 1) : line);
    }
    jsonl_close(j, ']');
    free(text);
}

// ---- limits

static struct limit_state look_at(struct lab *lab, const struct spend *s, uint64_t n) {
    struct limit_state state = {0};
    const struct lab_limits *l = &lab->options.limits;
    l->look(l->arg, s, n, lab->clock.frozen_ms, &state);
    return state;
}

static bool limit_used(void *arg, const struct spend *s, uint64_t *used, void (*answer)(void *arg, uint64_t used),
                       void *answer_arg, struct limit_look **look) {
    (void)answer; // told at once
    (void)answer_arg;
    (void)look;
    struct limit_state state = look_at(arg, s, 0);
    *used = state.full_until_ms ? UINT64_MAX : state.used;
    return true;
}

static void limit_cancel(struct limit_look **look) {
    *look = NULL;
}

static bool see_limit(void *arg, const struct spend *s, uint64_t n, struct limit_state *out) {
    struct lab *lab = arg;
    if (!lab->options.limits.look) return false;
    *out = look_at(lab, s, n);
    return true;
}

static bool see_way(void *arg, struct bytes lane, struct way_state *out) {
    const struct lab_world *world = &((struct lab *)arg)->options.world;
    return world->way && world->way(world->arg, lane, out);
}

static struct prospect_eyes eyes_of(struct lab *lab) {
    return (struct prospect_eyes){.limit = see_limit, .way = see_way, .arg = lab};
}

bool lab_spend(struct lab *lab, const struct spend *s, uint64_t n, struct err *err) {
    const struct lab_limits *l = &lab->options.limits;
    if (!l->spend) return err_set(err, "there is no ledger here");
    l->spend(l->arg, s, n, lab->clock.frozen_ms);
    return true;
}

bool lab_fill(struct lab *lab, const struct spend *s, int64_t seconds, struct err *err) {
    const struct lab_limits *l = &lab->options.limits;
    if (!l->fill) return err_set(err, "there is no ledger here");
    l->fill(l->arg, s, lab->clock.frozen_ms + seconds * 1000, lab->clock.frozen_ms);
    return true;
}

// ---- the policy

bool lab_use(struct lab *lab, struct bundle *b, bool counted, struct err *err) {
    if (lab->generation) generation_free(&lab->generation);
    struct generation_options o = *lab->options.usual;
    o.loop = lab->loop;
    o.dns = lab->dns;
    o.fetch = lab->fetch;
    o.clock = &lab->clock;
    o.log = &lab->log;
    const struct lab_world *world = &lab->options.world;
    o.http_reads = world->web;
    o.suppressed = world->suppressed ? world->suppressed : lab_list_has;
    o.suppressed_arg = world->suppressed ? world->arg : lab->list;
    o.shelved = world->shelved ? world->shelved : lab_shelf_get;
    o.shelved_arg = world->shelved ? world->arg : lab->shelf;
    if (lab->options.limits.look) o.limit_used = limit_used;
    o.limit_cancel = limit_cancel;
    o.limit_arg = lab;
    o.witness = counted ? &lab->counting : &lab->witness;
    lab->generation = generation_new(b, &o, err);
    return lab->generation;
}

bool lab_teach_web(struct lab *lab, struct bytes request, const struct json *answers, struct err *err) {
    return lab_web_teach(lab->web, request, answers, err);
}

// ---- who must not be written to

bool lab_suppress(struct lab *lab, struct bytes address, struct bytes scope, struct bytes reason,
                  int64_t expires_s, struct err *err) {
    struct buf listed = {0};
    int64_t now = lab->clock.frozen_ms;
    bool ok = address_listed(address, &listed, err) &&
              lab_list_add(lab->list,
                           &(struct suppression){.address = buf_bytes(&listed),
                                                 .scope = scope,
                                                 .reason = utf8_first(reason, SUPPRESSION_WORDS),
                                                 .source = BYTES("lab"),
                                                 .added_ms = now,
                                                 .until_ms = expires_s ? now + expires_s * 1000 : 0},
                           err);
    buf_release(&listed);
    return ok;
}

void lab_keep(struct lab *lab, const struct keep *keep) { lab_shelf_keep(lab->shelf, keep); }

// ---- DNS

static bool take_type(const char *name, enum dns_type *out, struct err *err) {
    static const struct {
        const char *name;
        enum dns_type type;
    } types[] = {{"mx", DNS_MX}, {"a", DNS_A}, {"aaaa", DNS_AAAA}, {"txt", DNS_TXT}, {"ptr", DNS_PTR}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, name) != 0) continue;
        *out = types[i].type;
        return true;
    }
    return err_set(err, "'%s' is no type of record: mx, a, aaaa, txt and ptr are", name);
}

static bool take_mx(const struct json *from, struct arena *arena, struct dns_record *to, struct err *err) {
    int64_t preference;
    struct bytes host;
    if (!json_int(json_item(from, 0), &preference) || preference < 0 || preference > 65535 ||
        !json_text(json_item(from, 1), &host))
        return err_set(err, "an MX is a preference and a host: { 10, \"mx.example.net\" }");
    to->mx.preference = (uint16_t)preference;
    to->mx.host = arena_z(arena, host);
    return true;
}

static bool take_record(const struct json *from, enum dns_type type, struct arena *arena,
                        struct dns_record *to, struct err *err) {
    struct bytes text;
    if (type == DNS_MX) return take_mx(from, arena, to, err);
    if (!json_text(from, &text)) return err_set(err, "a list of texts is expected");
    const char *z = arena_z(arena, text);
    if (type == DNS_TXT)
        to->text = bytes_of(z);
    else if (type == DNS_PTR)
        to->name = z;
    else {
        to->address.family = type == DNS_A ? AF_INET : AF_INET6;
        if (inet_pton(to->address.family, z, to->address.ip) != 1)
            return err_set(err, "'%s' is no IPv%d address", z, type == DNS_A ? 4 : 6);
    }
    return true;
}

static bool take_records(const struct json *from, enum dns_type type, struct arena *arena,
                         struct dns_answer *out, struct err *err) {
    struct bytes why;
    if (json_text(from, &why)) {
        *out = (struct dns_answer){.status = DNS_TEMPORARY, .why = arena_z(arena, why)};
        return true;
    }
    size_t count = json_count(from);
    bool none = json_kind(from) == JSON_MAP && !count; // as Lua writes an empty table
    if (json_kind(from) != JSON_LIST && !none) return err_set(err, "a list of records is expected");
    if (count > RECORDS_MAX) return err_set(err, "more than %d records", RECORDS_MAX);
    struct dns_record *records = arena_alloc(arena, count * sizeof *records + 1);
    for (size_t i = 0; i < count; i++)
        if (!take_record(json_item(from, i), type, arena, &records[i], err)) return false;
    *out = (struct dns_answer){
        .status = count ? DNS_OK : DNS_NO_DATA, .ttl_s = 3600, .count = count, .records = records, .why = ""};
    return true;
}

bool lab_teach(struct lab *lab, const char *name, const char *type, const struct json *records,
               struct err *err) {
    enum dns_type kind = DNS_A;
    struct dns_answer answer;
    struct arena arena = {0};
    char reverse[ADDR_REVERSE];
    bool ok = take_type(type, &kind, err) && take_records(records, kind, &arena, &answer, err);
    if (ok && kind == DNS_PTR) {
        ok = addr_reverse(name, reverse) || err_set(err, "an IP address is expected");
        name = reverse;
    }
    ok = ok && dns_teach(lab->dns, name, kind, &answer, err);
    arena_release(&arena);
    return ok || err_within(err, "%s: %s", name, type);
}

// ---- asking

static void done(struct lab *lab) {
    lab->answered = true;
    loop_stop(lab->loop);
}

struct asking {
    struct lab *lab;
    enum hook which;
    const char *hook;
};

// The message's header block as it goes into the store.
static void put_head(struct lab *lab, const struct answer *a) {
    struct buf head = {0};
    struct err err;
    buf_add(&head, lab->facts.message.head);
    if (answer_edit(a, &head, &err))
        jsonl_text(lab->out, "head", buf_bytes(&head));
    else
        jsonl_textz(lab->out, "head_failed", err.text); // live: 451 4.3.0
    buf_release(&head);
}

static void on_answer(void *arg, const struct answer *a) {
    struct asking *asking = arg;
    decision_answer(asking->lab->out, asking->hook, a);
    if (asking->which == HOOK_MESSAGE) put_head(asking->lab, a);
    struct prospect_eyes eyes = eyes_of(asking->lab);
    if (a->spend_count)
        prospect_tell_spends(asking->lab->out, a->spends, a->spend_count, asking->lab->facts.message.recipient_count,
                             &eyes, asking->lab->clock.frozen_ms);
    done(asking->lab);
}

static void on_plan(void *arg, const struct plan *p) {
    struct asking *asking = arg;
    struct lab *lab = asking->lab;
    struct prospect_eyes eyes = eyes_of(lab);
    decision_plan(lab->out, p);
    if (p->kind == PLAN_SEND) prospect_tell(lab->out, p, &eyes, lab->clock.frozen_ms);
    done(asking->lab);
}

static void on_verdict(void *arg, const struct verdict *v) {
    struct asking *asking = arg;
    decision_verdict(asking->lab->out, v);
    done(asking->lab);
}

// settle answers nothing: it is over when no hook waits any more.
static void look_for_end(void *arg) {
    struct lab *lab = arg;
    struct generation_stats stats;
    generation_get_stats(lab->generation, &stats);
    if (!stats.waiting) done(lab);
}

static void tell_event(struct lab *lab) {
    struct generation_stats was, is;
    generation_get_stats(lab->generation, &was);
    hook_settle(lab->generation, lab->facts.event);
    struct timer *timer = timer_new(lab->loop, look_for_end, lab);
    while (!lab->answered && !lab->abandoned) {
        timer_set(timer, 0);
        loop_run(lab->loop);
    }
    timer_free(&timer);
    generation_get_stats(lab->generation, &is);
    jsonl_textz(lab->out, "hook", "settle");
    jsonl_textz(lab->out, "kind", "told");
    if (is.faults > was.faults) jsonl_bool(lab->out, "fault", true);
}

static void ask(struct lab *lab, enum hook hook) {
    struct hook_facts *f = &lab->facts;
    struct generation *g = lab->generation;
    struct asking asking = {lab, hook, hook_name[hook]};
    struct hook_ticket *asked = NULL;
    lab->answered = false;
    switch (hook) {
    case HOOK_CONNECT:
        asked = hook_connect(g, &f->session, on_answer, &asking);
        break;
    case HOOK_AUTHENTICATE:
        asked = hook_authenticate(g, &f->session, &f->login, on_answer, &asking);
        break;
    case HOOK_SENDER:
        asked = hook_sender(g, &f->session, &f->address, on_answer, &asking);
        break;
    case HOOK_RECIPIENT:
        asked = hook_recipient(g, &f->session, &f->address, on_answer, &asking);
        break;
    case HOOK_MESSAGE:
        asked = hook_message(g, &f->session, &f->message, on_answer, &asking);
        break;
    case HOOK_ROUTE:
        asked = hook_route(g, &f->message, &f->recipient, on_plan, &asking);
        break;
    case HOOK_RETRY:
        asked = hook_retry(g, &f->message, &f->recipient, &f->outcome, on_verdict, &asking);
        break;
    case HOOK_SETTLE:
        tell_event(lab);
        break;
    case QUESTIONS:
    case HOOK_DESCRIBE:
        bug_if(true);
    }
    while (!lab->answered && !lab->abandoned)
        loop_run(lab->loop);
    if (lab->answered) return;
    hook_cancel(&asked);
    jsonl_textz(lab->out, "hook", hook_name[hook]);
    jsonl_textz(lab->out, "kind", "abandoned");
}

static void stop_asking(struct task *task) {
    loop_stop(((struct lab *)((char *)task - offsetof(struct lab, abandoning)))->loop);
}

void lab_abandon(struct lab *lab) {
    if (atomic_exchange(&lab->abandoned, true)) return;
    lab->abandoning.run = stop_asking;
    loop_post(lab->loop, &lab->abandoning);
}

static void put_list(struct jsonl *j, const char *name, struct bytes items) {
    if (!items.len) return;
    jsonl_open(j, name, '[');
    jsonl_raw(j, NULL, items);
    jsonl_close(j, ']');
}

static void decide(struct lab *lab, enum hook hook, struct buf *decision) {
    struct jsonl j = jsonl_begin(decision);
    lab->out = &j;
    buf_reset(&lab->looked);
    lab_web_forget_asked(lab->web);
    log_forget(lab);
    ask(lab, hook);
    put_list(&j, "looked", buf_bytes(&lab->looked));
    put_list(&j, "requests", lab_web_asked(lab->web));
    put_log(lab, &j);
    jsonl_close(&j, '}');
    lab->out = NULL;
}

static bool find_hook(const char *name, enum hook *out, struct err *err) {
    for (int h = 0; h < HOOKS; h++) {
        if (strcmp(hook_name[h], name) != 0) continue;
        *out = (enum hook)h;
        return true;
    }
    return err_set(err, "there is no hook '%s'", name);
}

bool lab_ask(struct lab *lab, const char *hook, struct bytes facts, struct buf *decision, struct err *err) {
    enum hook which = HOOKS;
    bug_if(!lab->generation);
    if (!find_hook(hook, &which, err)) return false;
    struct json *told = json_parse(facts, err);
    if (!told) return false;
    memset(&lab->facts, 0, sizeof lab->facts);
    arena_reset(&lab->arena);
    bool ok = facts_read(&lab->facts, &lab->arena, told, err);
    json_free(&told);
    // What the store keeps with a message and gives back to route.
    struct message_facts *m = &lab->facts.message;
    if (ok && lab->facts.has_session && !m->session.len && which >= HOOK_ROUTE) {
        struct buf text = {0};
        session_facts_encode(&lab->facts.session, &text);
        m->session = arena_copy(&lab->arena, buf_bytes(&text));
        buf_release(&text);
    }
    if (ok) decide(lab, which, decision);
    if (lab->abandoned) return err_set(err, "given up");
    return ok;
}

struct describing {
    struct lab *lab;
    struct buf *list;
    struct err *err;
    bool good;
};

static void on_told(void *arg, struct bytes json, const char *why) {
    struct describing *d = arg;
    if (why) err_set(d->err, "%s", why);
    else buf_add(d->list, json);
    d->good = !why;
    done(d->lab);
}

bool lab_describe(struct lab *lab, const char *what, struct bytes question, struct buf *list, struct err *err) {
    struct describing d = {.lab = lab, .list = list, .err = err};
    bug_if(!lab->generation);
    lab->answered = false;
    struct hook_ticket *asked = hook_describe(lab->generation, bytes_of(what), question, on_told, &d);
    while (!lab->answered && !lab->abandoned) loop_run(lab->loop);
    if (lab->answered) return d.good;
    hook_cancel(&asked);
    return err_set(err, "given up");
}
