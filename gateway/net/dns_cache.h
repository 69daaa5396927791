// SPDX-License-Identifier: MIT
// dns_cache: answers that are still good, the least recently used of them given up first.
//
// An entry is one block of memory that holds the whole answer. It is counted: the cache holds one reference,
// and whoever has an answer still to deliver another, so that what is evicted meanwhile stays readable.
// Bounded in entries and in bytes: one hostile zone cannot fill the memory with 64 KiB answers.
#pragma once

#include "base/map.h"
#include "net/dns.h"

#include <sys/queue.h>

struct dns_entry {
    TAILQ_ENTRY(dns_entry) order;
    int references;
    int64_t made_at, good_until; // clock_ms
    struct bytes key;
    size_t size;
    struct dns_answer answer;
    _Alignas(struct dns_record) char memory[]; // what key and answer point to
};

TAILQ_HEAD(dns_entries, dns_entry);

struct dns_cache {
    struct map map;
    struct dns_entries order; // least recently used first
    size_t entries_max, bytes_max, bytes;
};

void dns_cache_init(struct dns_cache *cache, size_t entries_max);
void dns_cache_release(struct dns_cache *cache);
void dns_cache_flush(struct dns_cache *cache);
struct dns_entry *dns_cache_find(struct dns_cache *cache, struct bytes key, int64_t now); // lent; NULL: ask
// Keeps a copy of the answer for ttl_ms; with 0 it is only returned. The caller gets a reference.
struct dns_entry *dns_cache_add(struct dns_cache *cache, struct bytes key, enum dns_type type,
                                const struct dns_answer *answer, int64_t now, int64_t ttl_ms);
struct dns_entry *dns_entry_ref(struct dns_entry *entry);
void dns_entry_unref(struct dns_entry *entry);
