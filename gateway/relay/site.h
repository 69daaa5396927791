// SPDX-License-Identifier: MIT
// site: everything a reload replaces beside the scripts: configuration, users, certificates. One immutable value.
//
// Reference counted across threads. A session keeps the site it began on, so a reload never changes the
// ground under a transaction.
#pragma once

#include "net/tls.h"
#include "relay/conf.h"
#include "relay/users.h"

struct site {
    _Atomic int refs;
    struct conf *conf;
    struct users *users;
    struct tls_context **server_tls; // one a listener of conf, NULL where it has no certificate
    struct tls_context *client_tls;
};

// Faults are given one by one; NULL where there was any. was: the site so far, which lends what has not changed; NULL: the first.
struct site *site_load(const char *conf_file, const struct site *was, void (*fault)(void *arg, const char *text), void *arg);
// Of a configuration that is handed over, for work away from the machine (conf_read): no certificates, and nobody logs in where
// the users file cannot be read.
struct site *site_of_values(struct conf *conf, void (*fault)(void *arg, const char *text), void *arg);
struct site *site_ref(struct site *site);
void site_free(struct site **site);
