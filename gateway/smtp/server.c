// SPDX-License-Identifier: MIT
#include "smtp/server.h"

#include "base/bug.h"
#include "smtp/auth.h"
#include "smtp/command.h"
#include "smtp/line.h"
#include "smtp/transaction.h"

#include <stdlib.h>

enum {
    LINE_DEFAULT = 512, // RFC 5321 4.5.3.1.4
    MAIL_MORE = 800,    // SIZE 26, BODY 17, SMTPUTF8 10, RET and ENVID 125, AUTH 500, and spaces
    RCPT_MORE = 700,    // NOTIFY 36, ORCPT 500 (600 where RFC 6533 doubles some of it)
    AUTH_LINE = 12288,  // RFC 4954 section 4
    SMALL_CHUNK = 1024, // a BDAT below it counts as a command: it moves nothing forward
    GO_ON = -1,         // beside enum server_next: nothing to want yet
};

// As drawn in the header. From AT_FRESH to AT_CHUNKS commands are read, and the order is that of a
// transaction: a row of the table names the first and the last state where its verb is legal.
enum state {
    AT_NEW,
    AT_GREETING, // asked: connect
    AT_UNWANTED,
    AT_FRESH,
    AT_IDLE,
    AT_MAIL,
    AT_RCPT,
    AT_CHUNKS,
    AT_LOGIN,
    AT_VOUCHING,  // asked: login
    AT_SENDER,    // asked
    AT_RECIPIENT, // asked
    AT_DATA,
    AT_CHUNK,
    AT_VERDICT, // asked: message
    AT_TLS,
    AT_CLOSING,
    STATES
};

static const char *const state_names[STATES] = {
    "new",      "greeting", "unwanted",  "fresh", "idle",  "mail",    "rcpt", "chunks",  "login",
    "vouching", "sender",   "recipient", "data",  "chunk", "verdict", "tls",  "closing",
};

#define TO(state) (1u << (state))
static const uint32_t edges[STATES] = {
    [AT_NEW] = TO(AT_GREETING),
    [AT_GREETING] = TO(AT_FRESH) | TO(AT_UNWANTED),
    [AT_FRESH] = TO(AT_IDLE) | TO(AT_TLS) | TO(AT_CHUNK),
    [AT_IDLE] = TO(AT_LOGIN) | TO(AT_VOUCHING) | TO(AT_SENDER) | TO(AT_TLS) | TO(AT_CHUNK),
    [AT_LOGIN] = TO(AT_IDLE) | TO(AT_VOUCHING),
    [AT_VOUCHING] = TO(AT_IDLE),
    [AT_SENDER] = TO(AT_MAIL) | TO(AT_IDLE),
    [AT_MAIL] = TO(AT_RECIPIENT) | TO(AT_IDLE) | TO(AT_CHUNK),
    [AT_RECIPIENT] = TO(AT_RCPT) | TO(AT_MAIL),
    [AT_RCPT] = TO(AT_RECIPIENT) | TO(AT_DATA) | TO(AT_CHUNK) | TO(AT_IDLE),
    [AT_DATA] = TO(AT_VERDICT) | TO(AT_IDLE),
    [AT_CHUNK] = TO(AT_CHUNKS) | TO(AT_VERDICT) | TO(AT_IDLE) | TO(AT_FRESH) | TO(AT_MAIL),
    [AT_CHUNKS] = TO(AT_CHUNK) | TO(AT_IDLE),
    [AT_VERDICT] = TO(AT_IDLE),
    [AT_TLS] = TO(AT_FRESH),
};

struct server {
    struct server_options options;
    struct gauge_limits limits;
    enum state state;
    struct buf out;
    bool secured, esmtp, greeted, early;
    enum server_end end;
    struct buf helo, user;
    struct buf farewell; // from server_dismiss, as it goes out
    int errors, commands, messages;
    struct line_reader lines;
    struct auth auth;

    struct transaction now;
    bool reset_due; // its end has not been told yet

    // BDAT.
    uint64_t chunk_left;
    bool chunk_last;
    struct bytes chunk_refused; // said once the chunk has been swallowed
    enum state chunk_back;      // where it leads back to then
};

