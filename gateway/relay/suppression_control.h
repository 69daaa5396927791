// SPDX-License-Identifier: MIT
// suppression_control: the suppression list as an operator handles it: add, remove, has, list, export, count,
// import.
//
// Walks it in pieces, so that millions neither stall the main loop nor fill its memory; every change is a
// synced commit before it is told.
#pragma once

#include "relay/asker.h"

void suppression_control(struct asker *a, const struct json *request);
