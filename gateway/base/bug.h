// SPDX-License-Identifier: MIT
// bug: conditions that only a mistake of ours can bring about.
//
// `bug_if(x)` is compiled into every build. It names file, line and condition on stderr and aborts: after a
// wrong step the one safe thing to do with a mail queue is to start again from what is on disk.
// Running out of memory is treated the same way (see bytes.h, arena.h): 250 follows the commit, so an abort
// loses nothing that was acknowledged.
#pragma once

_Noreturn void bug_die(const char *file, int line, const char *what);

#define bug_if(cond)                                                                                         \
    do {                                                                                                     \
        if (__builtin_expect(!!(cond), 0)) bug_die(__FILE__, __LINE__, #cond);                               \
    } while (0)
