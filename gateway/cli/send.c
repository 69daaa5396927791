// SPDX-License-Identifier: MIT
// send: a small client, for trying things: one message, as often as is asked for, over one connection.

#include "base/clock.h"
#include "base/jsonl.h"
#include "base/utf8.h"
#include "cli/letter.h"
#include "cli/post.h"
#include "cli/show.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum { ADDRESSES = 8, RECIPIENTS = CALL_VALUES, CONTENT_MAX = 1 << 30 };

struct sending {
    const struct call *call;
    struct arena arena;
    struct post_options post;
    struct addr addresses[ADDRESSES];
    struct client_recipient recipients[RECIPIENTS];
    const char *to[RECIPIENTS], *headers[CALL_VALUES];
    struct client_message message;
    struct letter letter;
    struct buf file, content;
    bool whole; // --file: the content is sent as it is
    int64_t count, begun;
    int64_t accepted, refused, delayed; // recipients
    int64_t started_us;
};

// ---- what came of it ----------------------------------------------------------------------------

static void print_progress(const struct sending *s) {
    enum { WIDE = 30 };
    if (s->count < 2 || !isatty(STDERR_FILENO) || call_has(s->call, "verbose")) return;
    int64_t done = s->begun;
    int filled = (int)(done * WIDE / s->count);
    double seconds = (double)(clock_monotonic_us() - s->started_us) / 1e6;
    fprintf(stderr, "\r[%.*s%*s] %lld/%lld  %.0f/s ", filled, "##############################", WIDE - filled,
            "", (long long)done, (long long)s->count, seconds > 0 ? (double)done / seconds : 0);
    if (done == s->count) fprintf(stderr, "\n");
}

// "2.0.0 Ok: queued as 0065a4f81c008003": the id under which a Tidegate has it.
static struct bytes queue_id(const struct reply *r) {
    struct bytes text = bytes_of(r->text), mark = BYTES("queued as ");
    ptrdiff_t at = bytes_search(text, mark);
    if (at < 0) return BYTES("");
    text = bytes_skip(text, (size_t)at + mark.len);
    return bytes_trim(bytes_cut(&text, ' '));
}

static void print_json(const char *recipient, const struct client_result *r) {
    struct buf line = {0};
    struct jsonl j = jsonl_begin(&line);
    char status[REPLY_STATUS];
    jsonl_textz(&j, "recipient", recipient);
    jsonl_int(&j, "code", r->reply.code);
    jsonl_textz(&j, "status", r->reply.status[0] ? reply_status(&r->reply, status) : NULL);
    jsonl_textz(&j, "text", r->reply.text);
    jsonl_text(&j, "id", queue_id(&r->reply));
    jsonl_textz(&j, "stage", client_stage_name(r->stage));
    jsonl_bool(&j, "local", r->local);
    jsonl_end(&j);
    fwrite(line.at, 1, line.len, stdout);
    buf_release(&line);
}

static void print_result(const char *recipient, const struct client_result *r) {
    struct buf words = {0}, line = {0};
    reply_text(&r->reply, &words);
    show_clean(&line, bytes_of(recipient));
    buf_addz(&line, ": ");
    show_clean(&line, buf_bytes(&words));
    if (r->local) buf_addz(&line, " (not the server's words)");
    printf("%s\n", buf_z(&line));
    buf_release(&words);
    buf_release(&line);
}

static void on_result(void *arg, const struct client_message *m, size_t i, const struct client_result *r) {
    struct sending *s = arg;
    (void)m;
    if (reply_is_positive(&r->reply))
        s->accepted++;
    else if (reply_is_permanent(&r->reply))
        s->refused++;
    else
        s->delayed++;
    if (call_has(s->call, "json"))
        print_json(s->to[i], r);
    else if (s->count == 1 || !reply_is_positive(&r->reply))
        print_result(s->to[i], r);
}

