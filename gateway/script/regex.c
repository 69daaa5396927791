// SPDX-License-Identifier: MIT
#include "script/regex.h"

#include "base/bug.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

enum { MATCH_LIMIT = 100000, HEAP_LIMIT_KIB = 4096, DEPTH_LIMIT = 10000, NESTING_MAX = 50 };

struct regex {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
    int groups;
};

static bool read_flags(const char *flags, uint32_t *options, struct err *err) {
    for (; *flags; flags++) {
        switch (*flags) {
        case 'i':
            *options |= PCRE2_CASELESS;
            break;
        case 'm':
            *options |= PCRE2_MULTILINE;
            break;
        case 's':
            *options |= PCRE2_DOTALL;
            break;
        case 'x':
            *options |= PCRE2_EXTENDED;
            break;
        case 'u':
            *options |= PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF;
            break;
        default:
            return err_set(err, "there is no flag '%c' (i, m, s, x, u)", *flags);
        }
    }
    return true;
}

static pcre2_code *compile(struct bytes pattern, uint32_t options, struct err *err) {
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    bug_if(!context);
    pcre2_set_parens_nest_limit(context, NESTING_MAX);
    pcre2_set_max_pattern_length(context, REGEX_PATTERN_MAX);
    int code;
    PCRE2_SIZE at;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)pattern.at, pattern.len,
                                         options | PCRE2_NEVER_BACKSLASH_C, &code, &at, context);
    pcre2_compile_context_free(context);
    if (compiled) return compiled;
    char words[200];
    pcre2_get_error_message(code, (PCRE2_UCHAR *)words, sizeof words);
    err_set(err, "pattern '%.*s', at %zu: %s", (int)(pattern.len < 100 ? pattern.len : 100), pattern.at,
            at + 1, words);
    return NULL;
}

struct regex *regex_new(struct bytes pattern, const char *flags, struct err *err) {
    uint32_t options = 0, groups = 0;
    if (!read_flags(flags, &options, err)) return NULL;
    pcre2_code *code = compile(pattern, options, err);
    if (!code) return NULL;
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &groups);
    if (groups > REGEX_GROUPS_MAX) {
        pcre2_code_free(code);
        err_set(err, "more than %d groups", REGEX_GROUPS_MAX);
        return NULL;
    }
    pcre2_jit_compile(code,
                      PCRE2_JIT_COMPLETE); // where memory may not be made executable, the interpreter does
    struct regex *re = must_alloc(sizeof *re);
    re->code = code;
    re->groups = (int)groups;
    re->data = pcre2_match_data_create_from_pattern(code, NULL);
    re->context = pcre2_match_context_create(NULL);
    bug_if(!re->data || !re->context);
    pcre2_set_match_limit(re->context, MATCH_LIMIT);
    pcre2_set_heap_limit(re->context, HEAP_LIMIT_KIB);
    pcre2_set_depth_limit(re->context, DEPTH_LIMIT);
    return re;
}

void regex_free(struct regex **re) {
    if (!*re) return;
    pcre2_match_context_free((*re)->context);
    pcre2_match_data_free((*re)->data);
    pcre2_code_free((*re)->code);
    free(*re);
    *re = NULL;
}

int regex_groups(const struct regex *re) {
    return re->groups;
}

enum regex_result regex_match(struct regex *re, struct bytes subject, size_t from, struct bytes *groups) {
    if (from > subject.len) return REGEX_NO;
    int found = pcre2_match(re->code, (PCRE2_SPTR)(subject.at ? subject.at : ""), subject.len, from, 0,
                            re->data, re->context);
    if (found == PCRE2_ERROR_NOMATCH) return REGEX_NO;
    if (found < 0) return REGEX_DEAR; // limits of steps, heap, depth, or of the JIT's stack
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(re->data);
    for (int i = 0; i <= re->groups; i++) {
        bool took_part = i < found && at[2 * i] != PCRE2_UNSET;
        // \K in a lookaround can put the start behind the end.
        size_t start = took_part ? at[2 * i] : 0, end = took_part ? at[2 * i + 1] : 0;
        groups[i] =
            took_part ? bytes_range(subject.at + start, end > start ? end - start : 0) : (struct bytes){0};
    }
    return REGEX_YES;
}
