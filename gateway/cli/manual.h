// SPDX-License-Identifier: MIT
// manual: pages for man(1), made from the rows of verbs (options.h) and of the configuration (relay/conf_key.h)
//
// tidegate(1), a page for each verb with those below it, and tidegate.conf(5), in the language of man(7). Their date is that of
// $SOURCE_DATE_EPOCH, so that a package of the same source is the same package; without it they bear none.
#pragma once

#include "cli/options.h"

void manual_tool(const struct verb *tool, struct buf *out);
void manual_verb(const struct verb *tool, const struct verb *verb, struct buf *out); // verbs below it included
void manual_conf(struct buf *out);
int manual_write(const struct call *call, const char *folder); // all of them; gives the exit code
