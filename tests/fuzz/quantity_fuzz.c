// SPDX-License-Identifier: MIT
// quantity_fuzz: what is read as a size or a duration is written so that it reads as the same again.
#include "base/bug.h"
#include "base/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes in = bytes_range(data, size);
    char text[QUANTITY_TEXT];
    uint64_t number, number_again;
    int64_t seconds, seconds_again;
    if (quantity_size(in, &number)) {
        quantity_size_text(number, text);
        bug_if(!quantity_size(bytes_of(text), &number_again) || number_again != number);
        quantity_size_human(number, text);
    }
    if (quantity_duration(in, &seconds)) {
        quantity_duration_text(seconds, text);
        bug_if(!quantity_duration(bytes_of(text), &seconds_again) || seconds_again != seconds);
        quantity_duration_human(seconds, text);
    }
    return 0;
}
