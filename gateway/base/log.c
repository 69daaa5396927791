// SPDX-License-Identifier: MIT
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void log_open(struct log *log, enum log_level level, const struct clock *clock) {
    log->fd = STDERR_FILENO;
    log->level = (int)level;
    log->clock = clock;
    log->journal = getenv("JOURNAL_STREAM") != NULL;
}

static size_t put_prefix(const struct log *log, enum log_level level, char *out, size_t size) {
    static const char *const name[] = {[LOG_FAULT] = "error", [LOG_WARN] = "warning", [LOG_NOTE] = "notice",
                                       [LOG_INFO] = "info",   [LOG_TRACE] = "trace"};
    if (log->journal) return (size_t)snprintf(out, size, "<%d>", (int)level);
    char time[25];
    clock_iso(clock_ms(log->clock), time);
    return (size_t)snprintf(out, size, "%s %s: ", time, name[level]);
}

void log_line(const struct log *log, enum log_level level, const char *format, ...) {
    if (!log || (int)level > log->level) return;
    char line[4096];
    size_t n = put_prefix(log, level, line, sizeof line);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + n, sizeof line - n - 1, format, args);
    va_end(args);
    if (more < 0) return;
    size_t end = n + (size_t)more < sizeof line - 2 ? n + (size_t)more : sizeof line - 2;
    // What came from a peer or a script must not forge a second line.
    for (size_t i = n; i < end; i++)
        if ((unsigned char)line[i] < 0x20) line[i] = line[i] == '\n' ? '|' : ' ';
    line[end++] = '\n';
    ssize_t wrote;
    do wrote = write(log->fd, line, end);
    while (wrote < 0 && errno == EINTR);
}
