// SPDX-License-Identifier: MIT
// What the machine gives: a resolver, a clock, room on disk, descriptors, certificates that clients believe.

#include "cli/doctor.h"
#include "base/map.h"
#include "base/quantity.h"
#include "cli/show.h"
#include "net/certificate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

enum { EXPIRY_SOON_S = 21 * 86400, CLOCK_ERROR_US = 5000000, DESCRIPTORS_SPARE = 300 };

static void add(struct doctor *d, enum finding_level level, const char *check, const char *about,
                const char *what, const char *follows, const char *fix) {
    findings_add(&d->findings, &(struct finding){level, check, about, what, follows, fix, NULL});
}

// ---- the resolver -------------------------------------------------------------------------------

// "127.0.0.1,[::1]:5353", of the configuration or the system.
static const char *find_servers(struct doctor *d) {
    if (d->conf->dns_servers) return d->conf->dns_servers;
    char line[512], server[128];
    struct buf out = {0};
    FILE *file = fopen("/etc/resolv.conf", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, " nameserver %127s", server) == 1)
            buf_format(&out, "%s%s", out.len ? "," : "", server);
    if (file) fclose(file);
    const char *kept = arena_z(&d->arena, buf_bytes(&out));
    buf_release(&out);
    return kept;
}

static bool all_on_loopback(const char *servers) {
    for (struct bytes rest = bytes_of(servers); rest.len;) {
        struct addr a;
        struct err err;
        if (!addr_parse(bytes_cut(&rest, ','), &a, &err) || !addr_is_loopback(&a)) return false;
    }
    return true;
}

static void judge_validation(struct doctor *d, const char *servers, bool near, bool validates) {
    bool trusted = d->conf->dns_trust_ad;
    if (trusted && !near)
        add(d, FINDING_FAIL, "dnssec", servers,
            "dns.trust_ad believes resolvers that are not on this machine",
            "anyone on the way to them can forge what DANE rests on",
            "run a validating resolver on this machine (unbound), or take dns.trust_ad away");
    else if (trusted && !validates)
        add(d, FINDING_FAIL, "dnssec", servers, "dns.trust_ad is set, but the resolver does not validate",
            "mail that asks for DANE is never sent",
            "let the resolver validate DNSSEC (unbound does as Debian ships it)");
    else if (!validates)
        add(d, FINDING_WARN, "dnssec", servers, "the resolver does not validate DNSSEC",
            "DANE cannot be used, and forged answers can lead mail astray",
            "run unbound on this machine and set dns.trust_ad");
    else
        doctor_well(d, "dnssec", servers,
                    trusted ? "the resolver validates DNSSEC"
                            : "the resolver validates DNSSEC; dns.trust_ad would let DANE use it");
}

void doctor_resolver(struct doctor *d) {
    if (!d->lookup) return;
    const char *servers = find_servers(d);
    const struct dns_answer *a = lookup_ask(d->lookup, "iana.org", DNS_A);
    if (a->status == DNS_TEMPORARY) {
        add(d, FINDING_FAIL, "resolver", servers,
            doctor_words(d, "the resolver %s does not answer: %s", servers, a->why),
            "no mail leaves, and what follows cannot be checked",
            "dns.servers in the configuration, or /etc/resolv.conf");
        lookup_free(&d->lookup);
        return;
    }
    bool near = all_on_loopback(servers);
    if (near)
        doctor_well(d, "resolver", servers, doctor_words(d, "the resolver is on this machine (%s)", servers));
    else
        add(d, FINDING_WARN, "resolver", servers,
            doctor_words(d, "the resolver %s is not on this machine", servers),
            "answers can be forged on the way; blocklists refuse to answer public resolvers, and thousands "
            "of look-ups are slow",
            "run unbound here and set dns.servers = { \"127.0.0.1\" }");
    judge_validation(d, servers, near, a->authentic);
}

// ---- the clock, the disk, descriptors -----------------------------------------------------------

void doctor_judge_clock(struct doctor *d, bool in_step, int64_t error_us) {
    if (in_step && error_us <= CLOCK_ERROR_US)
        return doctor_well(d, "clock", "", "the clock is kept in step");
    const char *what =
        in_step ? doctor_words(d, "the clock may be wrong by %lld s", (long long)(error_us / 1000000))
                : "nobody keeps the clock in step, says the kernel";
    add(d, FINDING_WARN, "clock", "", what,
        "signatures from the future and old Date fields make mail look like spam; certificates seem expired",
        "run chrony or systemd-timesyncd");
}

static void check_clock(struct doctor *d) {
    struct timex t = {.modes = 0};
    if (adjtimex(&t) >= 0) doctor_judge_clock(d, !(t.status & STA_UNSYNC), t.maxerror);
}

// Where the queue is, or will be.
static bool look_at_disk(const char *path, struct statvfs *out) {
    char *part = bytes_dupz(bytes_of(path));
    bool found = statvfs(part, out) == 0;
    for (char *slash; !found && errno == ENOENT && (slash = strrchr(part, '/'));) {
        *slash = 0;
        found = statvfs(part[0] ? part : "/", out) == 0;
    }
    free(part);
    return found;
}

// In whole units that leave two digits or more.
static void size_text(uint64_t bytes, char out[QUANTITY_TEXT]) {
    int shift = bytes >> 30 >= 10 ? 30 : 20;
    quantity_size_text(bytes >> shift << shift, out);
}

