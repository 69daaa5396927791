// SPDX-License-Identifier: MIT
// values_fuzz: a configuration file is plain values, or an error in words; never more time or memory than it may take.
#include "base/bug.h"
#include "script/json.h"
#include "script/place.h"
#include "script/values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf out = {0};
    struct err err = {""};
    if (values_read(bytes_range(data, size), "fuzz.lua", &out, &err)) {
        struct json *json = json_parse(buf_bytes(&out), &err);
        bug_if(!json); // what it gives is JSON
        json_free(&json);
    } else
        bug_if(!err.text[0]);
    buf_release(&out);
    // Where its keys stand is found without running it.
    static const char *const paths[] = {"limits.recipients", "listeners[2].kind", "a"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) bug_if(place_line(bytes_range(data, size), paths[i]) > size + 1);
    return 0;
}
