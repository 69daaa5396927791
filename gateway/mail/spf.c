// SPDX-License-Identifier: MIT
#include "mail/spf.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <arpa/inet.h>

enum { LOOK_UPS_MAX = 10, VOID_MAX = 2, HOSTS_MAX = 10, NAME_LONGEST = 253 };

const char *const spf_result_name[] = {"none",     "neutral",   "pass",     "fail",
                                       "softfail", "temperror", "permerror"};

struct check {
    const struct spf_asked *asked;
    struct spf_verdict *out;
    int voids;
};

static enum spf_result error(struct check *c, enum spf_result result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum spf_result error(struct check *c, enum spf_result result, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->out->why, sizeof c->out->why, format, args);
    va_end(args);
    return result;
}

static void keep(char *out, size_t size, struct bytes text) {
    snprintf(out, size, "%.*s", BYTES_FMT(bytes_first(text, size - 1)));
}

// ---- terms of a record (RFC 7208 section 12) ----------------------------------------------------

enum kind { ALL, INCLUDE, A, MX, PTR, IP4, IP6, EXISTS, REDIRECT, EXP, OTHER };

struct term {
    struct bytes text; // as it stands
    enum kind kind;
    enum spf_result result; // of its qualifier, when it matches
    struct bytes spec;      // domain-spec, "" where there is none
    uint8_t ip[16];         // IP4, IP6
    int bits4, bits6;
};

static const struct {
    const char *name;
    enum kind kind;
    enum { NO_SPEC, MAY_SPEC, MUST_SPEC } spec;
    bool cidr;
} mechanisms[] = {{"all", ALL, NO_SPEC, false},   {"include", INCLUDE, MUST_SPEC, false},
                  {"a", A, MAY_SPEC, true},       {"mx", MX, MAY_SPEC, true},
                  {"ptr", PTR, MAY_SPEC, false},  {"ip4", IP4, MUST_SPEC, false},
                  {"ip6", IP6, MUST_SPEC, false}, {"exists", EXISTS, MUST_SPEC, false}};

// "%{" letter digits "r" delimiters "}": gives what stands behind it; at NULL: it is none.
static struct bytes skip_macro(struct bytes at) {
    static const struct bytes none = {NULL, 0};
    if (at.len < 2) return none;
    if (strchr("%_-", at.at[1])) return bytes_skip(at, 2);
    if (at.at[1] != '{' || at.len < 4 || !strchr("slodiphvSLODIPHV", at.at[2])) return none;
    size_t i = 3;
    while (i < at.len && isdigit((unsigned char)at.at[i]))
        i++;
    if (i > 3 && (i > 6 || (i == 4 && at.at[3] == '0'))) return none;
    if (i < at.len && (at.at[i] == 'r' || at.at[i] == 'R')) i++;
    while (i < at.len && at.at[i] && strchr(".-+,/_=", at.at[i]))
        i++;
    return i < at.len && at.at[i] == '}' ? bytes_skip(at, i + 1) : none;
}

// Ends in a macro or in "." and a label that is not a number, with an optional dot.
static bool ends_well(struct bytes spec, bool macro_last) {
    if (macro_last) return true;
    if (spec.len && spec.at[spec.len - 1] == '.') spec.len--;
    ptrdiff_t dot = bytes_find_last(spec, '.');
    struct bytes label = bytes_skip(spec, (size_t)(dot + 1));
    bool letter = false;
    for (size_t i = 0; i < label.len; i++) {
        if (!isalnum((unsigned char)label.at[i]) && label.at[i] != '-') return false;
        letter = letter || !isdigit((unsigned char)label.at[i]);
    }
    return dot > 0 && letter && label.at[0] != '-' && label.at[label.len - 1] != '-';
}

