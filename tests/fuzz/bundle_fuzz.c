// SPDX-License-Identifier: MIT
// Scripts kept in the store: whatever the bytes, it is a bundle that encodes to the same version, or it is none.
#include "policy/bundle.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    struct bundle *b = bundle_decode(bytes_range(data, size), &err);
    if (!b) return 0;
    struct buf bytes = {0};
    bundle_encode(b, &bytes);
    struct bundle *again = bundle_decode(buf_bytes(&bytes), &err);
    if (!again || strcmp(bundle_version(b), bundle_version(again)) != 0) abort();
    bundle_free(&b);
    bundle_free(&again);
    buf_release(&bytes);
    return 0;
}