static void enter(struct server *s, enum state to) {
    if (to == s->state) return;
    bug_if(to != AT_CLOSING && !(edges[s->state] & TO(to)));
    log_trace(s->options.log, "smtp server: %s -> %s", state_names[s->state], state_names[to]);
    s->state = to;
}

#define LINE(literal)                                                                                        \
    { literal "\r\n", sizeof literal + 1 } // where a constant is needed

static void say(struct server *s, struct bytes line) {
    buf_add(&s->out, line);
}
#define SAY(s, literal) say((s), BYTES(literal "\r\n"))

static int complain(struct server *s, struct bytes line) {
    s->errors++;
    say(s, line);
    return GO_ON;
}
#define COMPLAIN(s, literal) complain((s), BYTES(literal "\r\n"))

static int finish(struct server *s, struct bytes line, enum server_end end) {
    say(s, line);
    if (s->end == SERVER_END_NONE) s->end = end;
    enter(s, AT_CLOSING);
    return GO_ON;
}
#define FINISH(s, literal, end) finish((s), BYTES(literal "\r\n"), (end))

static int ask(struct server *s, struct server_want *want, enum server_ask question, enum state to) {
    enter(s, to);
    want->ask = question;
    return SERVER_ASK;
}

static bool is_asking(const struct server *s) {
    return s->state == AT_GREETING || s->state == AT_VOUCHING || s->state == AT_SENDER ||
           s->state == AT_RECIPIENT || s->state == AT_VERDICT;
}

static bool is_lmtp(const struct server *s) {
    return s->options.protocol == SERVER_LMTP;
}

// ---- the transaction ----------------------------------------------------------------------------

// The driver hears of it as SERVER_RESET; until then the transaction can still be looked at.
static void end_transaction(struct server *s) {
    s->reset_due = true;
    enter(s, AT_IDLE);
}

static void abandon_transaction(struct server *s) {
    if (s->state > AT_IDLE) end_transaction(s);
}

// What is said after the content: once, or in LMTP for each recipient (RFC 2033 section 4.2).
static void say_verdict(struct server *s, struct bytes line) {
    for (size_t i = is_lmtp(s) ? s->now.count : 1; i; i--)
        say(s, line);
}

static struct bytes fault_of(const struct server *s) {
    return transaction_fault(&s->now, &s->limits);
}

// All content is there.
static int judge(struct server *s, struct server_want *want) {
    struct bytes fault = fault_of(s);
    if (fault.len == 0 && s->now.spoilt.len == 0) return ask(s, want, ASK_MESSAGE, AT_VERDICT);
    s->errors += fault.len > 0;
    say_verdict(s, fault.len ? fault : buf_bytes(&s->now.spoilt));
    end_transaction(s);
    return GO_ON;
}

static bool is_wanted(const struct server *s) {
    return s->now.spoilt.len == 0 && fault_of(s).len == 0;
}

static int hand_out(struct server *s, struct bytes run, struct server_want *want) {
    if (run.len == 0 || !is_wanted(s)) return GO_ON;
    want->bytes = run;
    return SERVER_BODY;
}

static int read_content(struct server *s, struct bytes *input, struct server_want *want) {
    bool ended;
    if (input->len == 0) return SERVER_READ;
    struct bytes run = gauge_undot(&s->now.gauge, input, &ended);
    return ended ? judge(s, want) : hand_out(s, run, want);
}

// ---- BDAT ---------------------------------------------------------------------------------------

static int end_chunk(struct server *s, struct server_want *want) {
    if (s->chunk_refused.len) {
        enter(s, s->chunk_back);
        return complain(s, s->chunk_refused);
    }
    struct bytes fault = fault_of(s);
    if (s->chunk_last) {
        if (s->now.gauge.size == 0 || !gauge_note_end(&s->now.gauge)) return judge(s, want);
        gauge_note(&s->now.gauge, BYTES("\r\n")); // judged in the next round
        return hand_out(s, BYTES("\r\n"), want);
    }
    enter(s, AT_CHUNKS);
    if (fault.len) return complain(s, fault);
    if (s->now.spoilt.len)
        say(s, buf_bytes(&s->now.spoilt));
    else
        SAY(s, "250 2.0.0 Ok");
    return GO_ON;
}

