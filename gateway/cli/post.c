// SPDX-License-Identifier: MIT
#include "cli/post.h"

#include "net/conn.h"
#include "net/loop.h"
#include "net/tls.h"

enum { INPUT_MAX = 64 * 1024, PIECE = 64 * 1024, AHEAD = 256 * 1024, FAREWELL_MS = 1000 };

struct post {
    const struct post_options *o;
    struct client_options options;
    struct loop *loop;
    struct tls_context *tls;
    struct conn *conn;
    struct client *client;
    size_t address; // under way
    bool opened, lost, driving;
    const struct client_message *message; // under way
    struct bytes content;                 // what of it is still to be given
    struct buf said[2];                   // lines not yet whole: ours, theirs
    bool secret;                          // our next line answers a challenge of AUTH
    enum post_end end;
    struct reply *why;
    enum client_stage *stage;
    struct err *err;
};

// ---- the dialogue, for people -------------------------------------------------------------------

// What a login says is nobody's to read over a shoulder.
static void show_ours(struct post *p, struct bytes line) {
    struct buf masked = {0};
    struct bytes rest = line;
    if (p->secret) {
        buf_addz(&masked, "****");
    } else if (bytes_equal_nocase(bytes_cut(&rest, ' '), BYTES("AUTH"))) {
        struct bytes mechanism = bytes_cut(&rest, ' ');
        buf_format(&masked, "AUTH %.*s%s", BYTES_FMT(mechanism), rest.len ? " ****" : "");
    }
    p->o->line(p->o->arg, 'C', masked.len ? buf_bytes(&masked) : line);
    buf_release(&masked);
    p->secret = false;
}

static void show(struct post *p, bool theirs, struct bytes bytes) {
    struct buf *said = &p->said[theirs];
    if (!p->o->line) return;
    buf_add(said, bytes);
    ptrdiff_t end;
    while ((end = bytes_find(buf_bytes(said), '\n')) >= 0) {
        struct bytes line = bytes_trim(bytes_first(buf_bytes(said), (size_t)end));
        if (!theirs)
            show_ours(p, line);
        else
            p->o->line(p->o->arg, 'S', line);
        if (theirs) p->secret = bytes_starts(line, BYTES("334"));
        buf_drop(said, (size_t)end + 1);
    }
}

// ---- connecting ---------------------------------------------------------------------------------

static void drive(struct post *p);
static void on_opened(void *arg);
static void on_readable(void *arg) {
    drive(arg);
}
static void on_drained(void *arg) {
    drive(arg);
}
static void on_secured(void *arg);
static void on_closed(void *arg, enum conn_end how, const struct err *why);
static const struct conn_events events = {.opened = on_opened,
                                          .readable = on_readable,
                                          .drained = on_drained,
                                          .secured = on_secured,
                                          .closed = on_closed};

static void dial(struct post *p) {
    static const struct addr any;
    p->conn = conn_dial(p->loop, &any, &p->o->addresses[p->address], p->o->timeout_ms, INPUT_MAX, &events, p);
}

static void stop(struct post *p, enum post_end end) {
    p->end = end;
    loop_stop(p->loop);
}

static bool secure(struct post *p) {
    conn_deadline(p->conn, p->o->timeout_ms);
    struct tls_peer peer = {.host = p->o->host, .demand = p->o->insecure ? TLS_ANY : TLS_VERIFY};
    return conn_secure_client(p->conn, p->tls, &peer);
}

static void start(struct post *p, bool secured) {
    p->options = p->o->client;
    p->options.secured = secured;
    p->options.timeout_ms = p->o->timeout_ms;
    p->options.tls = p->o->tls == POST_TLS_STARTTLS ? CLIENT_TLS_MUST
                     : p->o->tls == POST_TLS_MAY    ? CLIENT_TLS_MAY
                                                    : CLIENT_TLS_NONE;
    p->client = client_new(&p->options);
    drive(p);
}

static void on_opened(void *arg) {
    struct post *p = arg;
    p->opened = true;
    if (p->o->tls == POST_TLS_IMPLICIT)
        secure(p);
    else
        start(p, false);
}

static void show_tls(struct post *p) {
    const struct tls_facts *facts = conn_tls_facts(p->conn);
    if (!facts || !p->o->line) return;
    struct buf line = {0};
    buf_format(&line, "%s %s, certificate of '%s' %s", facts->version, facts->cipher, facts->peer_name,
               facts->verified  ? "verified"
               : p->o->insecure ? "taken unverified"
                                : "not verified");
    p->o->line(p->o->arg, 'T', buf_bytes(&line));
    buf_release(&line);
}

