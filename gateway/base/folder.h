// SPDX-License-Identifier: MIT
// folder: makes a folder with all that is missing above it.
#pragma once

#include "base/err.h"

bool must_use folder_make(const char *path, struct err *err);       // there already: true
bool must_use folder_make_parents(const char *path, struct err *err); // of a file: everything but the last part
