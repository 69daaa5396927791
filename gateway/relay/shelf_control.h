// SPDX-License-Identifier: MIT
// shelf_control: the shelf as an operator handles it: list, get, set, delete.
//
// {"verb":"shelf","action":"list","prefix":"last/","limit":100}: a row for each entry {"key","value","by","put_at","expires_at"}; the end says
// "count" of all that match and "more". "get" and "delete" with "key"; "set" with "key", "value" (any JSON but null) and perhaps "expires_s".
// A change is on disk when its request is done. Names of our own in the same table are out of reach.
#pragma once

#include "relay/asker.h"

void shelf_control(struct asker *a, const struct json *request);
