// SPDX-License-Identifier: MIT
// sink: an SMTP server that counts what arrives and keeps none of it. Part of `make bench`.
//
//     sink --listen 127.0.0.1:2526 [--listen ...] [--defer PERCENT] [--delay MS] [--refuse] [--certificate
//     FILE --key FILE]
//
// One thread, epoll. Content is looked through with memmem for its end and for the token of the load
// generator
// ("X-Token: RUN-NUMBER-MICROSECONDS", hex), which shows every message that came twice or never, and how long
// it took. XSTAT answers the counts as JSON, XZERO forgets them; both go to stdout, too, when SIGTERM ends
// it.
#include "kit.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    CARRY = 2048,
    OUT = 4096,
    LOOK = 65536,
    LOOK_SIGNED = 4096,
    TOKENS_MAX = 1 << 26,
    LISTENERS = 16,
    PAST = 64
};
static const char TOKEN[] = "\nX-Token: ", SIGNATURE[] = "\nDKIM-Signature:";

struct token {
    unsigned long run, number;
    int64_t sent_us;
};

enum state { COMMAND, CONTENT, SECURING };

struct peer {
    struct wire wire;
    enum state state;
    bool broken, quitting, has_mail, wants_write;
    bool has_token, is_signed;
    struct token token;
    bool delayed; // a reply has to wait, and what follows with it
    int recipients;
    size_t looked;     // content looked through for the token so far
    char carry[CARRY]; // the beginning of what is not whole yet
    size_t carried;
    char out[OUT];
    size_t said;
    struct peer *next_broken;
};

struct delay {
    struct peer *peer; // NULL: it is gone
    int64_t due_us;
};

struct counts {
    uint64_t messages, recipients, deferred, tokens, duplicates, no_token, bytes, connects;
    uint64_t is_signed, stale; // stale: of a generator from before XZERO, not counted otherwise
    int64_t first_us, last_us;
    struct spread transit; // from the generator's first byte to the sink's last
};

struct sink {
    int epoll, signals, listeners[LISTENERS], listener_count;
    SSL_CTX *tls;
    bool refuse;
    double defer;
    double defer_debt; // one message is deferred when it reaches 1: an even spread, the same in every run
    int64_t delay_us;
    struct delay *delays; // a ring: all delays are equally long
    size_t delay_first, delay_count, delay_room;
    struct peer *broken;
    size_t open;
    unsigned long run, past[PAST]; // past: the runs before XZERO, a ring
    size_t past_count;
    uint8_t *seen; // by token number: times it came
    struct counts counts;
    char read[1 << 18]; // what was carried, then what has just been read
};

// ---- counting

static void note_token(struct sink *s, const struct token *t) {
    if (t->run != s->run) { // a new generator: its numbers begin anew
        s->run = t->run;
        free(s->seen);
        s->seen = calloc(TOKENS_MAX, 1);
        if (!s->seen) die("no memory");
    }
    if (s->seen[t->number]++)
        s->counts.duplicates++;
    else
        s->counts.tokens++;
    int64_t took = now_us() - t->sent_us;
    spread_add(&s->counts.transit, took > 0 ? (uint64_t)took : 0);
}

static bool is_past(const struct sink *s, const struct peer *p) {
    for (size_t i = 0; p->has_token && i < PAST && i < s->past_count; i++)
        if (s->past[i] == p->token.run) return true;
    return false;
}

static void zero(struct sink *s) {
    memset(&s->counts, 0, sizeof s->counts);
    if (s->run) s->past[s->past_count++ % PAST] = s->run;
    s->run = 0;
}

static void print_counts(const struct sink *s, FILE *to) {
    const struct counts *c = &s->counts;
    fprintf(
        to,
        "{\"messages\": %lu, \"recipients\": %lu, \"deferred\": %lu, \"tokens\": %lu, \"duplicates\": %lu, "
        "\"no_token\": %lu, \"signed\": %lu, \"stale\": %lu, \"bytes\": %lu, \"connects\": %lu, \"open\": "
        "%zu, \"first_us\": %ld, "
        "\"last_us\": %ld, "
        "\"cpu_s\": %.3f, ",
        c->messages, c->recipients, c->deferred, c->tokens, c->duplicates, c->no_token, c->is_signed,
        c->stale, c->bytes, c->connects, s->open, c->first_us, c->last_us, cpu_s());
    spread_print(&c->transit, "transit_us", to);
    fputc('}', to);
}

// ---- a peer

