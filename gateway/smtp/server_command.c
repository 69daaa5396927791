// SPDX-License-Identifier: MIT
#include "smtp/server_command.h"

#include "smtp/command.h"
#include "smtp/server_content.h"

enum {
    LINE_DEFAULT = 512, // RFC 5321 4.5.3.1.4
    MAIL_MORE = 800,    // SIZE 26, BODY 17, SMTPUTF8 10, RET and ENVID 125, AUTH 500, and spaces
    RCPT_MORE = 700,    // NOTIFY 36, ORCPT 500 (600 where RFC 6533 doubles some of it)
    AUTH_LINE = 12288,  // RFC 4954 section 4
    SMALL_CHUNK = 1024, // a BDAT below it counts as a command: it moves nothing forward
};

// ---- what each command does ---------------------------------------------------------------------

static void abandon_transaction(struct server *s) {
    if (s->state > AT_IDLE) server_end_transaction(s);
}

static int say_extensions(struct server *s) {
    const struct server_options *o = &s->options;
    buf_format(&s->out, "250-%s\r\n250-PIPELINING\r\n250-SIZE %llu\r\n", o->hostname,
               (unsigned long long)o->size_max);
    if (o->starttls && !s->secured) SAY(s, "250-STARTTLS");
    if (o->auth && s->secured && s->user.len == 0) SAY(s, "250-AUTH PLAIN LOGIN");
    SAY(s, "250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES");
    return GO_ON;
}

static int obey_hello(struct server *s, const struct command *c, struct bytes *input,
                      struct server_want *want) {
    (void)input, (void)want;
    if ((c->verb == VERB_LHLO) != is_lmtp(s))
        return is_lmtp(s) ? COMPLAIN(s, "500 5.5.1 This is LMTP: say LHLO")
                          : COMPLAIN(s, "500 5.5.1 This is SMTP: say EHLO");
    abandon_transaction(s);
    server_enter(s, AT_IDLE);
    buf_reset(&s->helo);
    buf_add(&s->helo, c->argument);
    s->esmtp = c->verb != VERB_HELO;
    if (s->esmtp) return say_extensions(s);
    buf_format(&s->out, "250 %s\r\n", s->options.hostname);
    return GO_ON;
}

static int obey_starttls(struct server *s, const struct command *c, struct bytes *input,
                         struct server_want *want) {
    (void)c, (void)want;
    if (!s->options.starttls) return COMPLAIN(s, "502 5.5.1 STARTTLS is not offered");
    if (s->secured) return COMPLAIN(s, "503 5.5.1 TLS is active already");
    if (input->len) // it could come to be read as if it had been sent under TLS (CVE-2011-0411)
        return FINISH(s, "554 5.5.1 Nothing may follow STARTTLS before the handshake", SERVER_END_INJECTION);
    SAY(s, "220 2.0.0 Ready to start TLS");
    server_enter(s, AT_TLS);
    return SERVER_TLS;
}

static int obey_mail(struct server *s, const struct command *c, struct bytes *input,
                     struct server_want *want) {
    (void)input;
    const struct server_options *o = &s->options;
    if (o->tls_required && !s->secured) return COMPLAIN(s, "530 5.7.0 Say STARTTLS first");
    if (o->auth_required && s->user.len == 0) return COMPLAIN(s, "530 5.7.0 Authentication required");
    if (o->messages_max && s->messages >= o->messages_max)
        return FINISH(s, "421 4.7.0 Enough messages for one connection, connect again", SERVER_END_MESSAGES);
    if (o->size_max && c->path.size > o->size_max)
        return COMPLAIN(s, "552 5.3.4 Message is larger than this server takes");
    transaction_ask(&s->now, &c->path);
    want->path = s->now.pending;
    return ask(s, want, ASK_SENDER, AT_SENDER);
}

static int obey_rcpt(struct server *s, const struct command *c, struct bytes *input,
                     struct server_want *want) {
    (void)input;
    if (s->options.recipients_max && s->now.count >= (size_t)s->options.recipients_max) {
        SAY(s, "452 4.5.3 Too many recipients, send the rest in another transaction"); // RFC 5321 4.5.3.1.10
        return GO_ON;
    }
    struct server_path path = c->path;
    struct buf ours = {0};
    if (bytes_find_last(path.address, '@') < 0) { // "postmaster" alone is ours (RFC 5321 4.5.1)
        buf_format(&ours, "%.*s@%s", BYTES_FMT(path.address), s->options.hostname);
        path.address = buf_bytes(&ours);
    }
    transaction_ask(&s->now, &path);
    buf_release(&ours);
    want->path = s->now.pending;
    return ask(s, want, ASK_RECIPIENT, AT_RECIPIENT);
}

