// SPDX-License-Identifier: MIT
#include "relay/users.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    struct bytes facts = {0};
    struct bytes text = bytes_range(data, size), rest = text;
    struct users *u = users_read(text, "users", &err);
    if (!u) return 0;
    struct bytes first = bytes_cut(&rest, ':');
    const char *hash = users_hash(u, bytes_trim(first), &facts);
    if (hash && (!users_hash_is_valid(bytes_of(hash)) || facts.len < 2 || facts.at[0] != '{' ||
                 facts.at[facts.len - 1] != '}'))
        abort();
    users_free(&u);
    return 0;
}