static void watch(struct sink *s, struct peer *p, int operation, bool write) {
    p->wants_write = write;
    struct epoll_event event = {.events = (p->delayed ? 0u : EPOLLIN) | (write ? EPOLLOUT : 0u),
                                .data.ptr = p};
    if (epoll_ctl(s->epoll, operation, p->wire.fd, &event) < 0) die("epoll: %s", strerror(errno));
}

// It is freed when all events of this turn are done: one of them may still name it.
static void break_off(struct sink *s, struct peer *p) {
    if (p->broken) return;
    p->broken = true;
    wire_close(&p->wire);
    for (size_t i = 0; i < s->delay_count && p->delayed; i++) {
        struct delay *d = &s->delays[(s->delay_first + i) % s->delay_room];
        if (d->peer == p) d->peer = NULL;
    }
    p->next_broken = s->broken;
    s->broken = p;
    s->open--;
}

static void say(struct sink *s, struct peer *p, const char *text) {
    size_t n = strlen(text);
    if (p->said + n > OUT) break_off(s, p); // it sends commands and does not read: no mail server does that
    if (p->broken) return;
    memcpy(p->out + p->said, text, n);
    p->said += n;
}

static void flush(struct sink *s, struct peer *p) {
    if (p->broken || !p->said) return;
    struct iovec part = {p->out, p->said};
    enum wire_result result = wire_write(&p->wire, &part, 1);
    memmove(p->out, part.iov_base, part.iov_len);
    p->said = part.iov_len;
    if (result == WIRE_CLOSED || (result == WIRE_DONE && p->quitting))
        break_off(s, p);
    else if ((result == WIRE_WRITE) != p->wants_write)
        watch(s, p, EPOLL_CTL_MOD, result == WIRE_WRITE);
}

static void take_message(struct sink *s, struct peer *p) {
    struct counts *c = &s->counts;
    p->has_mail = false;
    if (is_past(s, p)) {
        c->stale++;
        say(s, p, "250 2.0.0 taken\r\n");
        return;
    }
    c->last_us = now_us();
    if (!c->first_us) c->first_us = c->last_us;
    s->defer_debt += s->defer;
    if (s->defer_debt >= 1) {
        s->defer_debt -= 1;
        c->deferred++;
        say(s, p, "450 4.3.2 not this time\r\n");
        return;
    }
    c->messages++;
    if (p->has_token)
        note_token(s, &p->token);
    else
        c->no_token++;
    c->recipients += (uint64_t)p->recipients;
    c->is_signed += p->is_signed;
    if (s->delay_us) {
        if (s->delay_count == s->delay_room) die("more than %zu delayed replies", s->delay_room);
        s->delays[(s->delay_first + s->delay_count++) % s->delay_room] =
            (struct delay){p, now_us() + s->delay_us};
        p->delayed = true;
        watch(s, p, EPOLL_CTL_MOD, p->wants_write);
    } else {
        say(s, p, "250 2.0.0 taken\r\n");
    }
}

static void say_hello(struct sink *s, struct peer *p) {
    say(s, p, "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 104857600\r\n");
    if (s->tls && !p->wire.ssl) say(s, p, "250-STARTTLS\r\n");
    say(s, p, "250 ENHANCEDSTATUSCODES\r\n");
}

static void say_counts(struct sink *s, struct peer *p) {
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory) die("no memory");
    fputs("250 ", memory);
    print_counts(s, memory);
    fputs("\r\n", memory);
    fclose(memory);
    say(s, p, text);
    free(text);
}

static bool is_verb(const char *line, const char *verb) {
    return strncasecmp(line, verb, strlen(verb)) == 0;
}

static void obey(struct sink *s, struct peer *p, const char *line) {
    if (is_verb(line, "MAIL")) {
        p->has_mail = true;
        p->recipients = 0;
        say(s, p, "250 2.1.0 ok\r\n");
    } else if (is_verb(line, "RCPT")) {
        p->recipients += p->has_mail;
        say(s, p, p->has_mail ? "250 2.1.5 ok\r\n" : "503 5.5.1 MAIL first\r\n");
    } else if (is_verb(line, "DATA")) {
        bool ready = p->has_mail && p->recipients;
        say(s, p, ready ? "354 go on\r\n" : "503 5.5.1 RCPT first\r\n");
        if (ready) p->state = CONTENT;
        p->has_token = p->is_signed = false;
        p->looked = 0;
    } else if (is_verb(line, "EHLO") || is_verb(line, "HELO")) {
        say_hello(s, p);
    } else if (is_verb(line, "RSET") || is_verb(line, "NOOP")) {
        if (is_verb(line, "RSET")) p->has_mail = false;
        say(s, p, "250 2.0.0 ok\r\n");
    } else if (is_verb(line, "QUIT")) {
        say(s, p, "221 2.0.0 bye\r\n");
        p->quitting = true;
    } else if (is_verb(line, "STARTTLS") && s->tls && !p->wire.ssl) {
        say(s, p, "220 2.0.0 go on\r\n");
        p->state = SECURING;
    } else if (is_verb(line, "XSTAT")) {
        say_counts(s, p);
    } else if (is_verb(line, "XZERO")) {
        zero(s);
        say(s, p, "250 2.0.0 zero\r\n");
    } else {
        say(s, p, "500 5.5.2 what?\r\n");
    }
}

