// SPDX-License-Identifier: MIT
// tool: what all verbs need: to say what is wrong, and to find the configuration and the gateway.
//
// For the one thread of a verb. What fails has been said on stderr when these return; the code that comes with it is the verb's exit code
// (sysexits.h).
#pragma once

#include "base/arena.h"
#include "cli/options.h"
#include "relay/conf.h"

// "tidegate queue list: WORDS" on stderr, cleaned for a terminal; gives `code` back.
int tool_fail(const struct call *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// --conf, or where one is found (conf_find). NULL: said why on stderr, *code is the exit code.
const char *tool_conf_file(const struct call *call, int *code);
struct conf *tool_conf(const struct call *call,
                       int *code); // loaded; all faults are on stderr where it is NULL
struct conf *tool_conf_values(const struct call *call, int *code); // the same without looking at the machine (conf_read)
// Appends the path of the control socket: --socket, $TIDEGATE_SOCKET, or what the configuration says, faults
// in it or not: a broken configuration must not keep anyone from the gateway that still runs.
bool tool_socket(const struct call *call, struct buf *path, int *code);

bool tool_ask_password(const char *prompt,
                       struct buf *out); // from the terminal, without echo; false: there is none
bool tool_confirm(const char *question); // from the terminal: y or yes
