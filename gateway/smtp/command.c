// SPDX-License-Identifier: MIT
#include "smtp/command.h"

#include "base/utf8.h"
#include "mail/address.h"

enum {
    ENVID_MAX = 100,
    ORCPT_MAX = 500,
    NAME_MAX_LEN = 255,
    MECHANISM_MAX = 20
}; // RFC 3461 4.2, 4.4; RFC 4422 3.1

static bool fail(struct reply *fault, int code, const char *enhanced, const char *text) {
    *fault = reply_make(code, enhanced, "%s", text);
    return false;
}

static bool fail_syntax(struct reply *fault, const char *usage) {
    *fault = reply_make(501, "5.5.4", "Syntax: %s", usage);
    return false;
}

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

// RFC 3461 section 4: xtext that decodes to printable US-ASCII.
static bool xtext_is_valid(struct bytes t) {
    for (size_t i = 0; i < t.len; i++) {
        int c = (unsigned char)t.at[i];
        if (c < '!' || c > '~' || c == '=') return false;
        if (c != '+') continue;
        if (t.len - i < 3 || !is_hex(t.at[i + 1]) || !is_hex(t.at[i + 2])) return false;
        c = hex_value(t.at[i + 1]) << 4 | hex_value(t.at[i + 2]);
        if (c < ' ' || c > '~') return false; // nothing that could break a line of a report
        i += 2;
    }
    return true;
}

// RFC 6533 section 3: an address of type utf-8 is xtext-like, with \x{HEX} for what may not stand for itself.
static bool utf8_address_is_valid(struct bytes t, bool utf8_allowed) {
    if (!utf8_is_valid(t) || (!utf8_allowed && !utf8_is_ascii(t))) return false;
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.at[i];
        if (c < '!' || c == 127 || c == '=' || c == '+') return false;
        if (c != '\\') continue;
        if (t.len - i < 6 || t.at[i + 1] != 'x' || t.at[i + 2] != '{') return false;
        size_t digits = i + 3;
        for (i = digits; i < t.len && is_hex(t.at[i]); i++)
            ;
        if (i == t.len || t.at[i] != '}' || i - digits < 2 || i - digits > 6) return false;
        if (i - digits == 2 && hex_value(t.at[digits]) < 2) return false; // a control character
    }
    return true;
}

static bool orcpt_is_valid(struct bytes value, bool utf8_allowed) {
    if (value.len == 0 || value.len > ORCPT_MAX) return false;
    struct bytes type = bytes_cut(&value, ';');
    if (type.len == 0 || value.len == 0) return false;
    for (size_t i = 0; i < type.len; i++) {
        char c = type.at[i];
        bool atom = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
        if (!atom) return false;
    }
    if (bytes_equal_nocase(type, BYTES("utf-8"))) return utf8_address_is_valid(value, utf8_allowed);
    return xtext_is_valid(value);
}

// The end of the path that opens with the '<' at text[0]: the index of its '>', outside of any quoted string.
static ptrdiff_t path_end(struct bytes text) {
    bool quoted = false;
    for (size_t i = 1; i < text.len; i++) {
        if (quoted && text.at[i] == '\\')
            i++;
        else if (text.at[i] == '"')
            quoted = !quoted;
        else if (!quoted && text.at[i] == '>')
            return (ptrdiff_t)i;
    }
    return -1;
}

// RFC 5321 4.1.2 A-d-l: "@one,@two:" in front of a mailbox is understood and left out.
static bool drop_route(struct bytes *mailbox) {
    if (mailbox->len == 0 || mailbox->at[0] != '@') return true;
    ptrdiff_t colon = bytes_find(*mailbox, ':');
    if (colon < 2) return false;
    struct bytes route = bytes_first(*mailbox, (size_t)colon);
    while (route.len) {
        struct bytes hop = bytes_cut(&route, ',');
        if (hop.len < 2 || hop.at[0] != '@' || !domain_is_valid(bytes_skip(hop, 1))) return false;
    }
    *mailbox = bytes_skip(*mailbox, (size_t)colon + 1);
    return true;
}

