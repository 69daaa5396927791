// SPDX-License-Identifier: MIT
// replay: what candidate scripts would have decided.

#include "cli/replaying.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include <sysexits.h>

enum { FAILED = 1, SINCE_S = 86400, EXAMPLES = 3 };

int verb_replay(const struct call *call) {
    int code = EX_OK;
    struct conf *conf = tool_conf_values(call, &code);
    if (!conf) return code;
    struct replaying r = {.conf = conf,
                          .scripts = call_has(call, "scripts") ? call_text(call, "scripts") : conf->scripts,
                          .since_s = call_number(call, "since", SINCE_S),
                          .sample = call_text(call, "sample"),
                          .fail_if = call_text(call, "fail-if"),
                          .examples = (int)call_number(call, "examples", EXAMPLES)};
    if (replaying_run(&r, call, &code)) {
        code = r.failed ? FAILED : EX_OK;
        replaying_print(&r, call_has(call, "json"));
    }
    replaying_release(&r);
    conf_free(&conf);
    return code;
}
