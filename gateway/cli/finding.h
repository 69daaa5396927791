// SPDX-License-Identifier: MIT
// finding: what `tidegate doctor` found: is it well, and if not, what follows from it, how to mend it, and
// the record to paste
//
// Each is printed as it comes: for people under a heading, with --json as one object a line.
#pragma once

#include "base/bytes.h"

enum finding_level { FINDING_OK, FINDING_WARN, FINDING_FAIL };

struct finding {
    enum finding_level level;
    const char *check;   // "ptr", "spf", ...: one word, stable
    const char *about;   // the address, domain, file or list it is about
    const char *what;    // what is so
    const char *follows; // not OK: what receivers, or users, make of it
    const char *fix;     // not OK: what to do
    const char *record;  // as in a zone file, for pasting; NULL: none
};

struct findings {
    bool json;
    const char *section; // "identity acme"
    size_t count[3];     // by level
};

void findings_section(struct findings *f, const char *name); // prints the heading
void findings_add(struct findings *f, const struct finding *one);
int findings_code(const struct findings *f); // 0 all well, 1 warnings, 2 failures
void findings_end(const struct findings *f); // the last line
