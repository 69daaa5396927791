// SPDX-License-Identifier: MIT
// conf_key: the table of configuration keys: kind, default, bounds, whether a reload applies it, and its
// help.
//
// One row a key; parsing, checking, defaults, the nearest right name and the reference page are all made from
// it. Defaults are written as in the file ("50MiB"), and read by the same code.
#pragma once

#include "base/bytes.h"

enum conf_kind {
    CONF_TEXT,          // const char *
    CONF_PATH,          // const char *, made absolute from conf->base
    CONF_HOST,          // const char *: a host's name
    CONF_BOOL,          // bool
    CONF_COUNT,         // int
    CONF_NUMBER,        // uint64_t
    CONF_SIZE,          // int or uint64_t: bytes
    CONF_DURATION,      // int or int64_t: seconds
    CONF_MILLIS,        // int: milliseconds, written as a duration or a number of seconds with a fraction
    CONF_CHOICE,        // const char *: one of `choices`
    CONF_LEVEL,         // enum log_level
    CONF_LISTENER_KIND, // enum listener_kind
    CONF_SERVERS,       // const char *: a list of address[:port], joined by commas
    CONF_WEB_HOSTS,     // const char *: a list of host[:port], *.domain or name.*, joined by commas
    CONF_FIELDS,        // const char *: a list of names of header fields, joined by blanks; or "none": ""
    CONF_ADDRESS,       // struct addr
    CONF_NETWORKS,      // struct network *, and its count behind it
    CONF_PAIRS,         // struct tls_pair *, and its count behind it
    CONF_LISTENERS,     // conf->listeners: a list of tables with keys of their own
};

struct conf_key {     // a table of them ends with a row whose name is NULL
    const char *name; // "limits.recipients"
    enum conf_kind kind;
    size_t at, size;         // the member it fills
    const char *unset;       // default as text; NULL: none, or decided in conf.c
    const char *unset_words; // for the reference, where `unset` is NULL
    int64_t min, max;        // of numbers, sizes (bytes), durations (seconds); both 0: any
    const char *choices;     // "both|4|6"
    bool fixed;              // a reload cannot apply it
    const char *help;
};

extern const struct conf_key conf_keys[];          // of struct conf
extern const struct conf_key conf_listener_keys[]; // of struct conf_listener

const char *conf_kind_words(const struct conf_key *key); // "a size (a number of bytes, or \"50MiB\")"
void conf_key_kind(const struct conf_key *key, struct buf *out);    // "size, 1KiB to 2GiB", as plain text
void conf_key_default(const struct conf_key *key, struct buf *out); // "50MiB", or in words
void conf_reference(struct buf *out);                    // Markdown of all keys: conf/README.md
