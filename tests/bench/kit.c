// SPDX-License-Identifier: MIT
#include "kit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

double cpu_s(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(2);
}

void spread_add(struct spread *s, uint64_t value) {
    size_t at = value;
    if (value >= SPREAD_STEPS) {
        int shift = 63 - __builtin_clzll(value) - 5;
        at = (size_t)(shift + 1) * SPREAD_STEPS + (value >> shift) % SPREAD_STEPS;
    }
    s->buckets[at < SPREAD_BUCKETS ? at : SPREAD_BUCKETS - 1]++;
    s->count++;
    s->sum += value;
    if (value > s->max) s->max = value;
}

uint64_t spread_at(const struct spread *s, double share) {
    uint64_t wanted = (uint64_t)(share * (double)s->count), seen = 0;
    for (size_t at = 0; at < SPREAD_BUCKETS; at++) {
        seen += s->buckets[at];
        if (seen <= wanted) continue;
        if (at < SPREAD_STEPS) return at;
        size_t shift = at / SPREAD_STEPS - 1;
        return (uint64_t)(SPREAD_STEPS + at % SPREAD_STEPS) << shift;
    }
    return s->max;
}

void spread_print(const struct spread *s, const char *name, FILE *to) {
    fprintf(
        to,
        "\"%s\": {\"count\": %lu, \"p50\": %lu, \"p90\": %lu, \"p99\": %lu, \"max\": %lu, \"mean\": %.1f}",
        name, s->count, spread_at(s, 0.5), spread_at(s, 0.9), spread_at(s, 0.99), s->max,
        s->count ? (double)s->sum / (double)s->count : 0.0);
}

struct endpoint endpoint_parse(const char *text) {
    struct endpoint e = {.length = sizeof(struct sockaddr_in)};
    struct sockaddr_in *four = (struct sockaddr_in *)&e.address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&e.address;
    char host[64] = "";
    unsigned short port = 0;
    if (sscanf(text, "[%63[0-9a-fA-F:]]:%hu", host, &port) == 2 &&
        inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        e.length = sizeof *six;
    } else if (sscanf(text, "%63[0-9.]:%hu", host, &port) == 2 &&
               inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
    } else {
        die("'%s' is not an address with a port (127.0.0.1:2525, [::1]:2525)", text);
    }
    return e;
}

void wire_quicken(int fd) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

static enum wire_result wire_told(struct wire *w, int result) {
    switch (SSL_get_error(w->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return WIRE_READ;
    case SSL_ERROR_WANT_WRITE:
        return WIRE_WRITE;
    default:
        return WIRE_CLOSED;
    }
}

enum wire_result wire_secure(struct wire *w, SSL_CTX *context, bool server) {
    if (!w->ssl) {
        w->ssl = SSL_new(context);
        if (!w->ssl || !SSL_set_fd(w->ssl, w->fd)) die("TLS: no memory");
    }
    int result = server ? SSL_accept(w->ssl) : SSL_connect(w->ssl);
    return result == 1 ? WIRE_DONE : wire_told(w, result);
}

enum wire_result wire_read(struct wire *w, void *into, size_t size, size_t *got) {
    *got = 0;
    if (w->ssl) {
        int result = SSL_read_ex(w->ssl, into, size, got);
        return result == 1 ? WIRE_DONE : wire_told(w, result);
    }
    ssize_t n = read(w->fd, into, size);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? WIRE_READ : WIRE_CLOSED;
    *got = (size_t)n;
    return n ? WIRE_DONE : WIRE_CLOSED;
}

static void shorten(struct iovec *parts, size_t count, size_t by) {
    for (size_t i = 0; i < count && by; i++) {
        size_t n = by < parts[i].iov_len ? by : parts[i].iov_len;
        parts[i].iov_base = (char *)parts[i].iov_base + n;
        parts[i].iov_len -= n;
        by -= n;
    }
}

// A TLS record for each small part would be dearer than copying them together.
static enum wire_result wire_write_secured(struct wire *w, struct iovec *parts, size_t count) {
    char together[16384];
    for (;;) {
        size_t have = 0, took = 0;
        for (size_t i = 0; i < count; i++) {
            size_t n = parts[i].iov_len < sizeof together - have ? parts[i].iov_len : sizeof together - have;
            if (n) memcpy(together + have, parts[i].iov_base, n);
            have += n;
        }
        if (!have) return WIRE_DONE;
        int result = SSL_write_ex(w->ssl, together, have, &took);
        if (result != 1) return wire_told(w, result);
        shorten(parts, count, took);
    }
}

enum wire_result wire_write(struct wire *w, struct iovec *parts, size_t count) {
    if (w->ssl) return wire_write_secured(w, parts, count);
    for (;;) {
        while (count && !parts->iov_len) {
            parts++;
            count--;
        }
        if (!count) return WIRE_DONE;
        ssize_t n = sendmsg(w->fd, &(struct msghdr){.msg_iov = parts, .msg_iovlen = count}, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN || errno == EINTR ? WIRE_WRITE : WIRE_CLOSED;
        shorten(parts, count, (size_t)n);
    }
}

void wire_close(struct wire *w) {
    if (w->ssl) SSL_free(w->ssl);
    if (w->fd >= 0) close(w->fd);
    *w = (struct wire){.fd = -1};
}
