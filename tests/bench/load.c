// SPDX-License-Identifier: MIT
// load: an SMTP load generator. Part of `make bench`.
//
//     load --to 127.0.0.1:2525 --connections 20 --seconds 3 --size 2048
//
// One thread, epoll. Every message carries "X-Token: RUN-NUMBER-MICROSECONDS" (hex), which the sink counts. A
// message is four steps (MAIL, RCPT, DATA, content), each waiting for its reply, unless --pipeline sends the
// first three together. The result is one JSON object on stdout. Latencies: from MAIL, and from the last byte
// of the content, to the last reply.
#include "kit.h"

#include <errno.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

enum { IN = 4096, HEAD = 1024, RETRY_US = 20000, PATIENCE_US = 30000000 };

struct options {
    struct endpoint to;
    size_t connections, size, recipients, domains;
    uint64_t messages;       // in all; 0: as many as fit in the time
    uint64_t per_connection; // then QUIT and connect again; 0: never
    double seconds, rate;    // rate 0: as fast as it goes
    double hold_s;           // no mail: connect, greet, stay that long
    size_t pending;          // connections being opened at a time
    bool pipeline, tls;
    const char *sender, *domain, *login; // login: base64 of PLAIN
    uint32_t run;
    uint64_t first; // the number of the first message: several loads as one run
};

enum state {
    CLOSED,
    CONNECTING,
    BANNER,
    HELLO,
    STARTTLS,
    SECURING,
    LOGIN,
    IDLE,
    MAIL,
    RCPT,
    DATA,
    CONTENT,
    QUIT
};

struct client {
    struct wire wire;
    enum state state;
    bool wants_write, failed; // failed: this message has been refused, what is under way is still heard
    bool queued;              // waits for the rate
    size_t asked;             // recipients answered
    uint64_t sent;            // in this session
    uint64_t number;          // of the message, in all
    int64_t retry_us, mail_us, end_us;
    char in[IN];
    size_t heard;
    char head[HEAD]; // commands, or the head of a message
    struct iovec out[3];
};

struct load {
    struct options o;
    int epoll;
    SSL_CTX *tls;
    struct client *clients;
    size_t opening, closed, held;
    char *body;
    size_t body_length;
    bool ending;
    uint64_t issued, accepted, temporary, permanent, lost, connects, connect_errors, unwelcome;
    int64_t started_us, next_us, finish_us;
    int64_t heard_us; // when anybody last said anything
    struct spread from_mail, from_end;
    size_t *waiting; // clients that wait for the rate, a ring
    size_t waiting_first, waiting_count;
};

static void watch(struct load *l, struct client *c, int operation, bool write) {
    c->wants_write = write;
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0u), .data.ptr = c};
    if (epoll_ctl(l->epoll, operation, c->wire.fd, &event) < 0) die("epoll: %s", strerror(errno));
}

static void leave(struct load *l, struct client *c) {
    if (c->state == CONNECTING) l->opening--;
    if (c->state >= MAIL && c->state <= CONTENT && !c->failed) l->lost++;
    if (c->state == IDLE && l->o.hold_s > 0) l->held--;
    wire_close(&c->wire);
    c->state = CLOSED;
    c->retry_us = now_us();
    memset(c->out, 0, sizeof c->out);
    l->closed++;
}

static void write_out(struct load *l, struct client *c) {
    enum wire_result result = wire_write(&c->wire, c->out, 3);
    if (result == WIRE_CLOSED) {
        leave(l, c);
        return;
    }
    if (result == WIRE_DONE && c->state == CONTENT && !c->end_us) c->end_us = now_us();
    if ((result == WIRE_WRITE) != c->wants_write) watch(l, c, EPOLL_CTL_MOD, result == WIRE_WRITE);
}

static void send_head(struct load *l, struct client *c, size_t length) {
    if (length >= HEAD) die("a command is too long");
    c->out[0] = (struct iovec){c->head, length};
    write_out(l, c);
}

static void command(struct load *l, struct client *c, enum state state, const char *text) {
    c->state = state;
    send_head(l, c, (size_t)snprintf(c->head, HEAD, "%s\r\n", text));
}

// ---- a message

static size_t put_recipient(const struct load *l, const struct client *c, char *at, size_t room) {
    char domain[64] = "";
    if (l->o.domains > 1) snprintf(domain, sizeof domain, "d%zu.", (size_t)(c->number % l->o.domains));
    return (size_t)snprintf(at, room, "RCPT TO:<r%zu@%s%s>\r\n", c->asked, domain, l->o.domain);
}

