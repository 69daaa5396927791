// SPDX-License-Identifier: MIT
// classify_show: the verdict on a message that came back, as one JSON object or as lines for people.
//
// Appends to the caller's buffer; what it is given is lent for the call. Texts of others are made harmless.
#pragma once

#include "cli/judging.h"

enum authentic { AUTHENTIC_UNKNOWN, AUTHENTIC_NO, AUTHENTIC_YES };

struct belief {
    enum authentic authentic;
    char signer[256];       // whose DKIM signature holds and fits From; "" where none does
    char why[512];
    int applied, refused;   // entries added to the list, and those not believed
};

struct verdict_page {
    const char *name; // of the file
    const struct returned *what;
    const struct judgement *judged;
    const struct belief *belief;
    bool applying;      // --apply: tell what was added
    const char *policy; // its version; NULL: none was asked
};

void classify_json(const struct verdict_page *p, struct buf *out);
void classify_text(const struct verdict_page *p, struct buf *out);
