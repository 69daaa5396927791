// SPDX-License-Identifier: MIT
// A command line: whatever comes out lies inside the line, is free of what could break a line, and a fault is a fault.
#include "base/bug.h"
#include "base/utf8.h"
#include "smtp/command.h"

static void check(struct bytes part, struct bytes line) {
    if (part.len == 0) return;
    bug_if(part.at < line.at || part.at + part.len > line.at + line.len);
    for (size_t i = 0; i < part.len; i++) bug_if((unsigned char)part.at[i] < 32 || part.at[i] == 127);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    bool utf8 = data[0] & 1;
    struct bytes line = bytes_range(data + 1, size - 1);
    struct command c;
    struct reply fault = {0};
    if (!command_parse(line, utf8, &c, &fault)) {
        bug_if(fault.code < 500 || fault.code > 599 || fault.status[0] != 5 || !fault.text[0]);
        return 0;
    }
    bug_if(c.verb == VERB_UNKNOWN || c.verb != command_verb(line));
    check(c.argument, line);
    check(c.initial, line);
    check(c.path.address, line);
    check(c.path.envid, line);
    check(c.path.orcpt, line);
    bool may = c.verb == VERB_MAIL ? c.path.smtputf8 : utf8;
    bug_if(!may && !utf8_is_ascii(c.path.address));
    bug_if(c.verb == VERB_RCPT && c.path.address.len == 0);
    bug_if(bytes_find(c.path.address, '<') == 0);
    return 0;
}
