// SPDX-License-Identifier: MIT
// replaying: what was decided of late, decided again by candidate scripts, by one thread a core, and the report of it.
//
// The journal is read from the store's files, also while the gateway runs: a reader beside it, for moments at a time.
#pragma once

#include "cli/options.h"
#include "relay/replay.h"

struct replaying {
    const struct conf *conf;     // store, budgets
    const char *scripts;         // the candidate's folder
    int64_t since_s;
    const char *sample;          // "1000" messages, "10%" of them; NULL: all
    const char *fail_if;         // NULL: nothing fails it
    int examples;                // of each class, printed
    bool quiet;                  // no progress, no report
    // What came of it.
    char version[16];
    struct replay_tally *tally;  // replaying_release
    int64_t took_ms;
    bool failed;                 // by fail_if, which `why` says
    struct buf why;
};
// False: said why on stderr, *code is the exit code.
bool replaying_run(struct replaying *r, const struct call *call, int *code);
void replaying_print(const struct replaying *r, bool json); // on stdout
void replaying_release(struct replaying *r);
