// SPDX-License-Identifier: MIT
#include "relay/census.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

enum { COUNTERS = 65536 };

struct census {
    uint64_t seed;
    _Atomic int count[COUNTERS];
};

struct census *census_new(void) {
    struct census *c = must_alloc(sizeof *c);
    if (getrandom(&c->seed, sizeof c->seed, 0) != (ssize_t)sizeof c->seed) c->seed = (uintptr_t)c;
    return c;
}

void census_free(struct census **c) {
    free(*c);
    *c = NULL;
}

static _Atomic int *counter(struct census *c, const struct addr *a) {
    char key[8 + 16] = {0};
    memcpy(key, &c->seed, 8);
    if (addr_family(a) == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)&a->sa;
        // An IPv4-mapped client is one address, not a /64 full of the whole IPv4 world.
        memcpy(key + 8, &in6->sin6_addr, IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) ? 16 : 8);
    } else if (addr_family(a) == AF_INET) {
        memcpy(key + 8, &((const struct sockaddr_in *)&a->sa)->sin_addr, 4);
    }
    return &c->count[bytes_hash(bytes_range(key, sizeof key)) % COUNTERS];
}

int census_enter(struct census *c, const struct addr *a) { return atomic_fetch_add(counter(c, a), 1) + 1; }
void census_leave(struct census *c, const struct addr *a) { atomic_fetch_sub(counter(c, a), 1); }
