// SPDX-License-Identifier: MIT
#include "base/bug.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void bug_die(const char *file, int line, const char *what) {
    fprintf(stderr, "<0>tidegate: bug at %s:%d: %s\n", file, line, what);
    abort();
}
