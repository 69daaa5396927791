// SPDX-License-Identifier: MIT
// log_control: the event file's end, and what is added to it, for `tidegate log`.
#pragma once

#include "relay/asker.h"

void log_control(struct asker *a, const struct json *request);
