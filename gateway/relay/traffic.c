// SPDX-License-Identifier: MIT
#include "relay/traffic_inside.h"

#include <stdlib.h>

static const int64_t hour_ms = 3600 * 1000, day_ms = 86400 * 1000;

// ---- chance

// Steele, Lea and Flood, "Fast splittable pseudorandom number generators": a number at a time, any state will do.
static uint64_t draw(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double draw_share(uint64_t *state) { return (double)(draw(state) >> 11) / 9007199254740992.0; }

static struct bytes choose(const struct choice *c, uint64_t *state) {
    size_t i = 0;
    if (!c->count) return BYTES("");
    double at = draw_share(state) * c->upto[c->count - 1];
    while (i + 1 < c->count && at >= c->upto[i]) i++;
    return c->names[i];
}

// ---- streams, an hour at a time

static void add_moment(struct traffic *t, const struct moment *m) {
    if (t->moment_count == t->moment_room) {
        t->moment_room = t->moment_room ? t->moment_room * 2 : 256;
        t->moments = must_realloc(t->moments, t->moment_room * sizeof *t->moments);
    }
    t->moments[t->moment_count++] = *m;
}

static int by_time(const void *a, const void *b) {
    const struct moment *x = a, *y = b;
    if (x->at_ms != y->at_ms) return x->at_ms < y->at_ms ? -1 : 1;
    if (x->stream != y->stream) return x->stream < y->stream ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void fill_stream(struct traffic *t, size_t which) {
    const struct stream *s = &t->streams[which];
    int64_t begins = t->start_ms + t->hour * hour_ms, day = t->hour / 24 + 1;
    // 1970 began on a Thursday.
    double factor = s->weekdays[(begins / day_ms + 4) % 7] * s->hours[begins / hour_ms % 24];
    uint64_t state = t->seed ^ bytes_hash(bytes_of(s->name)) ^ (uint64_t)t->hour * 0xd1342543de82ef95u;
    double wanted = s->per_day * factor + draw_share(&state); // what is over a whole number, as often as its share says
    if (day < s->from_day || day > s->to_day) return;
    for (uint64_t i = 0; i < (uint64_t)wanted; i++)
        add_moment(t, &(struct moment){begins + (int64_t)(draw_share(&state) * (double)hour_ms), which, i, draw(&state)});
}

static void next_hour(struct traffic *t) {
    t->moment_count = t->at = 0;
    for (size_t i = 0; i < t->stream_count; i++) fill_stream(t, i);
    if (t->moment_count) qsort(t->moments, t->moment_count, sizeof *t->moments, by_time);
    t->hour++;
}

static struct bytes *draw_recipients(const struct stream *s, struct arena *arena, uint64_t *state, size_t *count) {
    uint64_t more = (uint64_t)(s->recipients_most - s->recipients_least + 1);
    *count = (size_t)((uint64_t)s->recipients_least + draw(state) % more);
    struct bytes *list = arena_alloc(arena, *count * sizeof *list);
    for (size_t i = 0; i < *count; i++) {
        struct bytes domain = choose(&s->domains, state);
        list[i] = arena_format(arena, "r%llu@%.*s", (unsigned long long)(draw(state) % (uint64_t)s->addresses), BYTES_FMT(domain));
    }
    return list;
}

static void next_of_stream(struct traffic *t, struct arena *arena, int64_t *at_ms, struct arrival *out) {
    // A year without a message will have no other.
    for (int hours = 0; t->at == t->moment_count && hours < 366 * 24; hours++) next_hour(t);
    *at_ms = INT64_MAX;
    *out = (struct arrival){0};
    if (t->at == t->moment_count) return;
    struct moment *m = &t->moments[t->at++];
    const struct stream *s = &t->streams[m->stream];
    uint64_t state = m->draw;
    *at_ms = m->at_ms;
    *out = (struct arrival){.sender = choose(&s->senders, &state), .user = choose(&s->users, &state), .client_ip = s->client_ip,
                            .trusted = s->trusted, .head = s->head, .tags = s->tags, .size = s->size};
    out->recipients = draw_recipients(s, arena, &state, &out->count);
}

// ---- a recorded day

static void next_of_day(struct traffic *t, int64_t *at_ms, struct arrival *out) {
    if (t->at == t->recorded_count) {
        t->at = 0;
        t->hour++;
    }
    const struct recorded *r = &t->recorded[t->at++];
    *at_ms = t->start_ms + t->hour * day_ms + r->at_ms;
    *out = r->arrival;
}

void traffic_next(struct traffic *t, struct arena *arena, int64_t *at_ms, struct arrival *out) {
    if (t->recorded_count) next_of_day(t, at_ms, out);
    else next_of_stream(t, arena, at_ms, out);
}

// ---- life

struct traffic *traffic_read(struct bytes text, const char *file, int64_t start_ms, uint64_t seed, struct err *err) {
    struct traffic *t = must_alloc(sizeof *t);
    bool day = bytes_ends_nocase(bytes_of(file), BYTES(".jsonl"));
    t->start_ms = start_ms;
    t->seed = seed * 0x9e3779b97f4a7c15u;
    if (!(day ? traffic_read_day(t, text, file, err) : traffic_read_streams(t, text, file, err))) traffic_free(&t);
    return t;
}

void traffic_free(struct traffic **at) {
    struct traffic *t = *at;
    *at = NULL;
    if (!t) return;
    free(t->moments);
    free(t->recorded);
    arena_release(&t->arena);
    free(t);
}
