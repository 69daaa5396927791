// SPDX-License-Identifier: MIT
// top_view: what `tidegate top` shows: taken from rows of the control socket, drawn as lines of text.
//
// A frame is filled row by row (top_take_...), drawn, and then begun anew: what was counted before stays, for rates. Bounded: of lanes
// and limits only the foremost are kept.
#pragma once

#include "base/map.h"
#include "script/json.h"

enum { TOP_LANES = 40, TOP_LIMITS = 8, TOP_FAULTS = 4, TOP_COUNTS = 8 };

struct top_lane {
    char *key, *state, *why;
    int64_t sent, waiting, connections; // sent: attempts since the frame before
    bool parked;
};

struct top_limit {
    char *key;
    int64_t window_s, used, cap;
};

struct top_view { // zeroed at first
    struct json *status;
    int64_t counts[TOP_COUNTS], counts_before[TOP_COUNTS];
    int64_t at_us, before_us; // 0: there is no frame before
    struct top_lane lanes[TOP_LANES];
    size_t lane_count, lanes_in_all;
    struct top_limit limits[TOP_LIMITS];
    size_t limit_count;
    char *faults[TOP_FAULTS]; // oldest first
    size_t fault_count;
    struct map attempts;      // lane -> attempts as of the frame before
};

void top_begin(struct top_view *v, int64_t monotonic_us);
void top_take_status(struct top_view *v, struct bytes row);
void top_take_lane(struct top_view *v, const struct json *row);
void top_take_limit(struct top_view *v, const struct json *row);
void top_forget_faults(struct top_view *v);
void top_take_fault(struct top_view *v, const struct json *event);
// Lines, each ended by LF, none wider than `width` (0: any), at most `height` of them (0: any).
void top_draw(struct top_view *v, int width, int height, struct buf *out);
void top_release(struct top_view *v);