static void on_line(void *arg, char who, struct bytes text) {
    (void)arg;
    struct buf line = {0};
    show_clean(&line, text);
    fprintf(stderr, "%s %s\n", who == 'C' ? "->" : who == 'S' ? "<-" : "==", buf_z(&line));
    buf_release(&line);
}

static const struct client_message *on_next(void *arg, struct bytes *content) {
    struct sending *s = arg;
    static const struct clock machine;
    if (s->begun) print_progress(s);
    if (s->begun == s->count) return NULL;
    s->begun++;
    if (!s->whole) {
        buf_reset(&s->content);
        letter_write(&s->letter, clock_ms(&machine), &s->content);
    }
    *content = buf_bytes(&s->content);
    s->message.size = content->len;
    s->message.has_8bit = letter_has_8bit(*content);
    return &s->message;
}

static int verdict(struct sending *s, enum post_end end, const struct reply *why, enum client_stage stage,
                   const struct err *err) {
    struct buf words = {0};
    if (s->count > 1 && !call_has(s->call, "json"))
        printf("%lld messages: %lld recipients accepted, %lld refused, %lld for now\n", (long long)s->begun,
               (long long)s->accepted, (long long)s->refused, (long long)s->delayed);
    if (end == POST_UNREACHED) return tool_fail(s->call, EX_UNAVAILABLE, "%s", err->text);
    int code = s->refused ? EX_DATAERR : s->delayed ? EX_TEMPFAIL : EX_OK;
    if (end == POST_FAILED && (s->accepted + s->refused + s->delayed == 0 || s->begun < s->count)) {
        reply_text(why, &words);
        code = stage == STAGE_AUTH && reply_is_permanent(why) ? EX_NOPERM
               : reply_is_permanent(why)                      ? EX_DATAERR
                                                              : EX_TEMPFAIL;
        tool_fail(s->call, code, "%s: %s", client_stage_name(stage), buf_z(&words));
        buf_release(&words);
    }
    return code;
}

// ---- where to -----------------------------------------------------------------------------------

static bool resolve(struct sending *s, const char *host, const char *port, int *code) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int fault = getaddrinfo(host, port, &hints, &found);
    if (fault) {
        *code = tool_fail(s->call, EX_UNAVAILABLE, "%s: %s", host, gai_strerror(fault));
        return false;
    }
    for (struct addrinfo *a = found; a && s->post.address_count < ADDRESSES; a = a->ai_next) {
        struct addr *addr = &s->addresses[s->post.address_count++];
        memcpy(&addr->sa, a->ai_addr, a->ai_addrlen);
        addr->len = a->ai_addrlen;
    }
    freeaddrinfo(found);
    return true;
}

// "host", "host:port", "[::1]:port", "unix:/path".
static bool parse_server(struct sending *s, const char *text, int *code) {
    struct bytes all = bytes_of(text), host = all, port = BYTES("");
    if (bytes_starts(all, BYTES("unix:"))) {
        struct err err;
        s->post.host = "localhost";
        s->post.address_count = 1;
        if (addr_parse(all, &s->addresses[0], &err)) return true;
        *code = tool_fail(s->call, EX_USAGE, "%s", err.text);
        return false;
    }
    ptrdiff_t colon = bytes_find_last(all, ':'), bracket = bytes_find_last(all, ']');
    if (colon > bracket && (bracket >= 0 || bytes_find(all, ':') == colon)) {
        host = bytes_first(all, (size_t)colon);
        port = bytes_skip(all, (size_t)colon + 1);
    }
    if (host.len > 2 && host.at[0] == '[') host = bytes_range(host.at + 1, host.len - 2);
    s->post.host = arena_z(&s->arena, host);
    return resolve(s, s->post.host, port.len ? arena_z(&s->arena, port) : "587", code);
}

static const struct conf_listener *find_listener(const struct conf *conf) {
    for (size_t i = 0; i < conf->listener_count; i++)
        if (conf->listeners[i].kind == LISTENER_SUBMISSION) return &conf->listeners[i];
    for (size_t i = 0; i < conf->listener_count; i++)
        if (conf->listeners[i].kind != LISTENER_LMTP) return &conf->listeners[i];
    return NULL;
}

