// SPDX-License-Identifier: MIT
#include "cli/certificates.h"

#include "base/map.h"
#include "net/certificate.h"

#include <stdio.h>

enum { SOON_S = 7 * 86400 };

struct looking {
    int64_t now_s;
    struct map *seen;   // files that have been looked at, warnings that were given
    struct map *names;  // of the set; the value is the file
    const char *file;   // whose names come
    size_t count;
    void (*warning)(void *arg, const char *text);
    void *arg;
};

static void warn(struct looking *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void warn(struct looking *l, const char *format, ...) {
    struct err text;
    va_list args;
    va_start(args, format);
    err_setv(&text, format, args);
    va_end(args);
    if (!map_put(l->seen, bytes_of(text.text), l)) l->warning(l->arg, text.text); // listeners may share a set
}

static void on_name(void *arg, struct bytes name) {
    struct looking *l = arg;
    const char *other = map_get(l->names, name);
    l->count++;
    if (!other) map_put(l->names, name, (void *)l->file);
    else if (strcmp(other, l->file) != 0)
        warn(l, "%s: %.*s is in %s, too: who connects to that name is shown that one", l->file, BYTES_FMT(name), other);
}

static void look_at_time(struct looking *l, const char *file) {
    struct certificate c;
    struct err err;
    if (map_put(l->seen, bytes_of(file), l) || !certificate_look(file, NULL, NULL, &c, &err)) return;
    int64_t left = c.until_s - l->now_s;
    if (left <= 0) warn(l, "%s: expired %lld days ago: clients refuse to connect", file, (long long)(-left / 86400));
    else if (left < SOON_S) warn(l, "%s: expires in %lld days", file, (long long)(left / 86400));
    if (c.from_s > l->now_s) warn(l, "%s: is not good before %lld days from now", file, (long long)((c.from_s - l->now_s + 86399) / 86400));
}

static void look_at(struct looking *l, const char *file, bool by_name) {
    struct err err;
    look_at_time(l, file);
    l->file = file;
    l->count = 0;
    if (certificate_names(file, on_name, l, &err) && by_name && !l->count) warn(l, "%s: has no name of a host in it: nobody is ever shown it", file);
}

static void look_at_set(struct looking *l, const char *first, const struct tls_pair *more, size_t count) {
    struct map names = {0};
    l->names = &names;
    if (first) look_at(l, first, false);
    for (size_t i = 0; i < count; i++) look_at(l, more[i].certificate, true);
    map_release(&names);
}

void certificates_look(const struct conf *conf, int64_t now_s, void (*warning)(void *arg, const char *text), void *arg) {
    struct map seen = {0};
    struct looking l = {.now_s = now_s, .seen = &seen, .warning = warning, .arg = arg};
    look_at_set(&l, conf->certificate, conf->certificates, conf->certificate_count);
    for (size_t i = 0; i < conf->listener_count; i++) {
        const struct conf_listener *at = &conf->listeners[i];
        if (!at->certificate && !at->certificate_count) continue; // the common set
        look_at_set(&l, at->certificate ? at->certificate : conf->certificate, at->certificate_count ? at->certificates : conf->certificates,
                    at->certificate_count ? at->certificate_count : conf->certificate_count);
    }
    map_release(&seen);
}
