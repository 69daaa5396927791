// SPDX-License-Identifier: MIT
#include "base/jsonl.h"
#include "cli/ask.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "cli/warmup_table.h"

#include <sysexits.h>

struct listing {
    const struct call *call;
    struct table *table;
    int64_t now;
};

static bool print_warmup(void *arg, const struct json *row, struct bytes text) {
    struct listing *l = arg;
    if (call_has(l->call, "json")) printf("%.*s\n", BYTES_FMT(text));
    else warmup_table_add(l->table, row, l->now);
    return true;
}

int verb_warmup(const struct call *call) {
    int code = EX_OK;
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    struct listing l = {.call = call, .now = ask_now(), .table = warmup_table_new(show_terminal_width())};
    struct buf request = {0};
    struct jsonl j = jsonl_begin(&request);
    jsonl_textz(&j, "verb", "warmup");
    if (call->argument_count) jsonl_textz(&j, "name", call->arguments[0]);
    jsonl_end(&j);
    code = ask_run(ask, buf_bytes(&request), 30, print_warmup, &l, NULL);
    if (code == EX_OK && !call_has(call, "json") && !table_rows(l.table))
        printf("the policy warms nothing up (stdlib/README.md, warmup)\n");
    table_free(&l.table);
    buf_release(&request);
    ask_close(&ask);
    return code;
}