// Content from its line end before the first byte on: "\r\n.\r\n" ends an empty one as well. Returns what it
// consumed.
static size_t take_content(struct sink *s, struct peer *p, const char *at, size_t length) {
    const char *end = memmem(at, length, "\r\n.\r\n", 5);
    size_t have = end ? (size_t)(end - at) + 2 : length;
    if (!p->has_token && p->looked < LOOK) {
        const char *token = memmem(at, have, TOKEN, sizeof TOKEN - 1);
        if (token && memchr(token + 1, '\n', have - (size_t)(token + 1 - at)))
            p->has_token = sscanf(token + sizeof TOKEN - 1, "%lx-%lx-%lx", &p->token.run, &p->token.number,
                                  (unsigned long *)&p->token.sent_us) == 3 &&
                           p->token.number < TOKENS_MAX;
    }
    if (!p->is_signed && p->looked < LOOK_SIGNED)
        p->is_signed =
            memmem(at, have < LOOK_SIGNED ? have : LOOK_SIGNED, SIGNATURE, sizeof SIGNATURE - 1) != NULL;
    // What is left for the next read: the beginning of an end, or of a line that may be the token's.
    size_t keep = 4;
    if (!p->has_token && p->looked < LOOK) {
        const char *line = memrchr(at, '\n', length);
        if (line && length - (size_t)(line - at) < CARRY) keep = length - (size_t)(line - at) + 1;
        if (keep < 4) keep = 4;
    }
    size_t used = end ? have + 3 : length > keep ? length - keep : 0;
    p->looked += used;
    s->counts.bytes += used;
    if (!end) return used;
    p->state = COMMAND;
    take_message(s, p);
    return used;
}

// Obeys what is whole and carries the rest.
static void take(struct sink *s, struct peer *p, char *at, size_t length) {
    while (length && !p->broken && p->state != SECURING && !p->quitting && !p->delayed) {
        size_t used = 0;
        if (p->state == CONTENT) {
            used = take_content(s, p, at, length);
            if (!used || p->state == CONTENT) {
                at += used;
                length -= used;
                break;
            }
        } else {
            char *end = memchr(at, '\n', length);
            if (!end) break;
            used = (size_t)(end - at) + 1;
            *end = 0;
            obey(s, p, at);
            *end = '\n';
            if (p->state == CONTENT) { // its line end begins the content
                if (used < 2 || at[used - 2] != '\r') break_off(s, p);
                used -= 2;
            }
        }
        at += used;
        length -= used;
    }
    if (length > CARRY) break_off(s, p);
    if (p->broken) return;
    memcpy(p->carry, at, length);
    p->carried = p->state == SECURING ? 0 : length;
}

static void hear(struct sink *s, struct peer *p) {
    for (int i = 0; i < 8 && !p->broken; i++) { // others want their turn, too
        if (p->state == SECURING) {
            enum wire_result result = wire_secure(&p->wire, s->tls, true);
            if (result == WIRE_CLOSED) break_off(s, p);
            if (result != WIRE_DONE) return;
            p->state = COMMAND;
        }
        size_t got;
        memcpy(s->read, p->carry, p->carried);
        enum wire_result result =
            wire_read(&p->wire, s->read + p->carried, sizeof s->read - p->carried, &got);
        if (result == WIRE_CLOSED) break_off(s, p);
        if (result != WIRE_DONE) break;
        bool whole = p->carried + got < sizeof s->read && !p->wire.ssl;
        take(s, p, s->read, p->carried + got);
        if (p->state == SECURING)
            flush(s, p); // the reply goes out before the handshake
        else if (whole)
            break; // a short read: there is no more
    }
    flush(s, p);
}

// ---- the loop

