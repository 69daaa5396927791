// SPDX-License-Identifier: MIT
// micro_ledger: what asking a limit costs: a lease on disk, alone and in company, and one that lives in
// memory. Wall time on a real disk, and beside it this thread's CPU.
//
//     micro_ledger FOLDER [SECONDS a case]
#include "micro.h"
#include "policy/plan.h"
#include "relay/account.h"
#include "relay/grant.h"

enum { TOGETHER_MAX = 1000 };

struct asking {
    struct worker *worker;
    const struct plan *plan;
    struct grant *grants[TOGETHER_MAX];
    size_t together, open;
};

static void answered(void *arg, const struct refusal *refused) {
    struct asking *a = arg;
    bug_if(refused);
    if (--a->open == 0) loop_stop(a->worker->loop);
}

static void ask(struct asking *a) {
    a->open = a->together;
    for (size_t i = 0; i < a->together; i++)
        a->grants[i] = grant_ask(a->worker, a->plan, 1, i + 1, BYTES(""), answered, a);
    loop_run(a->worker->loop);
    for (size_t i = 0; i < a->together; i++)
        grant_settle(&a->grants[i], 1, 1);
}

static void run(struct worker *w, uint32_t window_s, size_t together, double seconds) {
    struct micro_times times = {0};
    struct spend spend = {
        .key = BYTES("identity/acme"), .window_s = window_s, .cap = ACCOUNT_CAP_MAX, .account = BYTES("")};
    struct plan draft = {.kind = PLAN_SEND,
                         .connections = 1,
                         .per_connection = 1,
                         .spends = &spend,
                         .spend_count = 1,
                         .via = {.kind = VIA_CAPTURE, .dir = BYTES("")},
                         .identity = {.name = BYTES("")}};
    struct asking a = {.worker = w, .plan = plan_make(&draft, BYTES("")), .together = together};
    int64_t began = clock_monotonic_us();
    double cpu = micro_cpu_us();
    for (int64_t now = began; now - began < (int64_t)(seconds * 1e6);) {
        int64_t then = now;
        ask(&a);
        now = clock_monotonic_us();
        micro_times_add(&times, (double)(now - then));
    }
    cpu = (micro_cpu_us() - cpu) / (double)(times.count * together);
    double middle = micro_times_at(&times, 0.5);
    printf("{\"bench\": \"ledger\", \"case\": \"%s, %zu together\", \"us\": %.2f, \"cpu_us\": %.2f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           window_s < 60 ? "a rate, in memory" : "a lease of a day's limit", together,
           middle / (double)together, cpu, middle, micro_times_at(&times, 0.99));
    micro_times_release(&times);
    fflush(stdout);
    plan_free(&a.plan);
}

int main(int argc, char **argv) {
    struct err err = {""};
    static struct gateway gateway;
    static struct worker worker = {.gateway = &gateway}, *workers[] = {&worker};
    struct log log = {.fd = 2, .level = LOG_WARN, .clock = &gateway.clock};
    double seconds = argc > 2 ? atof(argv[2]) : 1;
    if (argc < 2) return 64;
    gateway.log = log;
    gateway.workers = workers;
    gateway.worker_count = 1;
    struct store_options options = {.path = argv[1], .clock = &gateway.clock, .log = &log};
    gateway.store = store_open(&options, &err);
    if (gateway.store) worker.reader = reader_new(gateway.store, &err);
    worker.loop = loop_new(&err);
    if (!worker.reader || !worker.loop) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    worker.ledger = ledger_new(&worker);
    static const size_t sizes[] = {1, 100, TOGETHER_MAX};
    for (size_t i = 0; i < 3; i++)
        run(&worker, 86400, sizes[i], seconds);
    run(&worker, 1, TOGETHER_MAX, seconds);
    return 0; // what is still being written is nobody's
}