static void begin_message(struct load *l, struct client *c) {
    c->number = l->o.first + l->issued++;
    c->sent++;
    c->failed = false;
    c->asked = 0;
    c->mail_us = now_us();
    c->end_us = 0;
    c->state = MAIL;
    size_t n = (size_t)snprintf(c->head, HEAD, "MAIL FROM:<%s>\r\n", l->o.sender);
    if (l->o.pipeline) {
        for (size_t i = 0; i < l->o.recipients && n < HEAD; i++, c->asked++)
            n += put_recipient(l, c, c->head + n, HEAD - n);
        c->asked = 0;
        if (n < HEAD) n += (size_t)snprintf(c->head + n, HEAD - n, "DATA\r\n");
    }
    send_head(l, c, n);
}

static void send_content(struct load *l, struct client *c) {
    c->state = CONTENT;
    int n = snprintf(
        c->head, HEAD,
        "From: <%s>\r\nTo: <r0@%s>\r\nSubject: a message of the load generator\r\n"
        "Date: Thu, 01 Jan 2026 12:00:00 +0000\r\nMessage-ID: <%08x.%lx@load.example>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\nX-Token: %08x-%lx-%lx\r\n\r\n",
        l->o.sender, l->o.domain, l->o.run, c->number, l->o.run, c->number, (uint64_t)c->mail_us);
    size_t body = l->o.size > (size_t)n ? l->o.size - (size_t)n : 0;
    c->out[1] = (struct iovec){l->body + (l->body_length - 3 - body), body + 3}; // its tail ends with the dot
    send_head(l, c, (size_t)n);
}

static void next_message(struct load *l, struct client *c) {
    int64_t now = now_us();
    bool out_of_time = l->o.seconds > 0 && now - l->started_us >= (int64_t)(l->o.seconds * 1e6);
    if (l->ending || out_of_time || (l->o.messages && l->issued >= l->o.messages)) {
        l->ending = true;
        command(l, c, QUIT, "QUIT");
    } else if (l->o.per_connection && c->sent >= l->o.per_connection) {
        command(l, c, QUIT, "QUIT");
    } else if (l->o.hold_s > 0) {
        c->state = IDLE;
        l->held++;
    } else if (l->o.rate > 0 && now < l->next_us) {
        c->state = IDLE;
        if (c->queued) return; // from an earlier connection
        c->queued = true;
        l->waiting[(l->waiting_first + l->waiting_count++) % l->o.connections] = (size_t)(c - l->clients);
    } else {
        if (l->o.rate > 0) l->next_us += (int64_t)(1e6 / l->o.rate);
        begin_message(l, c);
    }
}

static void refused(struct load *l, struct client *c, int code) {
    if (c->failed) return;
    c->failed = true;
    if (code / 100 == 5)
        l->permanent++;
    else
        l->temporary++;
}

static void end_message(struct load *l, struct client *c, int code) {
    int64_t now = now_us();
    if (code / 100 == 2) {
        l->accepted++;
        spread_add(&l->from_mail, (uint64_t)(now - c->mail_us));
        spread_add(&l->from_end, (uint64_t)(now - (c->end_us ? c->end_us : now)));
    } else {
        refused(l, c, code);
    }
    l->finish_us = now;
    next_message(l, c);
}

// ---- replies

static void greet(struct load *l, struct client *c, const char *reply) {
    if (l->o.tls && !c->wire.ssl) {
        if (!strstr(reply, "STARTTLS")) die("no STARTTLS is offered");
        command(l, c, STARTTLS, "STARTTLS");
    } else if (l->o.login) {
        char text[512];
        snprintf(text, sizeof text, "AUTH PLAIN %s", l->o.login);
        command(l, c, LOGIN, text);
    } else {
        next_message(l, c);
    }
}

static void hear_mail(struct load *l, struct client *c, int code) {
    bool good = code / 100 == 2;
    if (!good) refused(l, c, code);
    if (good || l->o.pipeline) {
        c->state = RCPT;
        if (!l->o.pipeline) send_head(l, c, put_recipient(l, c, c->head, HEAD));
    } else {
        next_message(l, c);
    }
}

static void hear_rcpt(struct load *l, struct client *c, int code) {
    bool good = code / 100 == 2;
    if (!good) refused(l, c, code);
    if (!good && !l->o.pipeline) {
        command(l, c, HELLO, "RSET");
    } else if (++c->asked < l->o.recipients) {
        if (!l->o.pipeline) send_head(l, c, put_recipient(l, c, c->head, HEAD));
    } else {
        c->state = DATA;
        if (!l->o.pipeline) command(l, c, DATA, "DATA");
    }
}

