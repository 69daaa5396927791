// SPDX-License-Identifier: MIT
#include "net/dns_cache.h"

#include "base/bug.h"

#include <stdlib.h>

enum { BYTES_PER_ENTRY = 4096 }; // ceiling of the average; most answers take 300

void dns_cache_init(struct dns_cache *cache, size_t entries_max) {
    *cache = (struct dns_cache){.entries_max = entries_max, .bytes_max = entries_max * BYTES_PER_ENTRY};
    TAILQ_INIT(&cache->order);
}

struct dns_entry *dns_entry_ref(struct dns_entry *entry) {
    entry->references++;
    return entry;
}

void dns_entry_unref(struct dns_entry *entry) {
    bug_if(entry->references < 1);
    if (--entry->references) return;
    free(entry);
}

static void drop(struct dns_cache *cache, struct dns_entry *entry) {
    bug_if(map_remove(&cache->map, entry->key) != entry);
    TAILQ_REMOVE(&cache->order, entry, order);
    cache->bytes -= entry->size;
    dns_entry_unref(entry);
}

void dns_cache_flush(struct dns_cache *cache) {
    while (!TAILQ_EMPTY(&cache->order))
        drop(cache, TAILQ_FIRST(&cache->order));
}

void dns_cache_release(struct dns_cache *cache) {
    dns_cache_flush(cache);
    map_release(&cache->map);
}

struct dns_entry *dns_cache_find(struct dns_cache *cache, struct bytes key, int64_t now) {
    struct dns_entry *entry = map_get(&cache->map, key);
    if (!entry) return NULL;
    // A clock set back must not keep an answer alive for longer than its zone allowed.
    if (now >= entry->good_until || now < entry->made_at) {
        drop(cache, entry);
        return NULL;
    }
    TAILQ_REMOVE(&cache->order, entry, order);
    TAILQ_INSERT_TAIL(&cache->order, entry, order);
    return entry;
}

// Copies an answer into one run of memory. With `at` NULL it only counts, so that both passes agree by
// construction.
struct packer {
    char *at;
    size_t used;
};

static void *pack(struct packer *p, const void *what, size_t len) {
    void *to = p->at ? p->at + p->used : NULL;
    if (to && len) memcpy(to, what, len);
    p->used += len;
    return to;
}

static const char *pack_z(struct packer *p, const char *z) {
    return pack(p, z, strlen(z) + 1);
}

static void pack_record(struct packer *p, enum dns_type type, const struct dns_record *from,
                        struct dns_record *to) {
    switch (type) {
    case DNS_A:
    case DNS_AAAA:
        break;
    case DNS_MX:
        to->mx.host = pack_z(p, from->mx.host);
        break;
    case DNS_CNAME:
    case DNS_PTR:
        to->name = pack_z(p, from->name);
        break;
    case DNS_TXT:
        to->text.at = pack(p, from->text.at, from->text.len);
        break;
    case DNS_TLSA:
        to->tlsa.data.at = pack(p, from->tlsa.data.at, from->tlsa.data.len);
        break;
    }
}

static void pack_answer(struct packer *p, enum dns_type type, const struct dns_answer *from,
                        struct dns_answer *to) {
    struct dns_record *records = pack(p, from->records, from->count * sizeof *records);
    for (size_t i = 0; i < from->count; i++) {
        struct dns_record scratch = from->records[i];
        pack_record(p, type, &from->records[i], records ? &records[i] : &scratch);
    }
    const char *why = pack_z(p, from->why), *canonical = from->canonical ? pack_z(p, from->canonical) : NULL;
    *to = *from;
    to->canonical = canonical;
    to->records = from->count ? records : NULL;
    to->why = why;
}

static struct dns_entry *entry_new(struct bytes key, enum dns_type type, const struct dns_answer *answer) {
    struct packer counting = {0};
    struct dns_answer ignored;
    pack_answer(&counting, type, answer, &ignored);
    size_t size = sizeof(struct dns_entry) + counting.used + key.len;
    struct dns_entry *entry = must_alloc(size);
    struct packer p = {.at = entry->memory};
    pack_answer(&p, type, answer, &entry->answer);
    entry->key.at = pack(&p, key.at, key.len);
    entry->key.len = key.len;
    entry->size = size;
    entry->references = 1;
    return entry;
}

struct dns_entry *dns_cache_add(struct dns_cache *cache, struct bytes key, enum dns_type type,
                                const struct dns_answer *answer, int64_t now, int64_t ttl_ms) {
    struct dns_entry *entry = entry_new(key, type, answer);
    entry->made_at = now;
    entry->good_until = now + ttl_ms;
    if (ttl_ms <= 0 || entry->size > cache->bytes_max) return entry;
    struct dns_entry *was = map_get(&cache->map, key);
    if (was) drop(cache, was);
    map_put(&cache->map, key, entry);
    TAILQ_INSERT_TAIL(&cache->order, entry, order);
    cache->bytes += entry->size;
    dns_entry_ref(entry);
    while (cache->map.count > cache->entries_max || cache->bytes > cache->bytes_max)
        drop(cache, TAILQ_FIRST(&cache->order));
    return entry;
}
