// SPDX-License-Identifier: MIT
// traffic_inside: what traffic and the reader of its files share.
#pragma once

#include "relay/traffic.h"

struct choice {            // one of several, by weight
    struct bytes *names;
    double *upto;          // sums of the weights so far
    size_t count;
};

struct stream {
    const char *name;
    double per_day, hours[24], weekdays[7]; // hours: shares, 1 together; weekdays: factors, from Sunday
    int64_t from_day, to_day;               // of the run, from 1
    struct choice users, senders, domains;
    int64_t addresses;                      // different ones at each domain
    int64_t recipients_least, recipients_most;
    uint64_t size;
    struct bytes head, tags, client_ip;
    bool trusted;
};

struct recorded { // a message of the day that is repeated
    int64_t at_ms; // since midnight
    size_t line;
    struct arrival arrival;
};

struct moment { // a message of a stream that will come in the hour at hand
    int64_t at_ms;
    size_t stream;
    uint64_t number, draw;
};

struct traffic {
    struct arena arena;
    int64_t start_ms;
    uint64_t seed;
    struct stream *streams;
    size_t stream_count;
    struct recorded *recorded;
    size_t recorded_count;
    // Where it is.
    int64_t hour;            // since the start, of the moments; of the recorded, the day
    struct moment *moments;
    size_t moment_count, moment_room, at;
};

// Both fill what describes it. False with words that name file and key, or file and line.
bool must_use traffic_read_streams(struct traffic *t, struct bytes text, const char *file, struct err *err);
bool must_use traffic_read_day(struct traffic *t, struct bytes text, const char *file, struct err *err);
