// SPDX-License-Identifier: MIT
// values: a Lua file that returns one table of plain values, such as the configuration. [through script/vm]
//
// The file runs once, in an empty environment (not one function is there), within bounds of steps, time and
// memory. What it returns becomes JSON text: maps with names in order, lists, texts, numbers, truth values. A
// function, a key that is neither a name nor part of a list, a table within itself, a text that is not UTF-8
// are faults that name the place.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

// `name` is what faults call the file: "conf/tidegate.lua:7: ...". Appends to out; nothing on failure. Any
// thread.
must_use bool values_read(struct bytes text, const char *name, struct buf *out, struct err *err);
