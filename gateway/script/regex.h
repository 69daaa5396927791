// SPDX-License-Identifier: MIT
// regex: Perl's regular expressions with a bound on what a match may cost. [PCRE2]
//
// The subject may be any bytes. A match that would take more than about a hundred thousand steps ends with
// REGEX_DEAR instead: a millisecond or two. One thread at a time for each regex.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum { REGEX_PATTERN_MAX = 8192, REGEX_GROUPS_MAX = 64 };

struct regex;
// flags: letters of "imsxu": caseless, ^ and $ at lines, . matches newline, extended, UTF-8. NULL on failure.
must_use struct regex *regex_new(struct bytes pattern, const char *flags, struct err *err);
void regex_free(struct regex **re);
int regex_groups(const struct regex *re); // capturing groups

enum regex_result { REGEX_NO, REGEX_YES, REGEX_DEAR };
// groups[0] is the whole match, up to groups[regex_groups]; one that took no part has at NULL.
enum regex_result regex_match(struct regex *re, struct bytes subject, size_t from, struct bytes *groups);
