// SPDX-License-Identifier: MIT
// certificates: what clients will not like about the certificates that a listener shows, though they load.
#pragma once

#include "relay/conf.h"

// Of each file once, and of each set that is chosen from by name: expired or soon to be, for nobody, a name that two have (the first is shown).
void certificates_look(const struct conf *conf, int64_t now_s, void (*warning)(void *arg, const char *text), void *arg);