static int obey_data(struct server *s, const struct command *c, struct bytes *input,
                     struct server_want *want) {
    (void)c, (void)input, (void)want;
    if (s->state == AT_MAIL)
        return s->now.refused_recipient && !is_lmtp(s) ? COMPLAIN(s, "554 5.5.1 No valid recipients")
                                                       : COMPLAIN(s, "503 5.5.1 No recipients: RCPT first");
    SAY(s, "354 End data with <CR><LF>.<CR><LF>");
    server_enter(s, AT_DATA);
    return GO_ON;
}

static int obey_simple(struct server *s, const struct command *c, struct bytes *input,
                       struct server_want *want) {
    (void)input, (void)want;
    switch (c->verb) {
    case VERB_RSET:
        abandon_transaction(s);
        SAY(s, "250 2.0.0 Ok");
        break;
    case VERB_NOOP:
        SAY(s, "250 2.0.0 Ok");
        break;
    case VERB_VRFY:
        SAY(s, "252 2.0.0 Not verified here: send the mail and see");
        break;
    case VERB_HELP:
        SAY(s, "214 2.0.0 See RFC 5321");
        break;
    case VERB_EXPN:
        return COMPLAIN(s, "502 5.5.1 EXPN is not offered");
    case VERB_QUIT:
        return FINISH(s, "221 2.0.0 Bye", SERVER_END_QUIT);
    default:
        bug_if(true);
    }
    return GO_ON;
}

static int obey_bdat(struct server *s, const struct command *c, struct bytes *input,
                     struct server_want *want) {
    (void)input, (void)want;
    return server_begin_chunk(s, c->chunk, c->last);
}

static int auth_said(struct server *s, enum auth_result result, struct server_want *want) {
    if (result == AUTH_MORE) {
        say(s, s->auth.challenge);
        server_enter(s, AT_LOGIN);
        return GO_ON;
    }
    if (result == AUTH_WHOLE) {
        want->login = s->auth.login;
        return ask(s, want, ASK_LOGIN, AT_VOUCHING);
    }
    auth_wipe(&s->auth);
    server_enter(s, AT_IDLE);
    return result == AUTH_CANCELLED ? COMPLAIN(s, "501 5.7.0 Authentication cancelled")
                                    : COMPLAIN(s, "501 5.5.2 Malformed authentication data");
}

static int obey_auth(struct server *s, const struct command *c, struct bytes *input,
                     struct server_want *want) {
    (void)input;
    if (!s->options.auth) return COMPLAIN(s, "502 5.5.1 AUTH is not offered");
    if (!s->secured) return COMPLAIN(s, "538 5.7.11 Authentication needs encryption: say STARTTLS first");
    if (!s->esmtp) return COMPLAIN(s, "503 5.5.1 Say EHLO first");
    if (s->user.len) return COMPLAIN(s, "503 5.5.1 Authenticated already");
    if (!auth_start(&s->auth, c->argument)) return COMPLAIN(s, "504 5.5.4 Mechanism is not offered");
    return auth_said(s, c->initial.at ? auth_feed(&s->auth, c->initial) : auth_ask(&s->auth), want);
}

// ---- the table ----------------------------------------------------------------------------------

#define LINE(literal)                                                                                        \
    { literal "\r\n", sizeof literal + 1 } // where a constant is needed

#define EARLY_HELLO LINE("503 5.5.1 Say EHLO first")
#define EARLY_MAIL LINE("503 5.5.1 MAIL first")
#define LATE_OPEN LINE("503 5.5.1 A transaction is open: end it or RSET first")
#define LATE_CHUNKS LINE("503 5.5.1 Only BDAT goes on from here")

static const struct row {
    enum server_state first, last; // legal from .. to
    struct bytes early, late;      // said outside of that
    int (*obey)(struct server *s, const struct command *c, struct bytes *input, struct server_want *want);
} table[] = {
    [VERB_HELO] = {AT_FRESH, AT_CHUNKS, {0}, {0}, obey_hello},
    [VERB_EHLO] = {AT_FRESH, AT_CHUNKS, {0}, {0}, obey_hello},
    [VERB_LHLO] = {AT_FRESH, AT_CHUNKS, {0}, {0}, obey_hello},
    [VERB_STARTTLS] = {AT_FRESH, AT_IDLE, {0}, LATE_OPEN, obey_starttls},
    [VERB_AUTH] = {AT_IDLE, AT_IDLE, EARLY_HELLO, LATE_OPEN, obey_auth},
    [VERB_MAIL] = {AT_IDLE, AT_IDLE, EARLY_HELLO, LATE_OPEN, obey_mail},
    [VERB_RCPT] = {AT_MAIL, AT_RCPT, EARLY_MAIL, LATE_CHUNKS, obey_rcpt},
    [VERB_DATA] = {AT_MAIL, AT_RCPT, EARLY_MAIL, LATE_CHUNKS, obey_data},
    [VERB_BDAT] = {AT_FRESH, AT_CHUNKS, {0}, {0}, obey_bdat},
    [VERB_RSET] = {AT_FRESH, AT_CHUNKS, {0}, {0}, obey_simple},
    [VERB_NOOP] = {AT_FRESH, AT_CHUNKS, {0}, {0}, obey_simple},
    [VERB_VRFY] = {AT_FRESH, AT_CHUNKS, {0}, {0}, obey_simple},
    [VERB_EXPN] = {AT_FRESH, AT_CHUNKS, {0}, {0}, obey_simple},
    [VERB_HELP] = {AT_FRESH, AT_CHUNKS, {0}, {0}, obey_simple},
    [VERB_QUIT] = {AT_UNWANTED, AT_CHUNKS, {0}, {0}, obey_simple},
};

