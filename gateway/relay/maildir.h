// SPDX-License-Identifier: MIT
// maildir: captured mail: a message as a file in a Maildir, whole and synced or not there at all.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

struct body;
// Makes tmp/new/cur where they are missing. prefix: everything before the body, with the empty line.
bool must_use maildir_deliver(const char *dir, const char *unique, struct bytes prefix, struct body *body, struct err *err);
