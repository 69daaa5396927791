// SPDX-License-Identifier: MIT
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool err_setv(struct err *e, const char *format, va_list args) {
    if (e) vsnprintf(e->text, sizeof e->text, format, args);
    return false;
}

bool err_set(struct err *e, const char *format, ...) {
    va_list args;
    va_start(args, format);
    err_setv(e, format, args);
    va_end(args);
    return false;
}

bool err_within(struct err *e, const char *format, ...) {
    if (!e) return false;
    struct err was = *e;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof e->text) snprintf(e->text + n, sizeof e->text - (size_t)n, ": %s", was.text);
    return false;
}

bool err_errno(struct err *e, const char *format, ...) {
    int code = errno;
    if (!e) return false;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    char words[128];
    if (n >= 0 && (size_t)n < sizeof e->text)
        snprintf(e->text + n, sizeof e->text - (size_t)n, ": %s", strerror_r(code, words, sizeof words));
    return false;
}
