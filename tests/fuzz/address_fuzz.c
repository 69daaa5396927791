// SPDX-License-Identifier: MIT
// Whatever parses is made of the parts it was given, and the form it is listed in is listed as itself.
#include "mail/address.h"

#include "base/bug.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes text = bytes_range(data, size);
    struct address a;
    struct err err;
    struct buf ascii = {0}, normal = {0}, twice = {0};
    if (address_domain_ascii(text, &ascii, &err))
        bug_if(!domain_is_valid(buf_bytes(&ascii)));
    else
        bug_if(ascii.len);
    if (address_parse(text, &a, &err)) {
        bug_if(a.local.len + 1 + a.domain.len != size || !utf8_is_valid(text) ||
               a.utf8 != !utf8_is_ascii(text));
    }
    if (address_listed(text, &normal, &err)) {
        if (address_listed(buf_bytes(&normal), &twice, &err)) bug_if(!bytes_equal(buf_bytes(&normal), buf_bytes(&twice)));
    } else {
        bug_if(normal.len);
    }
    buf_release(&ascii);
    buf_release(&normal);
    buf_release(&twice);
    return 0;
}