// The configuration's first submission listener; one that listens on all addresses is reached by loopback.
static bool default_server(struct sending *s, int *code) {
    struct conf *conf = tool_conf(s->call, code);
    if (!conf) return false;
    const struct conf_listener *l = find_listener(conf);
    char text[ADDR_TEXT], ip[ADDR_TEXT];
    if (l) {
        addr_ip_text(&l->address, ip);
        addr_text(&l->address, text);
        if (strcmp(ip, "0.0.0.0") == 0) snprintf(text, sizeof text, "127.0.0.1:%u", addr_port(&l->address));
        if (strcmp(ip, "::") == 0) snprintf(text, sizeof text, "[::1]:%u", addr_port(&l->address));
        if (l->kind == LISTENER_SUBMISSIONS) s->post.tls = POST_TLS_IMPLICIT;
    }
    conf_free(&conf);
    if (!l)
        *code = tool_fail(s->call, EX_CONFIG,
                          "the configuration has no listener to send to (say --server HOST:PORT)");
    return l && parse_server(s, text, code);
}

static bool set_server(struct sending *s, int *code) {
    const struct call *call = s->call;
    const char *tls = call_text(call, "tls");
    s->post.tls = POST_TLS_MAY;
    bool good =
        call_has(call, "server") ? parse_server(s, call_text(call, "server"), code) : default_server(s, code);
    if (!good) return false;
    s->post.addresses = s->addresses;
    int port = addr_port(&s->addresses[0]);
    if (port == 465 || port == 2465) s->post.tls = POST_TLS_IMPLICIT;
    if (s->post.tls == POST_TLS_MAY && call_has(call, "user")) s->post.tls = POST_TLS_STARTTLS;
    if (tls && strcmp(tls, "none") == 0) s->post.tls = POST_TLS_NONE;
    if (tls && strcmp(tls, "starttls") == 0) s->post.tls = POST_TLS_STARTTLS;
    if (tls && strcmp(tls, "implicit") == 0) s->post.tls = POST_TLS_IMPLICIT;
    bool here = addr_family(&s->addresses[0]) == AF_UNIX || addr_is_loopback(&s->addresses[0]);
    s->post.insecure = call_has(call, "insecure") || here;
    s->post.timeout_ms = (int)call_number(call, "timeout", 60) * 1000;
    return true;
}

// ---- who, and what ------------------------------------------------------------------------------

static bool set_login(struct sending *s, int *code) {
    const char *user = call_text(s->call, "user"), *password = call_text(s->call, "password");
    if (!user) return true;
    if (!password) password = getenv("TIDEGATE_PASSWORD");
    struct buf asked = {0};
    if (!password && tool_ask_password("Password: ", &asked))
        password = arena_z(&s->arena, buf_bytes(&asked));
    buf_release(&asked);
    if (!password) {
        *code = tool_fail(s->call, EX_USAGE, "no password: say --password, or set TIDEGATE_PASSWORD");
        return false;
    }
    s->post.client.login = LOGIN_PASSWORD;
    s->post.client.user = user;
    s->post.client.secret = password;
    s->post.client.login_plaintext_ok = s->post.tls == POST_TLS_NONE; // said in so many words
    return true;
}

static const char *default_sender(struct sending *s) {
    const char *user = call_text(s->call, "user");
    if (user && strchr(user, '@')) return user;
    const char *name = user ? user : getenv("USER");
    return arena_format(&s->arena, "%s@%s", name && name[0] ? name : "nobody", s->letter.host).at;
}

