// SPDX-License-Identifier: MIT
// base64: RFC 4648 section 4, strict: no white space, padding required, no stray bits.
#pragma once

#include "base/bytes.h"

void base64_encode(struct buf *out, struct bytes data);
bool base64_decode(struct buf *out, struct bytes text); // appends; false (out as it was) on anything malformed
