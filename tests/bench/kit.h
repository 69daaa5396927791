// SPDX-License-Identifier: MIT
// kit: what the load generator and the sink share: time, latency spreads, addresses, bytes over TCP or TLS.
//
// Values and thin wrappers; one thread. Misuse and refused system calls end the program with words on stderr.
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>

int64_t now_us(void); // CLOCK_MONOTONIC: the same in every process of the machine
double cpu_s(void);   // of this process, user and system
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

// How values spread: buckets 1/32 of their size wide, so that a percentile is right within 3 %.
enum { SPREAD_STEPS = 32, SPREAD_BUCKETS = 60 * SPREAD_STEPS };
struct spread { // zeroed: empty
    uint64_t buckets[SPREAD_BUCKETS], count, max, sum;
};
void spread_add(struct spread *s, uint64_t value);
uint64_t spread_at(const struct spread *s, double share);              // 0.99: the 99th percentile
void spread_print(const struct spread *s, const char *name, FILE *to); // "name": {"p50": ..., ...}

struct endpoint {
    struct sockaddr_storage address;
    socklen_t length;
};
struct endpoint endpoint_parse(const char *text); // 127.0.0.1:2525 or [::1]:2525

// A non-blocking connection, with TLS once secured.
struct wire {
    int fd;
    SSL *ssl;
};
enum wire_result { WIRE_DONE, WIRE_READ, WIRE_WRITE, WIRE_CLOSED }; // what it waits for before it can go on
void wire_quicken(int fd);                                          // TCP_NODELAY
enum wire_result wire_secure(struct wire *w, SSL_CTX *context, bool server); // again until DONE or CLOSED
enum wire_result wire_read(struct wire *w, void *into, size_t size, size_t *got);
// Writes from the front of the parts and shortens them; DONE when all are empty.
enum wire_result wire_write(struct wire *w, struct iovec *parts, size_t count);
void wire_close(struct wire *w);
