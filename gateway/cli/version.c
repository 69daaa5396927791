// SPDX-License-Identifier: MIT
#include "base/version.h"

#include "cli/verbs.h"

#include <stdio.h>

int verb_version(const struct call *call) {
    printf(call_has(call, "json") ? "{\"version\":\"%s\"}\n" : "tidegate %s\n", TIDEGATE_VERSION);
    return 0;
}