// Parameters of MAIL and RCPT: each row checks its value and keeps it. `value` has a NULL at where no '=' was
// given.
struct parameter {
    struct bytes name;
    enum verb verb;
    bool (*take)(struct server_path *path, struct bytes value, bool utf8_allowed);
};

static bool take_size(struct server_path *path, struct bytes value, bool utf8_allowed) {
    (void)utf8_allowed;
    if (value.len == 0 || value.len > 20) return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.at[i] < '0' || value.at[i] > '9') return false;
    if (!bytes_to_u64(value, &path->size)) path->size = UINT64_MAX; // 20 digits can be more than 64 bits
    return true;
}

static bool take_body(struct server_path *path, struct bytes value, bool utf8_allowed) {
    (void)utf8_allowed;
    path->body_8bit = bytes_equal_nocase(value, BYTES("8BITMIME"));
    return path->body_8bit || bytes_equal_nocase(value, BYTES("7BIT"));
}

static bool take_smtputf8(struct server_path *path, struct bytes value, bool utf8_allowed) {
    path->smtputf8 = true;
    return utf8_allowed && !value.at;
}

static bool take_ret(struct server_path *path, struct bytes value, bool utf8_allowed) {
    (void)utf8_allowed;
    path->ret = bytes_equal_nocase(value, BYTES("FULL"))   ? 1
                : bytes_equal_nocase(value, BYTES("HDRS")) ? 2
                                                           : 0;
    return path->ret != 0;
}

static bool take_envid(struct server_path *path, struct bytes value, bool utf8_allowed) {
    (void)utf8_allowed;
    path->envid = value;
    return value.len > 0 && value.len <= ENVID_MAX && xtext_is_valid(value);
}

// RFC 4954 section 5: who submitted it first. Checked, and not believed: nothing here trusts its clients with
// it.
static bool take_auth(struct server_path *path, struct bytes value, bool utf8_allowed) {
    (void)path, (void)utf8_allowed;
    return bytes_equal(value, BYTES("<>")) || (value.len > 0 && xtext_is_valid(value));
}

static bool take_notify(struct server_path *path, struct bytes value, bool utf8_allowed) {
    (void)utf8_allowed;
    static const struct {
        struct bytes name;
        uint32_t bit;
    } words[] = {
        {{"NEVER", 5}, NOTIFY_NEVER},
        {{"SUCCESS", 7}, NOTIFY_SUCCESS},
        {{"FAILURE", 7}, NOTIFY_FAILURE},
        {{"DELAY", 5}, NOTIFY_DELAY},
    };
    if (value.len == 0 || value.at[value.len - 1] == ',') return false;
    while (value.len) {
        struct bytes word = bytes_cut(&value, ',');
        uint32_t bit = 0;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (bytes_equal_nocase(word, words[i].name)) bit = words[i].bit;
        if (bit == 0 || path->notify & bit) return false;
        path->notify |= bit;
    }
    return !(path->notify & NOTIFY_NEVER) || path->notify == NOTIFY_NEVER;
}

static bool take_orcpt(struct server_path *path, struct bytes value, bool utf8_allowed) {
    path->orcpt = value;
    return orcpt_is_valid(value, utf8_allowed);
}

static const struct parameter parameters[] = {
    {{"SIZE", 4}, VERB_MAIL, take_size},         {{"BODY", 4}, VERB_MAIL, take_body},
    {{"SMTPUTF8", 8}, VERB_MAIL, take_smtputf8}, {{"RET", 3}, VERB_MAIL, take_ret},
    {{"ENVID", 5}, VERB_MAIL, take_envid},       {{"AUTH", 4}, VERB_MAIL, take_auth},
    {{"NOTIFY", 6}, VERB_RCPT, take_notify},     {{"ORCPT", 5}, VERB_RCPT, take_orcpt},
};
enum { PARAMETERS = sizeof parameters / sizeof *parameters };