static void hear_reply(struct load *l, struct client *c, int code, const char *text) {
    bool good = code / 100 == 2;
    switch (c->state) {
    case BANNER:
        if (good)
            command(l, c, HELLO, "EHLO load.example");
        else {
            l->unwelcome++;
            leave(l, c);
        }
        break;
    case HELLO:
        greet(l, c, text);
        break;
    case STARTTLS:
        c->state = SECURING;
        break;
    case LOGIN:
        if (!good) die("the login is refused: %d", code);
        next_message(l, c);
        break;
    case MAIL:
        hear_mail(l, c, code);
        break;
    case RCPT:
        hear_rcpt(l, c, code);
        break;
    case DATA:
        if (code == 354)
            send_content(l, c);
        else
            end_message(l, c, code);
        break;
    case CONTENT:
        end_message(l, c, code);
        break;
    default:
        leave(l, c); // IDLE: 421; QUIT: 221
    }
}

// Takes one whole reply off what was heard. Returns its length, 0 where none is whole.
static size_t find_reply(struct client *c, int *code) {
    size_t from = 0;
    for (;;) {
        char *end = memchr(c->in + from, '\n', c->heard - from);
        if (!end) return 0;
        size_t length = (size_t)(end - c->in) + 1 - from;
        bool last = length < 5 || c->in[from + 3] != '-';
        from += length;
        if (!last) continue;
        *code = atoi(c->in);
        *end = 0;
        return from;
    }
}

static void hear(struct load *l, struct client *c) {
    if (c->state == SECURING) {
        enum wire_result result = wire_secure(&c->wire, l->tls, false);
        if (result == WIRE_CLOSED) {
            l->connect_errors++;
            leave(l, c);
        }
        if (result == WIRE_DONE) command(l, c, HELLO, "EHLO load.example");
        return;
    }
    size_t got;
    enum wire_result result = wire_read(&c->wire, c->in + c->heard, IN - c->heard, &got);
    if (result == WIRE_CLOSED) leave(l, c);
    if (result != WIRE_DONE) return;
    c->heard += got;
    l->heard_us = now_us();
    int code;
    for (size_t length; c->state != CLOSED && (length = find_reply(c, &code));) {
        char text[IN];
        memcpy(text, c->in, length);
        memmove(c->in, c->in + length, c->heard - length);
        c->heard -= length;
        hear_reply(l, c, code, text);
    }
    if (c->state == SECURING)
        hear(l, c);
    else if (c->heard == IN)
        leave(l, c);
}

// ---- connections

