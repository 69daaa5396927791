// SPDX-License-Identifier: MIT
// Records of DKIM keys and DMARC policies, as anyone may publish them: what is read lies within the record.
#include "mail/published.h"

#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct bytes part, struct bytes whole) {
    bug_if(part.len > whole.len ||
           (part.len && (part.at < whole.at || part.at + part.len > whole.at + whole.len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes record = bytes_range(data, size), half = bytes_first(record, size / 2);
    struct dkim_published key;
    struct dmarc_published policy;
    struct err err = {{0}};
    if (dkim_published_read(record, &key, &err)) {
        check_within(key.key, record);
        bug_if(!dkim_published_same(record, record));
    } else {
        bug_if(!err.text[0] || dkim_published_same(record, record));
    }
    dkim_published_same(record, half);
    if (dmarc_published_read(record, &policy, &err)) {
        check_within(policy.reports, record);
        bug_if(policy.percent < 0 || policy.percent > 100 || policy.below > DMARC_REJECT);
    }
    return 0;
}
