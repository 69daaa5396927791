// SPDX-License-Identifier: MIT
// A token endpoint's answer: two bytes of status, then the body.
#include "base/bug.h"
#include "relay/oauth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena arena = {0};
    struct oauth_answer a;
    struct err err = {""};
    bool lasting;
    if (size < 2) return 0;
    int status = data[0] & 1 ? 200 : get_be16(data);
    if (oauth_read(status, bytes_range(data + 2, size - 2), &arena, &a, &lasting, &err)) {
        bug_if(status != 200 || a.life_s < 10 || a.life_s > 90 * 86400 || a.refresh_life_s < 0 || lasting);
        bug_if(!a.access_token.len || a.access_token.len > OAUTH_TOKEN_MAX ||
               a.refresh_token.len > OAUTH_TOKEN_MAX);
        for (size_t i = 0; i < a.access_token.len; i++)
            bug_if(a.access_token.at[i] <= ' ' || a.access_token.at[i] >= 0x7f);
    } else {
        bug_if(!err.text[0]);
        for (const char *c = err.text; *c; c++)
            bug_if(*c < ' ' || *c >= 0x7f);
    }
    arena_release(&arena);
    return 0;
}
