// SPDX-License-Identifier: MIT
// log: lines for the person who runs this, on stderr.
//
// One line a call, written with a single write(2), so lines of several threads never mix. Under systemd each
// line starts with the "<N>" level prefix of sd-daemon(3) and carries no time; elsewhere with a UTC time.
// What happens to mail is not logged here: that is an event (relay/event.h).
#pragma once

#include "base/clock.h"

#include <stdbool.h>

enum log_level { LOG_FAULT = 3, LOG_WARN = 4, LOG_NOTE = 5, LOG_INFO = 6, LOG_TRACE = 7 }; // syslog's numbers

struct log {
    int fd;
    _Atomic int level; // of enum log_level: lines above it are not written; may be set while others log
    bool journal;         // stderr goes to the journal: prefix with <N>, leave the time out
    const struct clock *clock;
};

void log_open(struct log *log, enum log_level level, const struct clock *clock); // stderr; looks at $JOURNAL_STREAM
void log_line(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_fault(log, ...) log_line(log, LOG_FAULT, __VA_ARGS__)
#define log_warn(log, ...) log_line(log, LOG_WARN, __VA_ARGS__)
#define log_note(log, ...) log_line(log, LOG_NOTE, __VA_ARGS__)
#define log_info(log, ...) log_line(log, LOG_INFO, __VA_ARGS__)
#define log_trace(log, ...)                                                                                  \
    do {                                                                                                     \
        if ((log) && (log)->level >= LOG_TRACE) log_line(log, LOG_TRACE, __VA_ARGS__);                       \
    } while (0)