static bool good_spec(struct bytes spec) {
    bool macro_last = false;
    for (struct bytes rest = spec; rest.len;) {
        macro_last = rest.at[0] == '%';
        if (rest.at[0] < 0x21 || rest.at[0] > 0x7e) return false;
        rest = macro_last ? skip_macro(rest) : bytes_skip(rest, 1);
        if (!rest.at) return false;
    }
    return ends_well(spec, macro_last);
}

// Cuts "/24" (or "//64") off the end; *bits is left alone where there is none.
static bool cut_bits(struct bytes *spec, const char *mark, int most, int *bits) {
    size_t digits = 0, marks = strlen(mark);
    while (digits < spec->len && isdigit((unsigned char)spec->at[spec->len - 1 - digits]))
        digits++;
    if (digits == 0 || spec->len < digits + marks) return true;
    size_t at = spec->len - digits - marks;
    if (memcmp(spec->at + at, mark, marks) != 0) return true;
    uint64_t value;
    struct bytes number = bytes_skip(*spec, at + marks);
    if ((digits > 1 && number.at[0] == '0') || !bytes_to_u64(number, &value) || value > (uint64_t)most)
        return false;
    *bits = (int)value;
    spec->len = at;
    return true;
}

static bool read_network(struct term *t, struct bytes spec) {
    char text[64];
    int *bits = t->kind == IP4 ? &t->bits4 : &t->bits6;
    if (!cut_bits(&spec, "/", t->kind == IP4 ? 32 : 128, bits) || spec.len >= sizeof text) return false;
    keep(text, sizeof text, spec);
    return inet_pton(t->kind == IP4 ? AF_INET : AF_INET6, text, t->ip) == 1;
}

static bool read_modifier(struct term *t, struct bytes name, struct bytes value) {
    if (!name.len || !isalpha((unsigned char)name.at[0])) return false;
    for (size_t i = 0; i < name.len; i++)
        if (!isalnum((unsigned char)name.at[i]) && !strchr("-_.", name.at[i])) return false;
    t->kind = bytes_equal_nocase(name, BYTES("redirect")) ? REDIRECT
              : bytes_equal_nocase(name, BYTES("exp"))    ? EXP
                                                          : OTHER;
    t->spec = value;
    return t->kind == OTHER || good_spec(value);
}

static bool read_mechanism(struct term *t, size_t row, struct bytes rest) {
    t->kind = mechanisms[row].kind;
    bool colon = rest.len && rest.at[0] == ':';
    if (rest.len && !colon && !(mechanisms[row].cidr && rest.at[0] == '/')) return false;
    t->spec = colon ? bytes_skip(rest, 1) : rest;
    if (t->kind == IP4 || t->kind == IP6) return colon && read_network(t, t->spec);
    if (mechanisms[row].cidr &&
        (!cut_bits(&t->spec, "//", 128, &t->bits6) || !cut_bits(&t->spec, "/", 32, &t->bits4)))
        return false;
    if (!colon) return t->spec.len == 0 && mechanisms[row].spec != MUST_SPEC;
    return mechanisms[row].spec != NO_SPEC && good_spec(t->spec);
}

static bool read_term(struct bytes text, struct term *t) {
    *t = (struct term){.text = text, .result = SPF_PASS, .bits4 = 32, .bits6 = 128};
    size_t name = 0;
    static const char qualifiers[] = "+-?~";
    static const enum spf_result results[] = {SPF_PASS, SPF_FAIL, SPF_NEUTRAL, SPF_SOFTFAIL};
    const char *q = strchr(qualifiers, text.at[0]);
    if (q && *q) {
        t->result = results[q - qualifiers];
        text = bytes_skip(text, 1);
    }
    while (name < text.len && !strchr(":/=", text.at[name]))
        name++;
    if (name < text.len && text.at[name] == '=')
        return !(q && *q) && read_modifier(t, bytes_first(text, name), bytes_skip(text, name + 1));
    for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++)
        if (bytes_equal_nocase(bytes_first(text, name), bytes_of(mechanisms[i].name)))
            return read_mechanism(t, i, bytes_skip(text, name));
    return false;
}

