// SPDX-License-Identifier: MIT
// What is read can be written, and reads the same again.
#include "script/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t walk(const struct json *j) {
    size_t sum = (size_t)json_kind(j);
    void *at = NULL;
    struct bytes name;
    const struct json *value;
    while (json_next(j, &at, &name, &value))
        sum += name.len + walk(value);
    for (size_t i = 0; json_kind(j) == JSON_LIST && i < json_count(j); i++)
        sum += walk(json_item(j, i));
    struct bytes text = {0};
    json_text(j, &text);
    return sum + text.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct err err;
    struct json *j = json_parse(bytes_range(data, size), &err);
    if (!j) return 0;
    struct buf once = {0}, twice = {0};
    json_write(j, &once);
    struct json *again = json_parse(buf_bytes(&once), &err);
    if (!again || walk(again) != walk(j)) abort();
    json_write(again, &twice);
    if (!bytes_equal(buf_bytes(&once), buf_bytes(&twice))) abort();
    json_free(&j);
    json_free(&again);
    buf_release(&once);
    buf_release(&twice);
    return 0;
}
