// SPDX-License-Identifier: MIT
// chart: bars in stacks, one a day, and below them one value a day: drawn as SVG, with its own few lines of it.
//
// Stands alone: no script, no font of its own, no address. Texts are escaped.
#pragma once

#include "base/bytes.h"

struct chart_series {
    const char *name;
    const uint64_t *values; // one a column
};

struct chart {
    const char *title, *subtitle;
    const char *const *columns;       // their names: "11-01"
    size_t column_count;
    const char *stack_label;          // what the bars count
    const struct chart_series *stacks; // from the bottom up
    size_t stack_count;
    struct chart_series below;        // values NULL: nothing is
};

void chart_draw(const struct chart *c, struct buf *svg);
// The step between marks of an axis that goes to `most`: 1, 2 or 5 times a power of ten, about `marks` of them.
uint64_t chart_step(uint64_t most, int marks);