static bool next_term(struct bytes *record, struct bytes *term) {
    while (record->len) {
        *term = bytes_cut(record, ' ');
        if (term->len) return true;
    }
    return false;
}

// The whole record is read before any of it counts (4.6); *redirect stays zeroed where there is none.
static bool check_terms(struct check *c, const char *domain, struct bytes record, struct term *redirect) {
    struct term t;
    int exps = 0;
    for (size_t i = 0; i < record.len; i++)
        if (record.at[i] < ' ' || record.at[i] > '~')
            return error(c, SPF_PERMERROR, "the record of %s is not plain ASCII", domain), false;
    for (struct bytes text; next_term(&record, &text);) {
        if (!read_term(text, &t))
            return error(c, SPF_PERMERROR, "'%.*s' in the record of %s is no SPF term",
                         BYTES_FMT(bytes_first(text, 80)), domain),
                   false;
        bool again = (t.kind == REDIRECT && redirect->text.len) || (t.kind == EXP && exps++);
        if (again)
            return error(c, SPF_PERMERROR, "'%.*s' is there twice in the record of %s",
                         BYTES_FMT(bytes_first(text, 80)), domain),
                   false;
        if (t.kind == REDIRECT) *redirect = t;
    }
    return true;
}

// ---- macros (section 7) -------------------------------------------------------------------------

struct name {
    char text[1024];
    size_t len;
};

static bool put(struct name *out, const char *text, size_t len) {
    if (len >= sizeof out->text - out->len) return false;
    memcpy(out->text + out->len, text, len);
    out->len += len;
    out->text[out->len] = 0;
    return true;
}

static bool put_escaped(struct name *out, struct bytes text) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i], code[4];
        bool plain = isalnum((unsigned char)c) || (c && strchr("-._~", c));
        if (!plain) snprintf(code, sizeof code, "%%%02X", (unsigned char)c);
        if (plain ? !put(out, &c, 1) : !put(out, code, 3)) return false;
    }
    return true;
}

