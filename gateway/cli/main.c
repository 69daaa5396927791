// SPDX-License-Identifier: MIT
// main: reads the command line by the table of verbs and calls one of them.

#include "cli/help.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <sysexits.h>

static int finish(const struct call *call, int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    return tool_fail(call, EX_IOERR, "stdout cannot be written");
}

int main(int argc, char **argv) {
    struct call call;
    struct err err;
    switch (options_parse(&verbs_tool, argc, argv, &call, &err)) {
    case OPTIONS_RUN:
        return finish(&call, call.verb->run(&call));
    case OPTIONS_HELP:
        help_print(&call);
        return finish(&call, EX_OK);
    case OPTIONS_BAD:
        break;
    }
    return tool_fail(&call, EX_USAGE, "%s; see `tidegate help%s%s`", err.text, call.path[0] ? " " : "",
                     call.path);
}
