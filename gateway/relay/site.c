// SPDX-License-Identifier: MIT
#include "relay/site.h"

#include <stdatomic.h>
#include <stdlib.h>

struct faults {
    void (*fault)(void *arg, const char *text);
    void *arg;
};

static bool load_listener_tls(const struct conf *conf, const struct conf_listener *l, struct tls_context **out,
                              struct err *err) {
    const char *certificate = l->certificate ? l->certificate : conf->certificate;
    const char *key = l->key ? l->key : conf->key;
    if (!certificate || !key) return true; // conf has checked that the kinds that need one have one
    struct tls_server_options options = {.certificate = certificate, .key = key, .client_ca = l->client_ca,
                                         .more = l->certificate_count ? l->certificates : conf->certificates,
                                         .more_count = l->certificate_count ? l->certificate_count : conf->certificate_count};
    *out = tls_server_new(&options, err);
    return *out != NULL || err_within(err, "listener %s", l->name);
}

static bool load_tls(struct site *site, const struct site *was, const struct faults *f) {
    const struct conf *conf = site->conf;
    bool good = true;
    struct err err;
    site->server_tls = must_alloc((conf->listener_count + 1) * sizeof *site->server_tls);
    for (size_t i = 0; i < conf->listener_count; i++)
        if (!load_listener_tls(conf, &conf->listeners[i], &site->server_tls[i], &err)) {
            f->fault(f->arg, err.text);
            good = false;
        }
    site->client_tls = tls_client_renew(was ? was->client_tls : NULL, conf->ca, &err);
    if (!site->client_tls) f->fault(f->arg, err.text);
    return good && site->client_tls;
}

struct site *site_load(const char *conf_file, const struct site *was, void (*fault)(void *arg, const char *text), void *arg) {
    struct faults f = {fault, arg};
    struct err err;
    struct conf *conf = conf_load(conf_file, fault, arg);
    if (!conf) return NULL;
    struct site *site = must_alloc(sizeof *site);
    atomic_init(&site->refs, 1);
    site->conf = conf;
    bool good = load_tls(site, was, &f);
    site->users = users_load(conf->users, &err);
    if (!site->users) {
        fault(arg, err.text);
        good = false;
    }
    if (!good) site_free(&site);
    return site;
}

struct site *site_of_values(struct conf *conf, void (*fault)(void *arg, const char *text), void *arg) {
    struct err err;
    struct site *site = must_alloc(sizeof *site);
    atomic_init(&site->refs, 1);
    site->conf = conf;
    site->users = users_load(conf->users, &err);
    if (site->users) return site;
    fault(arg, err.text);
    site->users = users_load(NULL, NULL);
    return site;
}

struct site *site_ref(struct site *site) {
    atomic_fetch_add_explicit(&site->refs, 1, memory_order_relaxed);
    return site;
}

void site_free(struct site **at) {
    struct site *site = *at;
    *at = NULL;
    if (!site || atomic_fetch_sub_explicit(&site->refs, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; site->server_tls && i < site->conf->listener_count; i++)
        if (site->server_tls[i]) tls_context_free(&site->server_tls[i]);
    free(site->server_tls);
    if (site->client_tls) tls_context_free(&site->client_tls);
    if (site->users) users_free(&site->users);
    conf_free(&site->conf);
    free(site);
}
