// SPDX-License-Identifier: MIT
#include "relay/conf_check.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct checking {
    const struct conf *conf;
    conf_fault_fn fault;
    void *arg;
    size_t faults;
};

static void say(struct checking *c, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct checking *c, const char *key, const char *format, ...) {
    struct err words;
    va_list args;
    va_start(args, format);
    err_setv(&words, format, args);
    va_end(args);
    c->faults++;
    c->fault(c->arg, key, words.text);
}

static void listener_key(char out[64], size_t i, const char *key) {
    snprintf(out, 64, "listeners[%zu]%s%s", i + 1, key[0] ? "." : "", key);
}

static void check_file(struct checking *c, const char *key, const char *path, const char *fix) {
    if (!path || access(path, R_OK) == 0) return;
    int code = errno;
    say(c, key, "%s: %s (%s)", path, strerror(code),
        code == EACCES ? "its rights keep this user from reading it" : fix);
}

static void check_folder(struct checking *c, const char *key, const char *path) {
    struct stat st;
    if (stat(path, &st) != 0)
        say(c, key, "%s: %s (name a folder that is there)", path, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        say(c, key, "%s: is not a folder", path);
}

static bool covers(const struct addr *wide, const struct addr *narrow) {
    char text[ADDR_TEXT];
    if (addr_family(wide) != addr_family(narrow) || addr_port(wide) != addr_port(narrow)) return false;
    addr_ip_text(wide, text);
    return strcmp(text, "0.0.0.0") == 0 || strcmp(text, "::") == 0 || addr_same_ip(wide, narrow);
}

static bool same_place(const struct addr *a, const struct addr *b) {
    char x[ADDR_TEXT], y[ADDR_TEXT];
    if (addr_family(a) != AF_UNIX || addr_family(b) != AF_UNIX) return covers(a, b) || covers(b, a);
    addr_text(a, x);
    addr_text(b, y);
    return strcmp(x, y) == 0;
}

static void check_pairs(struct checking *c, size_t i) {
    const struct conf_listener *l = &c->conf->listeners[i];
    char key[64];
    for (size_t k = 0; k < i; k++) {
        const struct conf_listener *other = &c->conf->listeners[k];
        char text[ADDR_TEXT];
        addr_text(&l->address, text);
        listener_key(key, i, "address");
        if (same_place(&l->address, &other->address))
            say(c, key, "%s is taken by listeners[%zu] (give it another port)", text, k + 1);
        listener_key(key, i, "name");
        if (strcmp(l->name, other->name) == 0)
            say(c, key, "'%s' is the name of listeners[%zu], too", l->name, k + 1);
    }
}

static void check_more_certificates(struct checking *c, const char *key, const struct tls_pair *pairs, size_t count) {
    char name[120];
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s[%zu].certificate", key, i + 1);
        check_file(c, name, pairs[i].certificate, "name a PEM file that is there");
        snprintf(name, sizeof name, "%s[%zu].key", key, i + 1);
        check_file(c, name, pairs[i].key, "name a PEM file that is there");
    }
}

static void check_certificate(struct checking *c, size_t i) {
    const struct conf_listener *l = &c->conf->listeners[i];
    char key[64];
    listener_key(key, i, "certificate");
    if (!l->certificate != !l->key) {
        say(c, key, "certificate and key go together (say both, or neither for the common ones)");
        return;
    }
    check_file(c, key, l->certificate, "name a PEM file that is there");
    listener_key(key, i, "key");
    check_file(c, key, l->key, "name a PEM file that is there");
    listener_key(key, i, "certificates");
    check_more_certificates(c, key, l->certificates, l->certificate_count);
    if (l->certificate_count && !l->certificate && !c->conf->certificate)
        say(c, key, "there is no certificate for clients that say no name (set certificate and key, here or for all)");
    listener_key(key, i, "client_ca");
    check_file(c, key, l->client_ca, "name a PEM file that is there");
    bool needed = l->kind == LISTENER_SUBMISSION || l->kind == LISTENER_SUBMISSIONS || l->auth_required ||
                  l->tls_required;
    listener_key(key, i, "certificate");
    if (needed && !l->certificate && (!c->conf->certificate || !c->conf->key))
        say(c, key, "%s needs TLS, and there is no certificate (set certificate and key, here or for all)",
            l->name);
}

static void check_listener(struct checking *c, size_t i) {
    const struct conf_listener *l = &c->conf->listeners[i];
    char key[64];
    check_pairs(c, i);
    check_certificate(c, i);
    listener_key(key, i, "address");
    if (l->kind == LISTENER_LMTP && addr_family(&l->address) != AF_UNIX && addr_port(&l->address) == 25)
        say(c, key, "LMTP must not use port 25 (RFC 2033 section 5; take another)");
    if (l->kind == LISTENER_LMTP && l->auth_required) {
        listener_key(key, i, "auth_required");
        say(c, key, "nobody logs in by LMTP (name the clients in allow)");
    }
}

static void check_common_certificate(struct checking *c) {
    const struct conf *conf = c->conf;
    if (!conf->certificate != !conf->key) say(c, "certificate", "certificate and key go together (say both)");
    check_file(c, "certificate", conf->certificate,
               "name a PEM file that is there; `make run` makes one for trying");
    check_file(c, "key", conf->key, "name a PEM file that is there; `make run` makes one for trying");
    check_more_certificates(c, "certificates", conf->certificates, conf->certificate_count);
    if (conf->certificate_count && !conf->certificate)
        say(c, "certificates", "there is no certificate for clients that say no name (set certificate and key)");
}

size_t conf_check(const struct conf *conf, conf_fault_fn fault, void *arg) {
    struct checking c = {.conf = conf, .fault = fault, .arg = arg};
    if (conf->listener_count == 0)
        say(&c, "listeners", "there is none, so no mail could come in (name at least one)");
    check_common_certificate(&c);
    check_file(&c, "ca", conf->ca, "name a PEM file of trusted roots");
    check_file(&c, "ledger.password", conf->ledger_password, "write it there, readable for the gateway alone");
    check_file(&c, "ledger.ca", conf->ledger_ca, "name a PEM file of trusted roots");
    check_file(&c, "http.ca", conf->http_ca, "name a PEM file of trusted roots");
    check_file(&c, "users", conf->users, "make it with `tidegate passwd NAME`");
    check_folder(&c, "scripts", conf->scripts);
    check_folder(&c, "stdlib", conf->stdlib);
    if (conf->user && !getpwnam(conf->user))
        say(&c, "user", "this system has no user '%s' (make it with adduser --system)", conf->user);
    if (conf->limits.connections_per_address > conf->limits.connections)
        say(&c, "limits.connections_per_address", "is above limits.connections, %d",
            conf->limits.connections);
    if (conf->limits.message_size < (uint64_t)conf->limits.header_size)
        say(&c, "limits.header_size", "is above limits.message_size");
    if (conf->store_ceiling && conf->store_ceiling < conf->segment_size * 2)
        say(&c, "store.ceiling", "has no room for two segments (0 is no ceiling)");
    for (size_t i = 0; i < conf->listener_count; i++)
        check_listener(&c, i);
    return c.faults;
}
