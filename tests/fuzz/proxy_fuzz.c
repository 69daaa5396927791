// SPDX-License-Identifier: MIT
// Any bytes in front of a connection: the parser says what it found, within its bounds, and the same for any
// longer input.
#include "base/bug.h"
#include "net/proxy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct addr peer, local, again_peer, again_local;
    struct err err = {""};
    size_t used, again_used;
    enum proxy_result result = proxy_parse(bytes_range(data, size), &used, &peer, &local, &err);
    bug_if(result == PROXY_MORE && size >= PROXY_MAX);
    bug_if(result == PROXY_DONE ? used == 0 || used > size : used != 0);
    bug_if(result == PROXY_BAD && !err.text[0]);
    bug_if(result != PROXY_DONE && (peer.len || local.len));
    bug_if((peer.len > 0) != (local.len > 0));
    char text[ADDR_TEXT];
    addr_text(&peer, text);
    if (result == PROXY_MORE) return 0;
    char *longer = must_alloc(size + 1);
    if (size) memcpy(longer, data, size);
    longer[size] = 'x';
    bug_if(proxy_parse(bytes_range(longer, size + 1), &again_used, &again_peer, &again_local, NULL) !=
           result);
    bug_if(again_used != used || again_peer.len != peer.len);
    free(longer);
    return 0;
}
