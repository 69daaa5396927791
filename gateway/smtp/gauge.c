// SPDX-License-Identifier: MIT
#include "smtp/gauge.h"

#include <ctype.h>

static const char trace[] = "received:";
enum { TRACE_LEN = sizeof trace - 1 };

// How far the line's front agrees with the name of a trace field, as more of the line comes.
static void match_trace(struct gauge *g, struct bytes part) {
    for (size_t i = 0; i < part.len && g->line + i < TRACE_LEN && g->matched == g->line + i; i++)
        if (tolower((unsigned char)part.at[i]) == trace[g->matched]) g->matched++;
}

static void scan_header(struct gauge *g, struct bytes run) {
    while (run.len && !g->header_ended) {
        ptrdiff_t lf = bytes_find(run, '\n');
        struct bytes part = bytes_first(run, lf < 0 ? run.len : (size_t)lf + 1);
        run = bytes_skip(run, part.len);
        g->header_size += part.len;
        match_trace(g, part);
        g->line += part.len;
        bool crlf = lf >= 0 && (part.len > 1 ? part.at[part.len - 2] == '\r' : g->cr);
        g->cr = part.at[part.len - 1] == '\r';
        if (!crlf) continue;
        g->header_ended = g->line == 2;
        if (g->matched == TRACE_LEN) g->received++;
        g->line = g->matched = 0;
    }
}

static void count(struct gauge *g, struct bytes run) {
    g->size += run.len;
    if (!g->header_ended) scan_header(g, run);
}

struct bytes gauge_undot(struct gauge *g, struct bytes *input, bool *ended) {
    struct bytes run = dot_read(&g->dots, input, ended);
    count(g, run);
    return run;
}

void gauge_note(struct gauge *g, struct bytes run) {
    dot_note(&g->dots, run);
    count(g, run);
}

bool gauge_note_end(struct gauge *g) {
    return dot_note_end(&g->dots);
}

enum gauge_fault gauge_fault(const struct gauge *g, const struct gauge_limits *l) {
    if (l->size && g->size > l->size) return GAUGE_TOO_BIG;
    if (l->header && g->header_size > l->header) return GAUGE_HEADER_TOO_BIG;
    if (l->received && g->received > l->received) return GAUGE_LOOP;
    if (g->dots.nul) return GAUGE_NUL;
    if (g->dots.bare && !l->keep_bare) return GAUGE_BARE;
    if (l->line && g->dots.longest > l->line) return GAUGE_LONG_LINE;
    return GAUGE_GOOD;
}
