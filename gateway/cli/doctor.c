// SPDX-License-Identifier: MIT
#include "cli/doctor.h"

#include "cli/tool.h"
#include "cli/verbs.h"
#include "mail/address.h"
#include "policy/generation.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

const char *doctor_words(struct doctor *d, const char *format, ...) {
    struct buf words = {0};
    va_list args;
    va_start(args, format);
    buf_formatv(&words, format, args);
    va_end(args);
    const char *kept = arena_z(&d->arena, buf_bytes(&words));
    buf_release(&words);
    return kept;
}

void doctor_well(struct doctor *d, const char *check, const char *about, const char *what) {
    findings_add(&d->findings, &(struct finding){FINDING_OK, check, about, .what = what});
}

const char *doctor_txt(struct doctor *d, const char *name, const char *text) {
    struct buf out = {0};
    buf_format(&out, "%s. TXT", name);
    for (struct bytes rest = bytes_of(text); rest.len;
         rest = bytes_skip(rest, rest.len < 255 ? rest.len : 255))
        buf_format(&out, " \"%.*s\"", BYTES_FMT(bytes_first(rest, 255)));
    const char *kept = arena_z(&d->arena, buf_bytes(&out));
    buf_release(&out);
    return kept;
}

// ---- whom mail comes from -----------------------------------------------------------------------

static const char *keep(struct doctor *d, const struct json *value) {
    struct bytes text;
    return json_text(value, &text) ? arena_z(&d->arena, text) : NULL;
}

static void add_domain(struct doctor_identity *who, const char *domain) {
    for (size_t i = 0; i < who->domain_count; i++)
        if (strcasecmp(who->domains[i], domain) == 0) return;
    if (who->domain_count < DOCTOR_DOMAINS) who->domains[who->domain_count++] = domain;
}

static void read_keys(struct doctor *d, const struct json *keys, struct doctor_identity *who) {
    for (size_t i = 0; i < json_count(keys) && i < DOCTOR_KEYS; i++) {
        const struct json *one = json_item(keys, i);
        struct doctor_key *k = &who->keys[who->key_count++];
        *k = (struct doctor_key){keep(d, json_get(one, "domain")),
                                 keep(d, json_get(one, "selector")),
                                 keep(d, json_get(one, "record")),
                                 0,
                                 false,
                                 false};
        json_int(json_get(one, "bits"), &k->bits);
        json_bool(json_get(one, "weak"), &k->weak);
        add_domain(who, k->domain);
    }
}

// The address that the system would send from; nothing is sent to find it out. False: there is no way out.
static bool guess_source(int family, char out[INET6_ADDRSTRLEN]) {
    struct addr outside, own = {.len = sizeof own.sa};
    struct err err;
    if (!addr_parse(family == AF_INET ? BYTES("198.41.0.4:53") : BYTES("[2001:503:ba3e::2:30]:53"), &outside,
                    &err))
        return false;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    bool found = connect(fd, (struct sockaddr *)&outside.sa, outside.len) == 0 &&
                 getsockname(fd, (struct sockaddr *)&own.sa, &own.len) == 0;
    close(fd);
    char text[ADDR_TEXT];
    if (found) addr_ip_text(&own, text), snprintf(out, INET6_ADDRSTRLEN, "%s", text);
    return found;
}

static void add_source(struct doctor *d, struct doctor_identity *who, const char *source) {
    if (who->source_count < 2) who->sources[who->source_count++] = doctor_words(d, "%s", source);
}

// --source stands for all of its family: what the world sees of who is behind NAT.
static void find_sources(struct doctor *d, const struct json *row, struct doctor_identity *who) {
    static const char *const members[] = {"source4", "source6"};
    bool said4 = json_get(row, "source4"), said6 = json_get(row, "source6");
    for (int i = 0; i < 2; i++) {
        int family = i ? AF_INET6 : AF_INET;
        char guessed[INET6_ADDRSTRLEN];
        const char *given = NULL, *said = keep(d, json_get(row, members[i]));
        for (int n = 0; call_nth(d->call, "source", n); n++)
            if ((strchr(call_nth(d->call, "source", n), ':') != NULL) == (family == AF_INET6))
                given = call_nth(d->call, "source", n);
        if (strcmp(d->conf->family, i ? "4" : "6") == 0) continue;
        if (given)
            add_source(d, who, given);
        else if (said)
            add_source(d, who, said);
        else if (!said4 && !said6 && !call_has(d->call, "source") && guess_source(family, guessed))
            add_source(d, who, guessed);
    }
}

