// SPDX-License-Identifier: MIT
// place: in which line of a file of values (script/values.h) a key stands, for faults that are found once it has run.
//
// Reads the text as Lua would, without running it. Where the value of a key is no table written out there (`limits = common`), what
// is below it stands where the key does.
#pragma once

#include "base/bytes.h"

// path: "limits.recipients", "listeners[2].kind", as faults write it. The line, from 1, of the last part of it that the file has; 0: it has
// none, or is no file of values. Any thread; a file that is deeply nested costs no stack.
size_t place_line(struct bytes text, const char *path);
