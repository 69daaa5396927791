// SPDX-License-Identifier: MIT
#include "base/nearest.h"

#include <ctype.h>

enum { LONGEST = 64 };

static int least(int a, int b, int c) {
    int ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static bool same(char a, char b) {
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment), on three rolling
// rows.
static int distance(struct bytes a, struct bytes b) {
    int row[3][LONGEST + 1];
    for (size_t j = 0; j <= b.len; j++)
        row[0][j] = (int)j;
    for (size_t i = 1; i <= a.len; i++) {
        int *now = row[i % 3], *before = row[(i + 2) % 3], *two_before = row[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= b.len; j++) {
            bool equal = same(a.at[i - 1], b.at[j - 1]);
            now[j] = least(before[j] + 1, now[j - 1] + 1, before[j - 1] + !equal);
            bool swapped = i > 1 && j > 1 && same(a.at[i - 1], b.at[j - 2]) && same(a.at[i - 2], b.at[j - 1]);
            if (swapped && two_before[j - 2] + 1 < now[j]) now[j] = two_before[j - 2] + 1;
        }
    }
    return row[a.len % 3][b.len];
}

struct nearest nearest_to(struct bytes wanted) {
    return (struct nearest){.wanted = wanted};
}

void nearest_offer(struct nearest *n, const char *name) {
    struct bytes offered = bytes_of(name);
    if (offered.len > LONGEST || n->wanted.len > LONGEST || n->wanted.len == 0) return;
    int d = distance(n->wanted, offered);
    size_t longer = offered.len > n->wanted.len ? offered.len : n->wanted.len;
    if (d > 1 && (size_t)d * 3 > longer) return;
    if ((size_t)d >= longer) return; // nothing in common
    if (n->name && n->distance <= d) return;
    n->name = name;
    n->distance = d;
}

void nearest_hint(const struct nearest *n, struct buf *out) {
    if (n->name) buf_format(out, " (did you mean '%s'?)", n->name);
}
