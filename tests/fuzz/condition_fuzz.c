// SPDX-License-Identifier: MIT
// Conditions of operators: any text is one or is refused, and twice the same.
#include "base/condition.h"

#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct figure figures[] = {{"fault", 0}, {"changed", 30}, {"mean_us", 41.5}, {0}};
    struct bytes text = bytes_range(data, size);
    struct err err;
    bool one = false, other = false;
    struct buf why = {0};
    bool read = condition_holds(text, figures, 200, &one, &why, &err);
    bug_if(read != condition_holds(text, figures, 200, &other, NULL, &err) || (read && one != other));
    bug_if(read && one && !why.len);
    buf_release(&why);
    return 0;
}
