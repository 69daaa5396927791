// SPDX-License-Identifier: MIT
// show: text from elsewhere (peers, scripts, senders) made fit for a terminal, and times as people read them.
//
// Appends to the caller's buffer and never fails: what it can't show well it shows as "?". Widths are columns of a terminal, not bytes.
#pragma once

#include "base/bytes.h"
#include "script/json.h"

// Appends `text` without anything a terminal would obey or be fooled by: control characters, broken UTF-8 and
// marks that turn the direction of writing become '?', tabs and line ends a space.
void show_clean(struct buf *out, struct bytes text);
size_t show_columns(struct bytes clean);                            // how wide it is on a terminal
void show_cut(struct buf *out, struct bytes clean, size_t columns); // no wider than this; cut ends with "…"

int show_terminal_width(void); // of stdout; 0: it is not a terminal, nothing needs cutting

void show_time(struct buf *out, int64_t ms);                     // "2026-11-22 15:04:05", local
void show_relative(struct buf *out, int64_t ms, int64_t now_ms); // "in 4m 10s", "3h ago", "now"
bool show_when(const struct json *value, int64_t *ms);           // an ISO 8601 text in UTC, or milliseconds
bool show_is_empty(const struct json *value); // nothing, null or ""
// Any value for people: texts as they are, lists joined by commas, maps as name=value. `name` may tell the
// unit:
// *_s a duration, *_ms, *_us; *_bytes, size and memory a size. A time in ISO form is shown as local time, a reply as it was said.
void show_value(struct buf *out, const char *name, const struct json *value);
