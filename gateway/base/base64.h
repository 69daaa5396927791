// SPDX-License-Identifier: MIT
// base64: RFC 4648 section 4; strict (no white space, padding required, no stray bits), and as mail has it.
#pragma once

#include "base/bytes.h"

void base64_encode(struct buf *out, struct bytes data);
bool base64_decode(struct buf *out, struct bytes text); // appends; false (out as it was) on anything malformed
// As mail has it (RFC 2045 6.8): other octets are passed over, padding may be missing, and what stands behind it is read on. Until out->len is `max`.
void base64_decode_loose(struct buf *out, struct bytes text, size_t max);
