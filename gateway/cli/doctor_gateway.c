// SPDX-License-Identifier: MIT
// What the running gateway says of itself: its store, how long mail waits, its lists and limits.

#include "base/quantity.h"
#include "cli/ask.h"
#include "cli/doctor.h"
#include "cli/show.h"
#include "cli/tool.h"

#include <sysexits.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { WAIT_S = 10, OLD_MS = 4 * 3600 * 1000, FULL_SOON_S = 86400 };

static void add(struct doctor *d, enum finding_level level, const char *check, const char *what,
                const char *follows, const char *fix) {
    findings_add(&d->findings, &(struct finding){level, check, "", what, follows, fix, NULL});
}

struct said {
    struct doctor *d;
    int64_t rows;
    int64_t received_ms; // of a row of the queue; 0: none
    bool sick, full;
    bool unreached; // the Redis of shared limits
    int64_t recipients, messages;
    int64_t lasts_s; // until the disk is full; -1: it does not fill
};

// One request; false: it was not answered, and why is on stderr.
static bool ask(struct doctor *d, const char *request, ask_row_fn row, struct said *reply,
                struct json **done) {
    int code = EX_OK;
    struct ask *gateway = ask_open(d->call, &code);
    if (gateway) code = ask_run(gateway, bytes_of(request), WAIT_S, row, reply, done);
    ask_close(&gateway);
    return code == EX_OK;
}

static bool on_status(void *arg, const struct json *row, struct bytes text) {
    struct said *r = arg;
    bool room = true;
    (void)text;
    const struct json *store = json_get(row, "store");
    json_bool(json_get(store, "sick"), &r->sick);
    if (json_bool(json_get(store, "has_room"), &room)) r->full = !room;
    bool in_reach;
    if (json_bool(json_get(json_get(row, "shared_limits"), "in_reach"), &in_reach)) r->unreached = !in_reach;
    json_int(json_get(row, "recipients"), &r->recipients);
    json_int(json_get(row, "messages"), &r->messages);
    if (!json_int(json_get(json_get(row, "disk"), "lasts_s"), &r->lasts_s)) r->lasts_s = -1;
    return true;
}

static bool on_waiting(void *arg, const struct json *row, struct bytes text) {
    struct said *r = arg;
    (void)text;
    show_when(json_get(row, "received"), &r->received_ms);
    return true;
}

static bool on_any(void *arg, const struct json *row, struct bytes text) {
    (void)row, (void)text;
    ((struct said *)arg)->rows++;
    return true;
}

static void foresee_the_end(struct doctor *d, int64_t lasts_s) {
    char lasts[QUANTITY_TEXT];
    quantity_duration_human(lasts_s, lasts);
    add(d, FINDING_WARN, "store", doctor_words(d, "as the disk fills now, there is no room for new mail in %s", lasts),
        "then clients hear 452 4.3.1", "tidegate top shows what comes in and does not go out");
}

static void judge_store(struct doctor *d, const struct said *r) {
    if (r->sick)
        add(d, FINDING_FAIL, "store", "the queue cannot be written to disk",
            "nothing is taken and nothing is delivered until it can", "see the disk, and the gateway's log");
    else if (r->full)
        add(d, FINDING_FAIL, "store", "the queue is full",
            "clients hear 452 4.3.1; what is queued goes on leaving", "make room, or raise store.ceiling");
    else if (r->lasts_s >= 0 && r->lasts_s < FULL_SOON_S)
        foresee_the_end(d, r->lasts_s);
    else
        doctor_well(d, "store", "",
                    doctor_words(d, "the queue is well; messages in it: %lld, recipients: %lld",
                                 (long long)r->messages, (long long)r->recipients));
}

static void judge_shared_limits(struct doctor *d, const struct said *r) {
    if (!d->conf->ledger_redis.len) return;
    if (r->unreached)
        add(d, FINDING_FAIL, "limits", "the Redis in which limits are shared is out of reach", "mail that spends from a limit waits",
            "ledger.redis in the configuration; the gateway's log says why");
    else
        doctor_well(d, "limits", "", "the Redis in which they are shared is in reach");
}

static void judge_age(struct doctor *d, const struct said *r) {
    if (!r->received_ms) return doctor_well(d, "queue", "", "nothing waits");
    int64_t age_ms = ask_now() - r->received_ms;
    char age[QUANTITY_TEXT];
    quantity_duration_text(age_ms > 0 ? age_ms / 60000 * 60 : 0, age);
    if (age_ms / 1000 > d->conf->expire_s * 4 / 5)
        add(d, FINDING_FAIL, "queue",
            doctor_words(d, "the oldest message has waited for %s and is about to be given up", age),
            "its sender gets a report", "tidegate queue list, then queue show ID, says why it waits");
    else if (age_ms > OLD_MS)
        add(d, FINDING_WARN, "queue", doctor_words(d, "the oldest message has waited for %s", age),
            "people begin to ask where their mail is",
            "tidegate queue list, then queue show ID, says why it waits");
    else
        doctor_well(d, "queue", "", doctor_words(d, "the oldest message has waited for %s", age));
}

static void check_lists(struct doctor *d) {
    struct said limits = {.d = d};
    struct json *done = NULL;
    int64_t count = 0;
    if (ask(d, "{\"verb\":\"suppression\",\"action\":\"count\"}\n", on_any, &limits, &done) &&
        json_int(json_get(done, "count"), &count))
        doctor_well(d, "suppressed", "",
                    doctor_words(d, "addresses on the suppression list: %lld", (long long)count));
    json_free(&done);
    limits.rows = 0;
    if (!ask(d, "{\"verb\":\"limit\"}\n", on_any, &limits, NULL)) return;
    if (limits.rows)
        doctor_well(d, "limits", "", doctor_words(d, "limits in use: %lld", (long long)limits.rows));
    else
        add(d, FINDING_WARN, "limits", "nothing that was sent has counted against a limit",
            "a stolen password or a program gone wild sends until blocklists notice",
            "give plans a spend = { limit.per_day(...) }: tidegate-policy(7), limit");
}

static bool runs(struct doctor *d) {
    struct buf path = {0};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int code = EX_OK;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = tool_socket(d->call, &path, &code) && path.len < sizeof to.sun_path;
    if (found) memcpy(to.sun_path, path.at, path.len);
    found = found && fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0;
    if (fd >= 0) close(fd);
    buf_release(&path);
    return found;
}

void doctor_gateway(struct doctor *d) {
    struct said reply = {.d = d};
    if (!runs(d))
        return add(d, FINDING_WARN, "gateway", "the gateway is not running, or you may not speak to it",
                   "its queue and limits cannot be looked at",
                   "systemctl start tidegate; root and the group tidegate may speak to it");
    if (!ask(d, "{\"verb\":\"status\"}\n", on_status, &reply, NULL)) return;
    doctor_well(d, "gateway", "", "the gateway runs");
    judge_store(d, &reply);
    judge_shared_limits(d, &reply);
    if (ask(d, "{\"verb\":\"queue\",\"action\":\"list\",\"limit\":1}\n", on_waiting, &reply, NULL))
        judge_age(d, &reply);
    check_lists(d);
}
