// SPDX-License-Identifier: MIT
// conf_check: what no single key can tell: do the values fit each other, and the machine?
#pragma once

#include "relay/conf.h"

// Calls fault(arg, key, words) for each; gives how many.
typedef void (*conf_fault_fn)(void *arg, const char *key, const char *words);
size_t conf_check(const struct conf *conf, conf_fault_fn fault, void *arg);
