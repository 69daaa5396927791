// SPDX-License-Identifier: MIT
// lock: one process a store directory.
//
// A flock(2) on the file `lock`, which names the holder's pid for whoever comes second. The kernel lets go of it with
// the process, however that ends; what the file says is for people only.
#pragma once

#include "base/err.h"

int lock_take(int dir, const char *path, struct err *err); // a descriptor to close when done; -1: see err