static void accept_all(struct sink *s, int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct peer *p = calloc(1, sizeof *p);
        if (!p) die("no memory");
        p->wire.fd = fd;
        wire_quicken(fd);
        s->open++;
        s->counts.connects++;
        watch(s, p, EPOLL_CTL_ADD, false);
        say(s, p, s->refuse ? "554 5.3.2 no service here\r\n" : "220 sink.example ESMTP\r\n");
        p->quitting = s->refuse;
        flush(s, p);
    }
}

static void say_delayed(struct sink *s) {
    int64_t now = now_us();
    while (s->delay_count && s->delays[s->delay_first].due_us <= now) {
        struct peer *p = s->delays[s->delay_first].peer;
        s->delay_first = (s->delay_first + 1) % s->delay_room;
        s->delay_count--;
        if (!p) continue;
        p->delayed = false;
        watch(s, p, EPOLL_CTL_MOD, p->wants_write);
        say(s, p, "250 2.0.0 taken\r\n");
        memcpy(s->read, p->carry, p->carried);
        take(s, p, s->read, p->carried);
        flush(s, p);
    }
}

static int patience_ms(const struct sink *s) {
    if (!s->delay_count) return -1;
    int64_t left = s->delays[s->delay_first].due_us - now_us();
    return left > 0 ? (int)(left / 1000) + 1 : 0;
}

static void bury(struct sink *s) {
    while (s->broken) {
        struct peer *p = s->broken;
        s->broken = p->next_broken;
        free(p);
    }
}

static bool turn(struct sink *s) {
    struct epoll_event events[256];
    int n = epoll_wait(s->epoll, events, 256, patience_ms(s));
    bool go_on = true;
    for (int i = 0; i < n; i++) {
        int *listener = events[i].data.ptr;
        struct peer *p = events[i].data.ptr;
        if (listener >= s->listeners && listener < s->listeners + LISTENERS) {
            accept_all(s, *listener);
        } else if (listener == &s->signals) {
            go_on = false;
        } else if (!p->broken) {
            if (events[i].events & EPOLLOUT) flush(s, p);
            hear(s, p);
        }
    }
    say_delayed(s);
    bury(s);
    return go_on;
}

static void listen_at(struct sink *s, const char *text) {
    struct endpoint e = endpoint_parse(text);
    int fd = socket(e.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listener_count == LISTENERS) die("too many listeners");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd < 0 || bind(fd, (struct sockaddr *)&e.address, e.length) < 0 || listen(fd, 4096) < 0)
        die("%s: %s", text, strerror(errno));
    int *slot = &s->listeners[s->listener_count++];
    *slot = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = slot};
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll: %s", strerror(errno));
}

static void take_signals(struct sink *s) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &s->signals};
    if (s->signals < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->signals, &event) < 0) die("signals");
}

static void take_certificate(struct sink *s, const char *certificate, const char *key) {
    s->tls = SSL_CTX_new(TLS_server_method());
    if (!s->tls || SSL_CTX_use_certificate_chain_file(s->tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(s->tls, key, SSL_FILETYPE_PEM) != 1)
        die("cannot use %s with %s", certificate, key);
    SSL_CTX_set_mode(s->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"listen", 1, 0, 'l'},      {"defer", 1, 0, 'd'}, {"delay", 1, 0, 'w'}, {"refuse", 0, 0, 'r'},
        {"certificate", 1, 0, 'c'}, {"key", 1, 0, 'k'},   {0, 0, 0, 0}};
    struct sink *s = calloc(1, sizeof *s);
    const char *certificate = NULL, *key = NULL;
    if (!s) die("no memory");
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->delay_room = 1 << 16;
    s->delays = calloc(s->delay_room, sizeof *s->delays);
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (c) {
        case 'l':
            listen_at(s, optarg);
            break;
        case 'd':
            s->defer = atof(optarg) / 100;
            break;
        case 'w':
            s->delay_us = atol(optarg) * 1000;
            break;
        case 'r':
            s->refuse = true;
            break;
        case 'c':
            certificate = optarg;
            break;
        case 'k':
            key = optarg;
            break;
        default:
            return 64;
        }
    if (!s->listener_count)
        die("sink --listen ADDRESS:PORT [--defer PERCENT] [--delay MS] [--refuse] [--certificate F --key F]");
    if (certificate && key) take_certificate(s, certificate, key);
    take_signals(s);
    while (turn(s))
        continue;
    print_counts(s, stdout);
    putchar('\n');
    return 0;
}