// ---- lines --------------------------------------------------------------------------------------

static size_t line_limit(const struct server *s, struct bytes input) {
    size_t limit = s->options.line_max ? (size_t)s->options.line_max : LINE_DEFAULT;
    if (s->state == AT_LOGIN) return AUTH_LINE;
    switch (command_verb(bytes_first(input, limit))) {
    case VERB_MAIL:
        return limit + MAIL_MORE;
    case VERB_RCPT:
        return limit + RCPT_MORE;
    case VERB_AUTH:
        return AUTH_LINE;
    default:
        return limit;
    }
}

static int refuse_line(struct server *s, struct bytes why) {
    if (s->state == AT_LOGIN) {
        auth_wipe(&s->auth);
        server_enter(s, AT_IDLE);
    }
    return complain(s, why);
}

// A line without its CRLF off the front of the input; line->at is NULL where there is none (yet).
static int take_line(struct server *s, struct bytes *input, struct bytes *line) {
    size_t limit = line_limit(s, *input);
    struct bytes found;
    line->at = NULL;
    switch (line_take(&s->lines, input, limit, &found)) {
    case LINE_WHOLE:
        *line = found;
        break;
    case LINE_PART:
        return SERVER_READ;
    case LINE_SKIPPED:
        break;
    case LINE_BARE:
        return refuse_line(s, BYTES("500 5.5.2 Lines end with CRLF, not with LF\r\n"));
    case LINE_ENDLESS:
        return FINISH(s, "421 4.7.0 Endless line", SERVER_END_ENDLESS_LINE);
    case LINE_LONG:
        return refuse_line(s, limit == AUTH_LINE ? BYTES("500 5.5.6 Line too long\r\n")
                                                 : BYTES("500 5.5.2 Line too long\r\n"));
    }
    return GO_ON;
}

static bool is_http(struct bytes line) {
    static const char *const methods[] = {"GET ",     "POST ",    "HEAD ",  "PUT ",   "DELETE ",
                                          "CONNECT ", "OPTIONS ", "PATCH ", "TRACE ", "PRI * HTTP/2"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (bytes_starts(line, bytes_of(methods[i]))) return true;
    return false;
}

static int refuse_command(struct server *s, const struct command *c, const struct reply *fault,
                          struct bytes line) {
    if (c->verb == VERB_UNKNOWN && is_http(line)) return FINISH(s, "554 5.5.1 This is SMTP", SERVER_END_HTTP);
    s->errors++;
    reply_write(&s->out, fault, true);
    if (c->verb == VERB_RCPT) s->now.refused_recipient = true;
    if (c->verb != VERB_BDAT) return GO_ON;
    s->end = SERVER_END_BDAT; // how much of what follows is content, nobody can tell
    server_enter(s, AT_CLOSING);
    return GO_ON;
}

static bool counts(const struct command *c) {
    if (c->verb == VERB_BDAT) return c->chunk < SMALL_CHUNK && !c->last;
    return c->verb != VERB_RCPT && c->verb != VERB_DATA;
}

int server_read_command(struct server *s, struct bytes *input, struct server_want *want) {
    struct bytes line;
    struct command c;
    struct reply fault;
    if (input->len && input->at[0] == 0x16 && !s->lines.skipping)
        return FINISH(s, "554 5.5.1 TLS is not spoken here from the start", SERVER_END_TLS_HELLO);
    int next = take_line(s, input, &line);
    if (!line.at) return next;
    bool utf8 = s->state == AT_MAIL || s->state == AT_RCPT ? s->now.sender.smtputf8 : s->esmtp;
    if (!command_parse(line, utf8, &c, &fault)) return refuse_command(s, &c, &fault, line);
    s->commands += counts(&c);
    if (s->options.commands_max && s->commands > s->options.commands_max)
        return FINISH(s, "421 4.7.0 Too many commands", SERVER_END_COMMANDS);
    const struct row *row = &table[c.verb];
    if (s->state == AT_UNWANTED && row->first != AT_UNWANTED)
        return COMPLAIN(s, "503 5.5.1 No service for you here: say QUIT");
    if (s->state < row->first) return complain(s, row->early);
    if (s->state > row->last) return complain(s, row->late);
    return row->obey(s, &c, input, want);
}

int server_read_login(struct server *s, struct bytes *input, struct server_want *want) {
    struct bytes line;
    int next = take_line(s, input, &line);
    if (!line.at) return next;
    return auth_said(s, auth_feed(&s->auth, line), want);
}
