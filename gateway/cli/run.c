// SPDX-License-Identifier: MIT
#include "cli/tool.h"
#include "cli/verbs.h"
#include "relay/gateway.h"

int verb_run(const struct call *call) {
    int code = 0;
    const char *file = tool_conf_file(call, &code);
    if (!file) return code;
    struct gateway_options options = {.conf_file = file, .virtual_clock = call_has(call, "virtual-clock")};
    return gateway_run(&options);
}