static void ip_text(const struct spf_asked *asked, char out[66]) {
    if (asked->family == AF_INET) {
        inet_ntop(AF_INET, asked->ip, out, 66);
        return;
    }
    for (int i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%x.", asked->ip[i / 2] >> (i % 2 ? 0 : 4) & 15);
    out[63] = 0;
}

static struct bytes macro_value(const struct check *c, char letter, const char *domain, char ip[66]) {
    struct bytes sender = c->asked->sender;
    ptrdiff_t at = bytes_find_last(sender, '@');
    switch (letter) {
    case 's':
        return sender;
    case 'l':
        return at > 0 ? bytes_first(sender, (size_t)at) : BYTES("postmaster");
    case 'o':
        return at >= 0 ? bytes_skip(sender, (size_t)at + 1) : bytes_of(c->asked->domain);
    case 'd':
        return bytes_of(domain);
    case 'i':
        ip_text(c->asked, ip);
        return bytes_of(ip);
    case 'v':
        return c->asked->family == AF_INET ? BYTES("in-addr") : BYTES("ip6");
    case 'h':
        return bytes_of(c->asked->helo);
    default:
        return BYTES("unknown");
    }
}

// Split at the delimiters, turned round, the last `keep_parts` of them, joined by dots.
static bool put_parts(struct name *out, struct bytes value, const char *delimiters, bool reverse,
                      size_t keep_parts) {
    struct bytes parts[128];
    size_t count = 0, begin = 0;
    for (size_t i = 0; i <= value.len; i++) {
        if (i < value.len && (!value.at[i] || !strchr(delimiters, value.at[i]))) continue;
        if (count == sizeof parts / sizeof *parts) return false;
        parts[count++] = bytes_range(value.at + begin, i - begin);
        begin = i + 1;
    }
    size_t from = keep_parts && keep_parts < count ? count - keep_parts : 0;
    for (size_t i = from; i < count; i++) {
        struct bytes part = parts[reverse ? count - 1 - i : i];
        if ((i > from && !put(out, ".", 1)) || !put(out, part.at, part.len)) return false;
    }
    return true;
}

static bool put_macro(const struct check *c, struct bytes macro, const char *domain, struct name *out) {
    char ip[66], delimiters[16] = "";
    if (macro.at[1] != '{')
        return put(out,
                   macro.at[1] == '-'   ? "%20"
                   : macro.at[1] == '_' ? " "
                                        : "%",
                   macro.at[1] == '-' ? 3 : 1);
    char letter = (char)tolower((unsigned char)macro.at[2]);
    size_t i = 3, parts = 0, d = 0;
    for (; isdigit((unsigned char)macro.at[i]); i++)
        parts = parts * 10 + (size_t)(macro.at[i] - '0');
    bool reverse = macro.at[i] == 'r' || macro.at[i] == 'R';
    for (i += reverse; macro.at[i] != '}'; i++)
        if (d < sizeof delimiters - 1) delimiters[d++] = macro.at[i];
    delimiters[d] = 0;
    struct name plain = {.len = 0};
    if (!put_parts(&plain, macro_value(c, letter, domain, ip), d ? delimiters : ".", reverse, parts))
        return false;
    return letter == macro.at[2] ? put(out, plain.text, plain.len)
                                 : put_escaped(out, bytes_range(plain.text, plain.len));
}

// What the term speaks of; where its name is too long, labels go from the left (7.3). False: nothing that
// could be asked for.
static bool target(const struct check *c, const struct term *t, const char *domain,
                   char out[NAME_LONGEST + 1]) {
    struct name name = {.len = 0};
    struct bytes rest = t->spec.len ? t->spec : bytes_of(domain);
    while (rest.len) {
        if (rest.at[0] != '%' || !t->spec.len) {
            if (!put(&name, rest.at, 1)) return false;
            rest = bytes_skip(rest, 1);
            continue;
        }
        struct bytes behind = skip_macro(rest);
        if (!put_macro(c, rest, domain, &name)) return false;
        rest = behind;
    }
    struct bytes whole = bytes_range(name.text, name.len);
    while (whole.len > NAME_LONGEST) {
        ptrdiff_t dot = bytes_find(whole, '.');
        if (dot < 0) return false;
        whole = bytes_skip(whole, (size_t)dot + 1);
    }
    keep(out, NAME_LONGEST + 1, whole);
    return whole.len > 0;
}

// ---- look-ups -----------------------------------------------------------------------------------

enum match { NO, YES, OVER }; // OVER: c has an error, *error says which

static bool counted(struct check *c, const struct term *t) {
    if (++c->out->look_ups <= LOOK_UPS_MAX) return true;
    error(c, SPF_PERMERROR, "more than %d terms need look-ups; '%.*s' is one too many", LOOK_UPS_MAX,
          BYTES_FMT(bytes_first(t->text, 80)));
    return false;
}

static enum match look(struct check *c, const char *name, enum spf_type type, struct spf_answer *out,
                       enum spf_result *failed) {
    *out = (struct spf_answer){0};
    enum spf_found found = c->asked->look(c->asked->arg, name, type, out);
    if (found == SPF_TROUBLE) {
        *failed = error(c, SPF_TEMPERROR, "DNS gives no answer about %s", name);
        return OVER;
    }
    if (found == SPF_FOUND && out->count) return YES;
    if (++c->voids <= VOID_MAX) return NO;
    *failed = error(c, SPF_PERMERROR, "more than %d look-ups find nothing; the last was %s", VOID_MAX, name);
    return OVER;
}

static bool within(const uint8_t *a, const uint8_t *b, int bits) {
    int whole = bits / 8;
    if (memcmp(a, b, (size_t)whole) != 0) return false;
    return bits % 8 == 0 || (a[whole] ^ b[whole]) >> (8 - bits % 8) == 0;
}

static enum match host_has(struct check *c, const struct term *t, const char *host, enum spf_result *failed) {
    struct spf_answer answer;
    bool v4 = c->asked->family == AF_INET;
    enum match found = look(c, host, v4 ? SPF_A : SPF_AAAA, &answer, failed);
    if (found != YES) return found;
    for (size_t i = 0; i < answer.count; i++)
        if (within(c->asked->ip, answer.records[i].ip, v4 ? t->bits4 : t->bits6)) return YES;
    return NO;
}

static enum match match_mx(struct check *c, const struct term *t, const char *name, enum spf_result *failed) {
    struct spf_answer answer;
    enum match found = look(c, name, SPF_MX, &answer, failed);
    if (found != YES) return found;
    if (answer.count > HOSTS_MAX) {
        *failed = error(c, SPF_PERMERROR, "%s has more than %d MX hosts", name, HOSTS_MAX);
        return OVER;
    }
    for (size_t i = 0; i < answer.count; i++) {
        char host[NAME_LONGEST + 1];
        keep(host, sizeof host, answer.records[i].text);
        found = host[0] ? host_has(c, t, host, failed) : NO;
        if (found != NO) return found;
    }
    return NO;
}

static void reverse_name(const struct spf_asked *asked, char out[NAME_LONGEST + 1]) {
    const uint8_t *ip = asked->ip;
    if (asked->family == AF_INET) {
        snprintf(out, NAME_LONGEST + 1, "%d.%d.%d.%d.in-addr.arpa", ip[3], ip[2], ip[1], ip[0]);
        return;
    }
    for (int i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%x.", ip[15 - i / 2] >> (i % 2 ? 4 : 0) & 15);
    snprintf(out + 64, NAME_LONGEST - 63, "ip6.arpa");
}

// Whatever goes wrong here only means that nothing matched (5.5).
static enum match match_ptr(struct check *c, const char *name) {
    char reverse[NAME_LONGEST + 1];
    struct spf_answer answer = {0}, back;
    bool v4 = c->asked->family == AF_INET;
    reverse_name(c->asked, reverse);
    if (c->asked->look(c->asked->arg, reverse, SPF_PTR, &answer) != SPF_FOUND) return NO;
    for (size_t i = 0; i < answer.count && i < HOSTS_MAX; i++) {
        char host[NAME_LONGEST + 1];
        struct bytes found = answer.records[i].text, want = bytes_of(name);
        bool same = bytes_ends_nocase(found, want) &&
                    (found.len == want.len || found.at[found.len - want.len - 1] == '.');
        if (!same) continue;
        keep(host, sizeof host, found);
        if (strlen(host) != found.len) continue; // no host is called that
        back = (struct spf_answer){0};
        if (c->asked->look(c->asked->arg, host, v4 ? SPF_A : SPF_AAAA, &back) != SPF_FOUND) continue;
        for (size_t k = 0; k < back.count; k++)
            if (within(c->asked->ip, back.records[k].ip, v4 ? 32 : 128)) return YES;
    }
    return NO;
}

// ---- evaluation (section 4) ---------------------------------------------------------------------

static enum spf_result evaluate(struct check *c, const char *domain, bool first);

static enum match match_include(struct check *c, const char *name, enum spf_result *failed) {
    enum spf_result inner = evaluate(c, name, false);
    switch (inner) {
    case SPF_PASS:
        return YES;
    case SPF_TEMPERROR:
    case SPF_PERMERROR:
        *failed = inner;
        return OVER;
    case SPF_NONE:
        *failed = error(c, SPF_PERMERROR, "%s is included and has no SPF record", name);
        return OVER;
    default:
        return NO;
    }
}

static enum match match(struct check *c, const struct term *t, const char *domain, enum spf_result *failed) {
    char name[NAME_LONGEST + 1];
    struct spf_answer answer;
    int family = c->asked->family;
    *failed = SPF_PERMERROR;
    switch (t->kind) {
    case ALL:
        return YES;
    case IP4:
        return family == AF_INET && within(c->asked->ip, t->ip, t->bits4) ? YES : NO;
    case IP6:
        return family == AF_INET6 && within(c->asked->ip, t->ip, t->bits6) ? YES : NO;
    default:
        break;
    }
    if (!counted(c, t)) return OVER;
    if (!target(c, t, domain, name)) return NO;
    switch (t->kind) {
    case INCLUDE:
        return match_include(c, name, failed);
    case A:
        return host_has(c, t, name, failed);
    case MX:
        return match_mx(c, t, name, failed);
    case PTR:
        return match_ptr(c, name);
    default:
        return look(c, name, SPF_A, &answer, failed); // EXISTS
    }
}

static bool is_spf(struct bytes text) {
    return bytes_starts_nocase(text, BYTES("v=spf1")) && (text.len == 6 || text.at[6] == ' ');
}

// *record is left empty where there is none.
static enum spf_result fetch(struct check *c, const char *domain, struct bytes *record) {
    struct spf_answer answer = {0};
    enum spf_found found = c->asked->look(c->asked->arg, domain, SPF_TXT, &answer);
    if (found == SPF_TROUBLE)
        return error(c, SPF_TEMPERROR, "DNS gives no answer about the TXT records of %s", domain);
    for (size_t i = 0; found == SPF_FOUND && i < answer.count; i++) {
        if (!is_spf(answer.records[i].text)) continue;
        if (record->len) return error(c, SPF_PERMERROR, "%s has more than one SPF record", domain);
        *record = answer.records[i].text;
    }
    return SPF_NONE;
}

static enum spf_result redirected(struct check *c, const struct term *redirect, const char *domain) {
    char name[NAME_LONGEST + 1];
    if (!counted(c, redirect)) return SPF_PERMERROR;
    if (!target(c, redirect, domain, name))
        return error(c, SPF_PERMERROR, "the redirect of %s leads nowhere", domain);
    enum spf_result result = evaluate(c, name, false);
    return result == SPF_NONE ? error(c, SPF_PERMERROR, "%s is redirected to and has no SPF record", name)
                              : result;
}

static enum spf_result evaluate(struct check *c, const char *domain, bool first) {
    struct bytes record = {0}, rest, text;
    struct term t, redirect = {0};
    enum spf_result failed = fetch(c, domain, &record);
    if (first) keep(c->out->record, sizeof c->out->record, record);
    if (failed != SPF_NONE || !record.len) return failed;
    rest = bytes_skip(record, 6);
    if (!check_terms(c, domain, rest, &redirect)) return SPF_PERMERROR;
    while (next_term(&rest, &text)) {
        if (!read_term(text, &t) || t.kind >= REDIRECT) continue;
        enum match found = match(c, &t, domain, &failed);
        if (found == OVER) return failed;
        if (found == NO) continue;
        keep(c->out->domain, sizeof c->out->domain, bytes_of(domain));
        keep(c->out->term, sizeof c->out->term, t.text);
        return t.result;
    }
    return redirect.text.len ? redirected(c, &redirect, domain) : SPF_NEUTRAL;
}

void spf_check(const struct spf_asked *asked, struct spf_verdict *out) {
    struct spf_asked whole = *asked;
    struct buf postmaster = {0};
    *out = (struct spf_verdict){0};
    if (!asked->sender.len) {
        buf_format(&postmaster, "postmaster@%s", asked->domain);
        whole.sender = buf_bytes(&postmaster);
    }
    struct check c = {.asked = &whole, .out = out};
    keep(out->domain, sizeof out->domain, bytes_of(asked->domain));
    out->result = evaluate(&c, asked->domain, true);
    buf_release(&postmaster);
}