static void check_disk(struct doctor *d) {
    struct statvfs disk;
    const char *path = d->conf->store;
    if (!look_at_disk(path, &disk))
        return add(d, FINDING_FAIL, "disk", path, doctor_words(d, "%s cannot be looked at", path),
                   "the gateway cannot start", "see the path and its rights");
    uint64_t unit = disk.f_frsize, available = disk.f_bavail * unit, whole = disk.f_blocks * unit;
    char have[QUANTITY_TEXT], keep[QUANTITY_TEXT], all[QUANTITY_TEXT];
    size_text(available, have);
    size_text(whole, all);
    quantity_size_text(d->conf->store_reserve, keep);
    if (available < d->conf->store_reserve)
        add(d, FINDING_FAIL, "disk", path,
            doctor_words(d, "%s has %s left, less than store.reserve (%s)", path, have, keep),
            "no mail is taken: clients hear 452 4.3.1", "make room, or move the queue");
    else if (available < 2 * d->conf->store_reserve || available < whole / 20 ||
             (disk.f_files && disk.f_favail < 1000))
        add(d, FINDING_WARN, "disk", path, doctor_words(d, "%s has %s of %s left", path, have, all),
            "a jam of a few hours may fill it; then no mail is taken", "make room, or move the queue");
    else
        doctor_well(d, "disk", path, doctor_words(d, "%s has %s of %s left", path, have, all));
}

static void check_descriptors(struct doctor *d) {
    struct rlimit files;
    uint64_t needed =
        (uint64_t)d->conf->limits.connections + (uint64_t)d->conf->limits.connections_out + DESCRIPTORS_SPARE;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    if (files.rlim_max >= needed)
        return doctor_well(d, "files", "",
                           doctor_words(d, "%llu open files are allowed, %llu are needed at the most",
                                        (unsigned long long)files.rlim_max, (unsigned long long)needed));
    add(d, FINDING_WARN, "files", "",
        doctor_words(d, "%llu open files are allowed here, %llu may be needed",
                     (unsigned long long)files.rlim_max, (unsigned long long)needed),
        "clients beyond that are turned away",
        "raise it for the service (LimitNOFILE= of systemd), or lower limits.connections");
}

void doctor_machine(struct doctor *d) {
    check_clock(d);
    check_disk(d);
    check_descriptors(d);
}

// ---- certificates -------------------------------------------------------------------------------

// host: NULL for one of several, which is shown to whom it fits.
static void check_certificate(struct doctor *d, const char *file, const char *host) {
    struct certificate c;
    struct err err;
    int64_t left = 0;
    if (!certificate_look(file, host, NULL, &c, &err))
        return add(d, FINDING_FAIL, "tls", file, err.text, "clients cannot log in",
                   "certificate and key in the configuration");
    left = c.until_s - time(NULL);
    if (left <= 0)
        add(d, FINDING_FAIL, "tls", file,
            doctor_words(d, "%s has expired %lld days ago", file, (long long)(-left / 86400)),
            "clients refuse to connect", "renew it, then tidegate reload");
    else if (left < EXPIRY_SOON_S)
        add(d, FINDING_WARN, "tls", file,
            doctor_words(d, "%s expires in %lld days", file, (long long)(left / 86400)),
            "then clients refuse to connect", "renew it, then tidegate reload");
    else if (!c.names_host)
        add(d, FINDING_WARN, "tls", file,
            doctor_words(d, "%s is for %s, not for %s", file, c.names[0] ? c.names : "nobody", host),
            "clients that connect to that name warn or refuse",
            "get one with that name in it, or set hostname");
    else if (c.self_signed)
        add(d, FINDING_WARN, "tls", file, doctor_words(d, "%s is self-signed", file),
            "clients warn or refuse, unless they were given it",
            "get one from an authority that your clients trust (ACME)");
    else if (!c.trusted)
        add(d, FINDING_WARN, "tls", file,
            doctor_words(d, "%s, issued by %s, leads to no trusted root: %s", file, c.issuer, c.why_not),
            "clients warn or refuse, unless they know that authority",
            "put the intermediate certificates behind your own in the file");
    else
        doctor_well(d, "tls", file,
                    doctor_words(d, "%s is for %s, good for %lld days, trusted (%s)", file, host ? host : c.names,
                                 (long long)(left / 86400), c.issuer));
}

static void check_once(struct doctor *d, struct map *seen, const char *file, const char *host) {
    if (file && !map_put(seen, bytes_of(file), seen)) check_certificate(d, file, host);
}

void doctor_certificates(struct doctor *d) {
    const struct conf *conf = d->conf;
    struct map seen = {0};
    for (size_t i = 0; i < conf->listener_count; i++)
        check_once(d, &seen, conf->listeners[i].certificate ? conf->listeners[i].certificate : conf->certificate, conf->hostname);
    for (size_t k = 0; k < conf->certificate_count; k++) check_once(d, &seen, conf->certificates[k].certificate, NULL);
    for (size_t i = 0; i < conf->listener_count; i++)
        for (size_t k = 0; k < conf->listeners[i].certificate_count; k++) check_once(d, &seen, conf->listeners[i].certificates[k].certificate, NULL);
    map_release(&seen);
}