static void open_client(struct load *l, struct client *c) {
    int fd = socket(l->o.to.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket: %s", strerror(errno));
    wire_quicken(fd);
    l->closed--;
    l->opening++;
    l->connects++;
    c->wire.fd = fd;
    c->state = CONNECTING;
    c->heard = 0;
    c->sent = 0;
    if (connect(fd, (struct sockaddr *)&l->o.to.address, l->o.to.length) < 0 && errno != EINPROGRESS) {
        l->connect_errors++;
        leave(l, c);
        c->retry_us += RETRY_US;
        return;
    }
    watch(l, c, EPOLL_CTL_ADD, true);
}

static void connected(struct load *l, struct client *c) {
    int fault = 0;
    getsockopt(c->wire.fd, SOL_SOCKET, SO_ERROR, &fault, &(socklen_t){sizeof fault});
    if (fault) {
        l->connect_errors++;
        leave(l, c);
        c->retry_us += RETRY_US;
        return;
    }
    l->opening--;
    c->state = BANNER;
    watch(l, c, EPOLL_CTL_MOD, false);
}

static void open_some(struct load *l) {
    int64_t now = now_us();
    if (l->o.messages && l->issued >= l->o.messages) l->ending = true;
    if (l->o.seconds > 0 && now - l->started_us >= (int64_t)(l->o.seconds * 1e6)) l->ending = true;
    for (size_t i = 0; i < l->o.connections && l->closed && !l->ending && l->opening < l->o.pending; i++)
        if (l->clients[i].state == CLOSED && l->clients[i].retry_us <= now) open_client(l, &l->clients[i]);
}

static void release_waiting(struct load *l) {
    while (l->waiting_count && (now_us() >= l->next_us || l->ending)) {
        struct client *c = &l->clients[l->waiting[l->waiting_first]];
        l->waiting_first = (l->waiting_first + 1) % l->o.connections;
        l->waiting_count--;
        c->queued = false;
        if (c->state == IDLE) next_message(l, c);
    }
}

static void release_held(struct load *l) {
    double passed = (double)(now_us() - l->started_us) / 1e6;
    if (l->o.hold_s <= 0 || l->ending || passed < l->o.hold_s) return;
    fprintf(stderr, "held %zu\n", l->held);
    l->ending = true;
    l->accepted = l->held;
    for (size_t i = 0; i < l->o.connections; i++)
        if (l->clients[i].state != CLOSED) leave(l, &l->clients[i]);
}

// A server that has fallen silent: what is under way counts as lost.
static void give_up(struct load *l) {
    fprintf(stderr, "not a word for %d s\n", (int)(PATIENCE_US / 1000000));
    l->ending = true;
    for (size_t i = 0; i < l->o.connections; i++)
        if (l->clients[i].state != CLOSED) leave(l, &l->clients[i]);
}

static bool turn(struct load *l) {
    struct epoll_event events[256];
    if (l->closed) open_some(l);
    if (l->closed == l->o.connections && l->ending) return false;
    int patience = l->closed ? 2 : l->o.rate > 0 && l->waiting_count ? 1 : 100;
    int n = epoll_wait(l->epoll, events, 256, patience);
    for (int i = 0; i < n; i++) {
        struct client *c = events[i].data.ptr;
        if (c->state == CONNECTING) {
            connected(l, c);
            continue;
        }
        if (c->state != CLOSED && events[i].events & EPOLLOUT) write_out(l, c);
        if (c->state != CLOSED && events[i].events & ~(unsigned)EPOLLOUT) hear(l, c);
    }
    if (l->waiting_count) release_waiting(l);
    release_held(l);
    if (l->o.hold_s <= 0 && now_us() - l->heard_us > PATIENCE_US) give_up(l);
    return true;
}

// ---- beginning and end

// Lines of text; now and then one begins with a dot, stuffed. Ends with the final dot's line.
static void make_body(struct load *l) {
    l->body_length = l->o.size + 3;
    l->body = malloc(l->body_length);
    if (!l->body) die("no memory");
    for (size_t i = 0; i < l->o.size; i++) {
        size_t back =
            l->o.size - 1 - i; // counted from the end, so that every tail of it ends with a whole line
        size_t column = 77 - back % 78;
        l->body[i] = column == 77 ? '\n' : column == 76 ? '\r' : (char)('a' + (i * 7 + back / 78) % 26);
        if (column < 2 && back / 78 % 16 == 3) l->body[i] = '.';
    }
    memcpy(l->body + l->o.size, ".\r\n", 3);
}

static void print_result(const struct load *l) {
    double seconds = (double)((l->finish_us ? l->finish_us : now_us()) - l->started_us) / 1e6;
    printf("{\"run\": %u, \"issued\": %lu, \"accepted\": %lu, \"temporary\": %lu, \"permanent\": %lu, "
           "\"lost\": %lu, "
           "\"connects\": %lu, \"connect_errors\": %lu, \"unwelcome\": %lu, \"started_us\": %ld, "
           "\"seconds\": %.3f, "
           "\"rate\": %.1f, \"cpu_s\": %.3f, ",
           l->o.run, l->issued, l->accepted, l->temporary, l->permanent, l->lost, l->connects,
           l->connect_errors, l->unwelcome, l->started_us, seconds, (double)l->accepted / seconds, cpu_s());
    spread_print(&l->from_mail, "mail_to_reply_us", stdout);
    fputs(", ", stdout);
    spread_print(&l->from_end, "end_to_reply_us", stdout);
    puts("}");
}

static const char *plain_login(const char *text) { // user:password
    const char *colon = strchr(text, ':');
    if (!colon) die("--login USER:PASSWORD");
    size_t user = (size_t)(colon - text), password = strlen(colon + 1);
    char raw[256], *coded = calloc(1, 400);
    if (user + password + 2 > sizeof raw || !coded) die("--login: too long");
    int n = snprintf(raw, sizeof raw, "%c%.*s%c%s", 0, (int)user, text, 0, colon + 1);
    EVP_EncodeBlock((unsigned char *)coded, (unsigned char *)raw, n);
    return coded;
}

enum {
    TO = 256,
    CONNECTIONS,
    MESSAGES,
    SECONDS,
    SIZE,
    RATE,
    PER_CONNECTION,
    RECIPIENTS,
    DOMAINS,
    DOMAIN_NAME,
    FROM,
    PENDING,
    PIPELINE,
    TLS,
    AUTH,
    HOLD,
    RUN,
    FIRST
};
static const struct option words[] = {{"to", 1, 0, TO},
                                      {"connections", 1, 0, CONNECTIONS},
                                      {"messages", 1, 0, MESSAGES},
                                      {"seconds", 1, 0, SECONDS},
                                      {"size", 1, 0, SIZE},
                                      {"rate", 1, 0, RATE},
                                      {"per-connection", 1, 0, PER_CONNECTION},
                                      {"recipients", 1, 0, RECIPIENTS},
                                      {"domains", 1, 0, DOMAINS},
                                      {"domain", 1, 0, DOMAIN_NAME},
                                      {"from", 1, 0, FROM},
                                      {"pending", 1, 0, PENDING},
                                      {"pipeline", 0, 0, PIPELINE},
                                      {"tls", 0, 0, TLS},
                                      {"login", 1, 0, AUTH},
                                      {"hold", 1, 0, HOLD},
                                      {"run", 1, 0, RUN},
                                      {"first", 1, 0, FIRST},
                                      {0, 0, 0, 0}};

static bool set_option(struct options *o, int word, const char *text) {
    switch (word) {
    case TO:
        o->to = endpoint_parse(text);
        return true;
    case CONNECTIONS:
        o->connections = (size_t)atol(text);
        return true;
    case MESSAGES:
        o->messages = (uint64_t)atol(text);
        return true;
    case SECONDS:
        o->seconds = atof(text);
        return true;
    case SIZE:
        o->size = (size_t)atol(text);
        return true;
    case RATE:
        o->rate = atof(text);
        return true;
    case PER_CONNECTION:
        o->per_connection = (uint64_t)atol(text);
        return true;
    case RECIPIENTS:
        o->recipients = (size_t)atol(text);
        return true;
    case DOMAINS:
        o->domains = (size_t)atol(text);
        return true;
    case DOMAIN_NAME:
        o->domain = text;
        return true;
    case FROM:
        o->sender = text;
        return true;
    case PENDING:
        o->pending = (size_t)atol(text);
        return true;
    case PIPELINE:
        o->pipeline = true;
        return true;
    case TLS:
        o->tls = true;
        return true;
    case AUTH:
        o->login = plain_login(text);
        return true;
    case HOLD:
        o->hold_s = atof(text);
        return true;
    case RUN:
        o->run = (uint32_t)atol(text);
        return true;
    case FIRST:
        o->first = (uint64_t)atol(text);
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv) {
    struct load *l = calloc(1, sizeof *l);
    if (!l) die("no memory");
    l->o = (struct options){.connections = 1,
                            .size = 2048,
                            .recipients = 1,
                            .domains = 1,
                            .pending = 16,
                            .per_connection = 50,
                            .sender = "sender@load.example",
                            .domain = "sink.example"};
    for (int c; (c = getopt_long(argc, argv, "", words, NULL)) != -1;)
        if (!set_option(&l->o, c, optarg)) return 64;
    if (!l->o.to.length || !l->o.connections || (!l->o.messages && l->o.seconds <= 0 && l->o.hold_s <= 0))
        die("load --to ADDRESS:PORT [--connections N] (--seconds S | --messages N | --hold S) [--size BYTES] "
            "[--rate R] ...");
    if (!l->o.run && getrandom(&l->o.run, sizeof l->o.run, 0) != sizeof l->o.run) die("no randomness");
    if (!l->o.run) l->o.run = 1; // 0 is the sink's "none yet"
    signal(SIGPIPE, SIG_IGN);
    if (l->o.tls && !(l->tls = SSL_CTX_new(TLS_client_method()))) die("TLS: no memory");
    if (l->tls) SSL_CTX_set_mode(l->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    make_body(l);
    l->clients = calloc(l->o.connections, sizeof *l->clients);
    l->waiting = calloc(l->o.connections, sizeof *l->waiting);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!l->clients || !l->waiting || l->epoll < 0) die("no memory");
    for (size_t i = 0; i < l->o.connections; i++)
        l->clients[i].wire.fd = -1;
    l->closed = l->o.connections;
    l->started_us = l->next_us = l->heard_us = now_us();
    while (turn(l))
        continue;
    print_result(l);
    return l->accepted ? 0 : 1;
}