static bool take_parameters(struct bytes text, bool utf8_allowed, struct command *out, struct reply *fault) {
    unsigned seen = 0;
    while (text.len) {
        struct bytes value = bytes_cut(&text, ' ');
        if (value.len == 0) continue;
        struct bytes name = value;
        ptrdiff_t equals = bytes_find(value, '=');
        if (equals >= 0) {
            name.len = (size_t)equals;
            value = bytes_skip(value, name.len + 1);
        } else {
            value = (struct bytes){0};
        }
        int i = 0;
        while (i < PARAMETERS &&
               (parameters[i].verb != out->verb || !bytes_equal_nocase(name, parameters[i].name)))
            i++;
        if (i == PARAMETERS) return fail(fault, 555, "5.5.4", "Parameter not recognized");
        if (seen & 1u << i) return fail(fault, 501, "5.5.4", "Parameter given twice");
        seen |= 1u << i;
        if (parameters[i].take(&out->path, value, utf8_allowed)) continue;
        *fault = reply_make(501, "5.5.4", "Bad value of %.*s", BYTES_FMT(name));
        return false;
    }
    return true;
}

static bool check_mailbox(struct command *out, bool utf8_allowed, struct reply *fault) {
    struct bytes mailbox = out->path.address;
    bool mail = out->verb == VERB_MAIL;
    if (mail && mailbox.len == 0) return true;                                  // null sender
    if (!mail && bytes_equal_nocase(mailbox, BYTES("postmaster"))) return true; // RFC 5321 4.5.1
    if (!utf8_allowed && !utf8_is_ascii(mailbox))
        return fail(fault, 553, "5.6.7", "Address needs SMTPUTF8"); // RFC 6531 3.5
    struct address address;
    struct err err;
    if (address_parse(mailbox, &address, &err)) return true;
    *fault = reply_make(501, mail ? "5.1.7" : "5.1.3", "Bad address: %s", err.text);
    return false;
}

// Parts "<path> parameters". A bare mailbox without <> is against the RFC, but scanners and meters send it and other MTAs take it;
// it must have an '@', so that a forgotten address is not taken for one.
static bool take_path(struct bytes text, struct bytes *path, struct bytes *behind) {
    if (text.len && text.at[0] == '<') {
        ptrdiff_t end = path_end(text);
        if (end < 0) return false;
        *path = bytes_range(text.at + 1, (size_t)end - 1);
        *behind = bytes_skip(text, (size_t)end + 1);
        return behind->len == 0 || behind->at[0] == ' ';
    }
    ptrdiff_t space = bytes_find(text, ' ');
    *path = space < 0 ? text : bytes_first(text, (size_t)space);
    *behind = bytes_skip(text, path->len);
    return bytes_find(*path, '@') > 0 && bytes_find(*path, '<') < 0 && bytes_find(*path, '>') < 0;
}

// "FROM:<path> parameters" and "TO:<path> parameters"
static bool parse_path(struct bytes text, bool utf8_allowed, struct command *out, struct reply *fault) {
    bool mail = out->verb == VERB_MAIL;
    struct bytes prefix = mail ? BYTES("FROM:") : BYTES("TO:");
    const char *usage = mail ? "MAIL FROM:<address> [parameters]" : "RCPT TO:<address> [parameters]";
    if (!bytes_starts_nocase(text, prefix)) return fail_syntax(fault, usage);
    text = bytes_skip(text, prefix.len);
    while (text.len && text.at[0] == ' ') text = bytes_skip(text, 1); // against the RFC, and very common
    struct bytes parameters_text;
    if (!take_path(text, &out->path.address, &parameters_text)) return fail_syntax(fault, usage);
    if (!take_parameters(parameters_text, utf8_allowed, out, fault)) return false;
    if (!drop_route(&out->path.address)) return fail_syntax(fault, usage);
    return check_mailbox(out, mail ? out->path.smtputf8 : utf8_allowed, fault);
}

// Any name will do: what it claims is no reason to refuse mail (RFC 5321 4.1.4), and printers and desktops are called by all
// their owners think of, spaces and umlauts included. Whoever writes it somewhere makes it fit there.
static bool parse_name(struct bytes text, struct command *out, struct reply *fault) {
    out->argument = text;
    return (text.len > 0 && text.len <= NAME_MAX_LEN) || fail_syntax(fault, "EHLO hostname");
}

static bool parse_chunk(struct bytes text, struct command *out, struct reply *fault) {
    struct bytes size = bytes_cut(&text, ' ');
    out->last = bytes_equal_nocase(text, BYTES("LAST"));
    if (!bytes_to_u64(size, &out->chunk) || (text.len && !out->last))
        return fail_syntax(fault, "BDAT size [LAST]");
    return true;
}

