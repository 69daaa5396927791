// SPDX-License-Identifier: MIT
// What parses as an address is written as text that parses to the same address; networks know their own base.
#include "base/bug.h"
#include "net/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes text = bytes_range(data, size);
    struct addr a, b;
    struct network n;
    struct err err = {""};
    char out[ADDR_TEXT];
    if (addr_parse(text, &a, &err)) {
        addr_text(&a, out);
        bug_if(!addr_parse(bytes_of(out), &b, NULL));
        bug_if(!addr_same_ip(&a, &b) || addr_port(&a) != addr_port(&b) || addr_family(&a) != addr_family(&b));
        addr_ip_text(&a, out);
        addr_is_loopback(&a);
    } else
        bug_if(!err.text[0]);
    if (!network_parse(text, &n, NULL)) return 0;
    bug_if(n.bits < 0 || n.bits > (addr_family(&n.base) == AF_INET ? 32 : 128));
    bug_if(!network_has(&n, &n.base));
    return 0;
}
