// SPDX-License-Identifier: MIT
// lines: which lines of a Lua text have code that can run: what a coverage is measured against. [Lua 5.4]
//
// The text is compiled and its functions are looked at, those within others too, called or not. The return
// that Lua puts behind each function's last statement is no code of the author's and is not counted. Pure,
// any thread.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

// One bool for each line, from 1 (so lines[0] is unused), in *lines, which the caller frees. Gives how many
// there are, the unused one included; 0 with words when the text is no Lua.
must_use size_t lines_with_code(struct bytes text, bool **lines, struct err *err);