static bool parse_auth(struct bytes text, struct command *out, struct reply *fault) {
    out->argument = bytes_cut(&text, ' ');
    bool good = out->argument.len > 0 && out->argument.len <= MECHANISM_MAX && bytes_find(text, ' ') < 0;
    if (!good) return fail_syntax(fault, "AUTH mechanism [initial-response]");
    if (text.len) out->initial = bytes_equal(text, BYTES("=")) ? bytes_first(text, 0) : text;
    return true;
}

enum argument { NO_ARGUMENT, ANY_ARGUMENT, SOME_ARGUMENT, A_NAME, A_PATH, A_CHUNK, A_MECHANISM };

static const struct {
    char name[9];
    enum verb verb;
    enum argument argument;
} verbs[] = {
    {"RCPT", VERB_RCPT, A_PATH},        {"MAIL", VERB_MAIL, A_PATH},
    {"DATA", VERB_DATA, NO_ARGUMENT},   {"BDAT", VERB_BDAT, A_CHUNK},
    {"EHLO", VERB_EHLO, A_NAME},        {"QUIT", VERB_QUIT, NO_ARGUMENT},
    {"RSET", VERB_RSET, NO_ARGUMENT},   {"HELO", VERB_HELO, A_NAME},
    {"LHLO", VERB_LHLO, A_NAME},        {"NOOP", VERB_NOOP, ANY_ARGUMENT},
    {"AUTH", VERB_AUTH, A_MECHANISM},   {"STARTTLS", VERB_STARTTLS, NO_ARGUMENT},
    {"VRFY", VERB_VRFY, SOME_ARGUMENT}, {"EXPN", VERB_EXPN, SOME_ARGUMENT},
    {"HELP", VERB_HELP, ANY_ARGUMENT},
};

static int find_verb(struct bytes line) {
    ptrdiff_t space = bytes_find(bytes_first(line, 9), ' ');
    struct bytes word = space < 0 ? line : bytes_first(line, (size_t)space);
    if (word.len == 0) return -1;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (((word.at[0] ^ verbs[i].name[0]) & ~0x20) == 0 &&
            bytes_equal_nocase(word, bytes_of(verbs[i].name)))
            return (int)i;
    return -1;
}

enum verb command_verb(struct bytes line) {
    int row = find_verb(line);
    return row < 0 ? VERB_UNKNOWN : verbs[row].verb;
}

static bool has_controls(struct bytes line) {
    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)line.at[i] < 32 || line.at[i] == 127) return true;
    return false;
}

static bool parse_argument(enum argument kind, struct bytes text, bool utf8_allowed, struct command *out,
                           struct reply *fault) {
    switch (kind) {
    case A_PATH:
        return parse_path(text, utf8_allowed, out, fault);
    case A_NAME:
        return parse_name(text, out, fault);
    case A_CHUNK:
        return parse_chunk(text, out, fault);
    case A_MECHANISM:
        return parse_auth(text, out, fault);
    case NO_ARGUMENT:
        return text.len == 0 || fail(fault, 501, "5.5.4", "No argument is expected");
    case SOME_ARGUMENT:
        if (text.len == 0) return fail(fault, 501, "5.5.4", "An argument is expected");
        break;
    case ANY_ARGUMENT:
        break;
    }
    out->argument = text;
    return true;
}

bool command_parse(struct bytes line, bool utf8_allowed, struct command *out, struct reply *fault) {
    memset(out, 0, sizeof *out);
    while (line.len && line.at[line.len - 1] == ' ')
        line.len--; // RFC 5321 4.1.1: trailing white space is tolerated
    int row = find_verb(line);
    if (row >= 0) out->verb = verbs[row].verb;
    if (has_controls(line)) return fail(fault, 500, "5.5.2", "Control characters in a command");
    if (row < 0) return fail(fault, 500, "5.5.2", "Command not recognized");
    struct bytes text = bytes_skip(line, strlen(verbs[row].name));
    while (text.len && text.at[0] == ' ') text = bytes_skip(text, 1);
    return parse_argument(verbs[row].argument, text, utf8_allowed, out, fault);
}