static void on_secured(void *arg) {
    struct post *p = arg;
    show_tls(p);
    if (!p->client) {
        start(p, true);
        return;
    }
    client_secured(p->client);
    drive(p);
}

static void on_closed(void *arg, enum conn_end how, const struct err *why) {
    struct post *p = arg;
    const char *words = why && why->text[0] ? why->text : "the connection was lost";
    char text[ADDR_TEXT];
    if (!p->client) {
        addr_text(&p->o->addresses[p->address], text);
        if (how == CONN_TIMEOUT)
            err_set(p->err, "%s: no answer in time", text);
        else
            err_set(p->err, "%s%s", p->opened ? "TLS: " : "", words); // names the address itself
        conn_free(&p->conn);
        p->opened = false;
        if (++p->address < p->o->address_count) return dial(p);
        return stop(p, POST_UNREACHED);
    }
    struct reply lost =
        reply_make(451, "4.4.2", "%s", how == CONN_TIMEOUT ? "the server says nothing" : words);
    p->lost = true;
    client_lost(p->client, &lost);
    drive(p);
}

// ---- driving the machine ------------------------------------------------------------------------

static void write_output(struct post *p, bool dialogue) {
    struct buf *out = client_output(p->client);
    if (out->len && !p->lost) conn_write(p->conn, buf_bytes(out));
    if (dialogue) show(p, false, buf_bytes(out));
    buf_reset(out);
}

static void send_next(struct post *p) {
    p->message = p->o->next(p->o->arg, &p->content);
    if (p->message)
        client_send(p->client, p->message);
    else
        client_quit(p->client);
}

// False: enough waits to be sent; `drained` goes on.
static bool pour(struct post *p) {
    if (!p->lost && conn_unsent(p->conn) > AHEAD) return false;
    struct bytes piece = bytes_first(p->content, PIECE);
    client_body(p->client, piece);
    p->content = bytes_skip(p->content, piece.len);
    write_output(p, false);
    if (p->content.len) return true;
    client_body_end(p->client);
    write_output(p, false);
    if (p->o->line) p->o->line(p->o->arg, 'C', BYTES("(the message)"));
    return true;
}

static void closing(struct post *p) {
    const struct client_result *failure = client_failure(p->client);
    write_output(p, true);
    if (!p->lost) conn_finish(&p->conn, FAREWELL_MS);
    if (failure) {
        *p->why = failure->reply;
        *p->stage = failure->stage;
    }
    stop(p, failure ? POST_FAILED : POST_DONE);
}

// False: there is nothing more to do until something happens.
static bool obey(struct post *p, enum client_next next, const struct client_want *want) {
    struct reply refused = reply_make(451, "4.7.0", "the server spoke before TLS was there");
    switch (next) {
    case CLIENT_READ:
        write_output(p, true);
        if (!p->lost) conn_deadline(p->conn, want->timeout_ms ? want->timeout_ms : p->o->timeout_ms);
        return p->lost;
    case CLIENT_TLS:
        write_output(p, true);
        if (secure(p)) return false;
        client_lost(p->client, &refused);
        return true;
    case CLIENT_READY:
        send_next(p);
        return true;
    case CLIENT_BODY:
        write_output(p, true);
        return pour(p);
    case CLIENT_DONE:
        for (size_t i = 0; i < p->message->count; i++)
            p->o->result(p->o->arg, p->message, i, client_result(p->client, i));
        p->message = NULL;
        return true;
    case CLIENT_CLOSE:
        closing(p);
        return false;
    }
    return false;
}

static void drive(struct post *p) {
    if (!p->client || p->driving) return;
    p->driving = true;
    for (bool more = true; more;) {
        struct client_want want = {0};
        struct bytes input = p->conn ? conn_peek(p->conn) : BYTES("");
        struct bytes before = input;
        enum client_next next = client_next(p->client, &input, &want);
        show(p, true, bytes_first(before, before.len - input.len));
        if (p->conn) conn_take(p->conn, before.len - input.len);
        more = obey(p, next, &want);
    }
    p->driving = false;
}

enum post_end post_run(const struct post_options *o, struct reply *why, enum client_stage *stage,
                       struct err *err) {
    struct post p = {.o = o, .why = why, .stage = stage, .err = err, .end = POST_UNREACHED};
    p.loop = loop_new(err);
    p.tls = p.loop ? tls_client_new(NULL, err) : NULL;
    if (p.tls) {
        dial(&p);
        loop_run(p.loop);
    }
    if (p.conn) conn_free(&p.conn);
    if (p.client) client_free(&p.client);
    if (p.loop) loop_free(&p.loop);
    if (p.tls) tls_context_free(&p.tls);
    buf_release(&p.said[0]);
    buf_release(&p.said[1]);
    return p.end;
}