static int read_chunk(struct server *s, struct bytes *input, struct server_want *want) {
    if (s->chunk_left == 0) return end_chunk(s, want);
    if (input->len == 0) return SERVER_READ;
    struct bytes run = bytes_first(*input, s->chunk_left < input->len ? (size_t)s->chunk_left : input->len);
    *input = bytes_skip(*input, run.len);
    s->chunk_left -= run.len;
    if (s->chunk_refused.len) return GO_ON;
    gauge_note(&s->now.gauge, run);
    return hand_out(s, run, want);
}

static int obey_bdat(struct server *s, const struct command *c, struct bytes *input,
                     struct server_want *want) {
    (void)input, (void)want;
    uint64_t size_max = s->options.size_max;
    if (size_max && c->chunk / 4 > size_max)
        return FINISH(s, "552 5.3.4 Chunk is far larger than this server takes", SERVER_END_BDAT);
    s->chunk_left = c->chunk;
    s->chunk_last = c->last;
    s->chunk_back = s->state;
    s->chunk_refused = BYTES("");
    // Refused, its bytes still come: a client may send them without waiting (RFC 3030 section 2).
    if (s->state < AT_MAIL) s->chunk_refused = BYTES("503 5.5.1 No transaction: MAIL first\r\n");
    if (s->state == AT_MAIL)
        s->chunk_refused = s->now.refused_recipient && !is_lmtp(s)
                               ? BYTES("554 5.5.1 No valid recipients\r\n")
                               : BYTES("503 5.5.1 No recipients: RCPT first\r\n");
    enter(s, AT_CHUNK);
    return GO_ON;
}

// ---- commands -----------------------------------------------------------------------------------

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
    enter(s, AT_IDLE);
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
    enter(s, AT_TLS);
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
    enter(s, AT_DATA);
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

// ---- AUTH ---------------------------------------------------------------------------------------

