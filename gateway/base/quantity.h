// SPDX-License-Identifier: MIT
// quantity: sizes and durations in the words people write: "50MiB", "5d", "1h30m".
#pragma once

#include "base/bytes.h"

// Bytes: a number with an optional B, K, M, G, T, KiB, MiB, GiB, TiB (powers of 1024) or kB, MB, GB, TB (of 1000). False on anything else.
bool quantity_size(struct bytes text, uint64_t *bytes);
// Seconds: one or more of 90s, 30m, 2h, 5d, 2w, biggest unit first ("1d12h"); a bare number is seconds.
bool quantity_duration(struct bytes text, int64_t *seconds);

enum { QUANTITY_TEXT = 32 };
void quantity_size_text(uint64_t bytes, char out[QUANTITY_TEXT]);       // exact, for settings: "50MiB", "1000"
void quantity_duration_text(int64_t seconds, char out[QUANTITY_TEXT]);  // exact, for settings: "5d", "1h30m", "0s"
void quantity_size_human(uint64_t bytes, char out[QUANTITY_TEXT]);      // about: "2.1 KiB"
void quantity_duration_human(int64_t seconds, char out[QUANTITY_TEXT]); // about, two units at the most: "3h 12m", "-5m"
