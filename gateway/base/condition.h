// SPDX-License-Identifier: MIT
// condition: a question about figures, as an operator writes it: "fault > 0 or changed > 2%".
//
//     condition  = term { "or" term }          term = factor { "and" factor }
//     factor     = "(" condition ")" | name op number [ "%" ]
//     op         = > >= < <= = !=
//
// Names are those of the figures given. A number with % is a share of the figure `whole`. Bounded in length and depth.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct figure { // a list ends with a name that is NULL
    const char *name;
    double value;
};

enum { CONDITION_MAX = 500, CONDITION_DEPTH = 16 };
// False with words where the text is no condition. *holds; and `why` (may be NULL) gets the first comparison that made it so,
// with its figure: "changed > 2%: 14.3%".
must_use bool condition_holds(struct bytes text, const struct figure *figures, double whole, bool *holds, struct buf *why,
                              struct err *err);