static int auth_said(struct server *s, enum auth_result result, struct server_want *want) {
    if (result == AUTH_MORE) {
        say(s, s->auth.challenge);
        enter(s, AT_LOGIN);
        return GO_ON;
    }
    if (result == AUTH_WHOLE) {
        want->login = s->auth.login;
        return ask(s, want, ASK_LOGIN, AT_VOUCHING);
    }
    auth_wipe(&s->auth);
    enter(s, AT_IDLE);
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

#define EARLY_HELLO LINE("503 5.5.1 Say EHLO first")
#define EARLY_MAIL LINE("503 5.5.1 MAIL first")
#define LATE_OPEN LINE("503 5.5.1 A transaction is open: end it or RSET first")
#define LATE_CHUNKS LINE("503 5.5.1 Only BDAT goes on from here")

static const struct row {
    enum state first, last;   // legal from .. to
    struct bytes early, late; // said outside of that
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
        enter(s, AT_IDLE);
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
    enter(s, AT_CLOSING);
    return GO_ON;
}

static bool counts(const struct command *c) {
    if (c->verb == VERB_BDAT) return c->chunk < SMALL_CHUNK && !c->last;
    return c->verb != VERB_RCPT && c->verb != VERB_DATA;
}

static int read_command(struct server *s, struct bytes *input, struct server_want *want) {
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

static int read_login(struct server *s, struct bytes *input, struct server_want *want) {
    struct bytes line;
    int next = take_line(s, input, &line);
    if (!line.at) return next;
    return auth_said(s, auth_feed(&s->auth, line), want);
}

// ---- the face -----------------------------------------------------------------------------------

struct server *server_new(const struct server_options *options) {
    struct server *s = must_alloc(sizeof *s);
    s->options = *options;
    s->secured = options->secured;
    s->limits = (struct gauge_limits){
        .size = options->size_max,
        .header = (size_t)options->header_max,
        .line = (size_t)options->text_line_max,
        .received = options->received_max,
        .keep_bare = options->bare_newline == SERVER_BARE_KEEP,
    };
    return s;
}

void server_free(struct server **at) {
    struct server *s = *at;
    *at = NULL;
    if (!s) return;
    auth_wipe(&s->auth);
    transaction_release(&s->now);
    buf_release(&s->out);
    buf_release(&s->helo);
    buf_release(&s->user);
    buf_release(&s->farewell);
    free(s);
}

static int step(struct server *s, struct bytes *input, struct server_want *want) {
    switch (s->state) {
    case AT_NEW:
        s->early = input->len > 0;
        return ask(s, want, ASK_CONNECT, AT_GREETING);
    case AT_FRESH:
    case AT_UNWANTED:
        if (!s->greeted && input->len) s->early = true;
        s->greeted = true;
        return read_command(s, input, want);
    case AT_IDLE:
    case AT_MAIL:
    case AT_RCPT:
    case AT_CHUNKS:
        return read_command(s, input, want);
    case AT_LOGIN:
        return read_login(s, input, want);
    case AT_DATA:
        return read_content(s, input, want);
    case AT_CHUNK:
        return read_chunk(s, input, want);
    case AT_TLS:
        return SERVER_TLS;
    case AT_CLOSING:
        return SERVER_CLOSE;
    default:
        return SERVER_READ; // a question is open
    }
}

enum server_next server_next(struct server *s, struct bytes *input, struct server_want *want) {
    memset(want, 0, sizeof *want);
    while (!is_asking(s)) {
        if (s->reset_due) {
            s->reset_due = false;
            transaction_forget(&s->now);
            return SERVER_RESET;
        }
        if (s->state != AT_CLOSING && s->farewell.len)
            finish(s, buf_bytes(&s->farewell), SERVER_END_DISMISSED);
        if (s->state != AT_CLOSING && s->options.errors_max && s->errors > s->options.errors_max)
            FINISH(s, "421 4.7.0 Too many errors", SERVER_END_ERRORS);
        int next = step(s, input, want);
        if (next == GO_ON) continue;
        if (next == SERVER_READ) want->timeout_ms = s->options.idle_ms;
        return (enum server_next)next;
    }
    return SERVER_READ;
}

// Says the reply of the policy, or the default words where it has none of its own. True: go on.
static bool say_answer(struct server *s, const struct reply *reply, struct bytes otherwise) {
    bool good = !reply || reply->code < 400;
    if (good && (!reply || reply->code < 200 || reply->code >= 300))
        say(s, otherwise);
    else
        reply_write(&s->out, reply, true);
    s->errors += !good && reply->code >= 500;
    return good;
}

static void greet(struct server *s, const struct reply *reply) {
    if (reply && reply->code >= 400) {
        reply_write(&s->out, reply, true);
        s->end = SERVER_END_REFUSED;
        enter(s, AT_UNWANTED); // RFC 5321 3.1: until its QUIT, it may talk to a wall
        return;
    }
    const char *words = s->options.greeting ? s->options.greeting : "";
    buf_format(&s->out, "220 %s %s%s%s\r\n", s->options.hostname, is_lmtp(s) ? "LMTP" : "ESMTP",
               *words ? " " : "", words);
    enter(s, AT_FRESH);
}

static void vouch(struct server *s, const struct reply *reply) {
    struct bytes ok = BYTES("235 2.7.0 Authentication succeeded\r\n");
    if (reply && reply->code >= 200 && reply->code < 300) reply = NULL;
    if (say_answer(s, reply, ok)) buf_add(&s->user, s->auth.login.user);
    auth_wipe(&s->auth);
    enter(s, AT_IDLE);
}

static void open_transaction(struct server *s, const struct reply *reply) {
    if (!say_answer(s, reply, BYTES("250 2.1.0 Ok\r\n"))) {
        end_transaction(s);
        return;
    }
    transaction_open(&s->now);
    enter(s, AT_MAIL);
}

static void answer_recipient(struct server *s, const struct reply *reply) {
    // Who is named twice gets one copy; but LMTP owes a verdict for each 250.
    if (!say_answer(s, reply, BYTES("250 2.1.5 Ok\r\n")))
        s->now.refused_recipient = true;
    else if (is_lmtp(s) || !transaction_has(&s->now))
        transaction_add(&s->now);
    enter(s, s->now.count ? AT_RCPT : AT_MAIL);
}

static void answer_message(struct server *s, const struct reply *reply) {
    struct buf line = {0};
    if (reply && (reply->code < 200 || reply->code / 100 == 3)) reply = NULL;
    if (reply)
        reply_write(&line, reply, true);
    else
        buf_addz(&line, "250 2.0.0 Ok\r\n");
    say_verdict(s, buf_bytes(&line));
    buf_release(&line);
    s->messages++;
    if (!reply || reply->code < 300)
        s->errors = s->commands = 0;
    else if (reply->code >= 500)
        s->errors++;
    end_transaction(s);
}

void server_answer(struct server *s, const struct reply *reply) {
    switch (s->state) {
    case AT_GREETING:
        greet(s, reply);
        break;
    case AT_VOUCHING:
        vouch(s, reply);
        break;
    case AT_SENDER:
        open_transaction(s, reply);
        break;
    case AT_RECIPIENT:
        answer_recipient(s, reply);
        break;
    case AT_VERDICT:
        answer_message(s, reply);
        break;
    default:
        bug_if("server_answer without a question" && true);
    }
    if (!reply || (reply->code != 421 && reply->code != 521)) return;
    s->end = SERVER_END_REFUSED;
    enter(s, AT_CLOSING);
}

void server_secured(struct server *s) {
    bug_if(s->state != AT_TLS);
    s->secured = true;
    s->esmtp = false; // RFC 3207 4.2: what was said before does not count any more
    buf_reset(&s->helo);
    buf_reset(&s->user);
    enter(s, AT_FRESH);
}

void server_spoil(struct server *s, const struct reply *reply) {
    if (s->now.spoilt.len == 0) reply_write(&s->now.spoilt, reply, true);
}

void server_dismiss(struct server *s, const struct reply *reply) {
    if (s->farewell.len == 0) reply_write(&s->farewell, reply, true);
}

struct buf *server_output(struct server *s) {
    return &s->out;
}

bool server_is_between(const struct server *s) {
    return s->state == AT_FRESH || s->state == AT_IDLE || s->state == AT_UNWANTED || s->state == AT_LOGIN;
}

bool server_is_esmtp(const struct server *s) {
    return s->esmtp;
}
struct bytes server_helo(const struct server *s) {
    return buf_bytes(&s->helo);
}
bool server_is_secured(const struct server *s) {
    return s->secured;
}
struct bytes server_user(const struct server *s) {
    return buf_bytes(&s->user);
}
const struct server_path *server_sender(const struct server *s) {
    return &s->now.sender;
}
size_t server_recipient_count(const struct server *s) {
    return s->now.count;
}
const struct gauge *server_gauge(const struct server *s) {
    return &s->now.gauge;
}
bool server_spoke_early(const struct server *s) {
    return s->early;
}
enum server_end server_end(const struct server *s) {
    return s->end;
}

const struct server_path *server_recipient(const struct server *s, size_t i) {
    bug_if(i >= s->now.count);
    return &s->now.recipients[i];
}

const char *server_end_name(enum server_end end) {
    static const char *const names[] = {"none",   "quit",      "refused",  "dismissed",
                                        "errors", "commands",  "messages", "injection",
                                        "http",   "tls-hello", "bdat",     "endless-line"};
    return names[end];
}

// RFC 3848; RFC 6531 4.3 for transactions with SMTPUTF8. HELO gives plain SMTP, whatever lies below.
const char *server_protocol_name(const struct server *s) {
    static const char *const names[4][4] = {
        {"ESMTP", "ESMTPA", "ESMTPS", "ESMTPSA"},
        {"LMTP", "LMTPA", "LMTPS", "LMTPSA"},
        {"UTF8SMTP", "UTF8SMTPA", "UTF8SMTPS", "UTF8SMTPSA"},
        {"UTF8LMTP", "UTF8LMTPA", "UTF8LMTPS", "UTF8LMTPSA"},
    };
    if (!s->esmtp) return "SMTP";
    return names[is_lmtp(s) + 2 * s->now.sender.smtputf8][(s->user.len > 0) + 2 * s->secured];
}
