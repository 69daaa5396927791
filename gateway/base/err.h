// SPDX-License-Identifier: MIT
// err: what the world did to us, in words for a person.
//
// Functions that can fail because of the world (disk, peer, file, script) return bool and take a last
// parameter `struct err *`. On failure they fill it and return false; on success they leave it alone.
// A text names the thing, the reason and, where there is one, the fix: "conf/tidegate.lua: store.path: ...".
// A value: copy it freely, nothing to release. NULL is allowed where the caller does not want the words.
#pragma once

#include <stdbool.h>
#include <stdarg.h>

#define must_use __attribute__((warn_unused_result))

struct err {
    char text[512];
};

// Fills `e` (if not NULL) and returns false, so that `return err_set(e, ...)` reads well.
bool err_set(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool err_setv(struct err *e, const char *format, va_list args);

// Puts "`prefix`: " before the text that is there; returns false.
bool err_within(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

// err_set with ": " and the words of errno behind.
bool err_errno(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