static void read_identity(struct doctor *d, const struct json *row, struct doctor_identity *who) {
    *who = (struct doctor_identity){.name = keep(d, json_get(row, "identity")),
                                    .helo = keep(d, json_get(row, "helo"))};
    if (!who->name) who->name = "";
    if (!who->helo) who->helo = d->conf->hostname;
    const char *path = keep(d, json_get(row, "return_path"));
    if (path && strrchr(path, '@')) who->return_domain = strrchr(path, '@') + 1;
    if (!call_has(d->call, "relayed")) find_sources(d, row, who);
    read_keys(d, json_get(row, "keys"), who);
    for (int i = 0; call_nth(d->call, "from", i); i++)
        add_domain(who, call_nth(d->call, "from", i));
}

static void visit_identity(struct doctor *d, const struct json *row) {
    struct doctor_identity who;
    read_identity(d, row, &who);
    const char *where = keep(d, json_get(row, "where"));
    findings_section(&d->findings, who.name[0] ? doctor_words(d, "identity %s (%s)", who.name, where)
                                               : "mail without an identity");
    doctor_names(d, &who);
    doctor_port(d, &who);
    doctor_publications(d, &who);
}

// False: said why; the scripts have a fault, or do not know such an identity.
static bool visit_identities(struct doctor *d, struct bytes lines, int *code) {
    const char *only = call_text(d->call, "identity");
    size_t visited = 0;
    bool any = lines.len > 0;
    while (lines.len) {
        struct err err;
        struct json *row = json_parse(bytes_cut(&lines, '\n'), &err);
        struct bytes name;
        if (json_text(json_get(row, "identity"), &name) && (!only || bytes_equal(name, bytes_of(only)))) {
            visit_identity(d, row);
            visited++;
        }
        json_free(&row);
    }
    if (only && !visited)
        *code = tool_fail(d->call, EX_DATAERR, "the policy defines no identity '%s'", only);
    else if (!any)
        visit_identity(d, NULL);
    return *code == EX_OK;
}

static bool load_policy(struct doctor *d, int *code) {
    struct clock clock = {0};
    struct log log;
    struct err err;
    log_open(&log, LOG_FAULT, &clock);
    struct bundle *bundle = bundle_read(d->conf->scripts, d->conf->stdlib, &err);
    struct generation_options options;
    conf_script_options(d->conf, &options);
    options.clock = &clock;
    options.log = &log;
    struct generation *generation = bundle ? generation_new(bundle, &options, &err) : NULL;
    if (!generation)
        *code = tool_fail(d->call, EX_CONFIG, "%s", err.text);
    else
        visit_identities(d, generation_identities(generation), code);
    generation_free(&generation);
    bundle_free(&bundle);
    return *code == EX_OK;
}

static bool check_call(const struct call *call, int *code) {
    for (int i = 0; call_nth(call, "source", i); i++) {
        uint8_t ip[16];
        const char *text = call_nth(call, "source", i);
        if (inet_pton(AF_INET, text, ip) != 1 && inet_pton(AF_INET6, text, ip) != 1)
            *code = tool_fail(call, EX_USAGE, "--source: '%s' is no IP address", text);
    }
    for (int i = 0; call_nth(call, "from", i); i++)
        if (!domain_is_valid(bytes_of(call_nth(call, "from", i))))
            *code = tool_fail(call, EX_USAGE, "--from: '%s' is no domain", call_nth(call, "from", i));
    return *code == EX_OK;
}

int verb_doctor(const struct call *call) {
    int code = EX_OK;
    struct err err;
    if (!check_call(call, &code)) return code;
    struct conf *conf = tool_conf_values(call, &code);
    if (!conf) return code;
    struct doctor d = {.call = call, .conf = conf, .findings.json = call_has(call, "json")};
    if (!call_has(call, "offline")) {
        d.lookup = lookup_new(conf->dns_servers, conf->dns_timeout_ms, &err);
        if (!d.lookup) code = tool_fail(call, EX_CONFIG, "dns: %s", err.text);
    }
    if (code == EX_OK) {
        findings_section(&d.findings, "this machine");
        doctor_machine(&d);
        doctor_certificates(&d);
        doctor_resolver(&d);
        doctor_gateway(&d);
        load_policy(&d, &code);
        if (code == EX_OK) findings_end(&d.findings);
    }
    if (code == EX_OK) code = findings_code(&d.findings);
    lookup_free(&d.lookup);
    arena_release(&d.arena);
    conf_free(&conf);
    return code;
}