static bool set_envelope(struct sending *s, int *code) {
    char host[256] = "localhost";
    const char *to;
    if (gethostname(host, sizeof host - 1) != 0) strcpy(host, "localhost");
    s->letter.host = s->post.client.helo = arena_z(&s->arena, bytes_of(host));
    const char *from = call_has(s->call, "from") ? call_text(s->call, "from") : default_sender(s);
    if (strcmp(from, "<>") == 0) from = "";
    bool ascii = utf8_is_ascii(bytes_of(from));
    for (int i = 0; (to = call_nth(s->call, "to", i)); i++) {
        if (strpbrk(to, "\r\n") || strpbrk(from, "\r\n")) {
            *code = tool_fail(s->call, EX_USAGE, "an address is one line");
            return false;
        }
        s->to[i] = to;
        s->recipients[i].address = bytes_of(to);
        s->message.count = s->letter.to_count = (size_t)i + 1;
        ascii = ascii && utf8_is_ascii(bytes_of(to));
    }
    s->message.sender = bytes_of(from);
    s->message.recipients = s->recipients;
    s->message.smtputf8 = !ascii;
    s->letter.from = from;
    s->letter.to = s->to;
    if (s->message.count == 0) *code = tool_fail(s->call, EX_USAGE, "to whom? say --to ADDRESS");
    return s->message.count > 0;
}

static bool read_all(struct sending *s, const char *path, int *code) {
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0 && s->file.len < CONTENT_MAX) {
        buf_reserve(&s->file, 65536);
        n = read(fd, s->file.at + s->file.len, 65536);
        if (n > 0)
            s->file.len += (size_t)n;
        else if (n < 0 && errno == EINTR)
            n = 1;
    }
    if (n < 0)
        *code = tool_fail(s->call, EX_NOINPUT, "%s: %s", path, strerror(errno));
    else if (n > 0)
        *code = tool_fail(s->call, EX_DATAERR, "%s: over 1 GiB is no message", path);
    if (fd >= 0) close(fd);
    return n == 0;
}

static bool set_content(struct sending *s, int *code) {
    const struct call *call = s->call;
    struct err err;
    if (call_has(call, "file")) {
        s->whole = true;
        if (!read_all(s, call_text(call, "file"), code)) return false;
        letter_lines(buf_bytes(&s->file), &s->content);
        return true;
    }
    const char *header;
    for (int i = 0; (header = call_nth(call, "header", i)); i++) {
        if (!letter_check_header(header, &err)) {
            *code = tool_fail(call, EX_USAGE, "%s", err.text);
            return false;
        }
        s->headers[s->letter.header_count++] = header;
    }
    s->letter.headers = s->headers;
    const char *subject = call_text(call, "subject");
    if (subject && strpbrk(subject, "\r\n")) {
        *code = tool_fail(call, EX_USAGE, "a subject is one line");
        return false;
    }
    s->letter.subject = subject ? subject : arena_format(&s->arena, "a test from %s", s->letter.host).at;
    if (call_has(call, "body"))
        s->letter.body = bytes_of(call_text(call, "body"));
    else if (isatty(STDIN_FILENO))
        s->letter.body = BYTES("The tide is out.\n");
    else if (!read_all(s, "-", code))
        return false;
    else
        s->letter.body = s->file.len ? buf_bytes(&s->file) : BYTES("The tide is out.\n");
    return true;
}

int verb_send(const struct call *call) {
    struct sending *s = must_alloc(sizeof *s);
    int code = EX_OK;
    s->call = call;
    s->count = call_number(call, "count", 1);
    s->post.client.lmtp = call_has(call, "lmtp");
    s->post.line = call_has(call, "verbose") ? on_line : NULL;
    s->post.next = on_next;
    s->post.result = on_result;
    s->post.arg = s;
    if (set_envelope(s, &code) && set_content(s, &code) && set_server(s, &code) && set_login(s, &code)) {
        struct reply why = {0};
        enum client_stage stage = STAGE_CONNECT;
        struct err err = {{0}};
        s->started_us = clock_monotonic_us();
        enum post_end end = post_run(&s->post, &why, &stage, &err);
        code = verdict(s, end, &why, stage, &err);
    }
    buf_release(&s->file);
    buf_release(&s->content);
    arena_release(&s->arena);
    free(s);
    return code;
}
