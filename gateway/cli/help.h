// SPDX-License-Identifier: MIT
// help: pages made from the rows of verbs (options.h).
#pragma once

#include "cli/options.h"

void help_tool(const struct verb *tool, struct buf *out); // the list of verbs
void help_verb(const struct verb *tool, const struct verb *verb, const char *path,
               struct buf *out);    // one verb's page
void help_print(const struct call *call); // the page of call->verb, on stdout
const char *exit_meaning(int code); // of sysexits.h, in our words
void help_wrap(struct buf *out, struct bytes text, size_t indent, size_t width); // one paragraph
