// SPDX-License-Identifier: MIT
// What the sending domains say of their mail: SPF, DKIM keys, DMARC, and whether the three fit what we send.

#include "cli/doctor.h"
#include "mail/published.h"
#include "mail/spf.h"

#include <arpa/inet.h>

enum { PARENTS_MAX = 8 };

static void add(struct doctor *d, enum finding_level level, const char *check, const char *about,
                const char *what, const char *follows, const char *fix, const char *record) {
    findings_add(&d->findings, &(struct finding){level, check, about, what, follows, fix, record});
}

// ---- SPF ----------------------------------------------------------------------------------------

static enum spf_found look(void *arg, const char *name, enum spf_type type, struct spf_answer *out) {
    struct doctor *d = arg;
    const struct dns_answer *a = lookup_ask(d->lookup, name, (enum dns_type)type);
    if (a->status == DNS_TEMPORARY) return SPF_TROUBLE;
    if (a->status != DNS_OK) return SPF_ABSENT;
    struct spf_record *records = arena_alloc(&d->arena, a->count * sizeof *records);
    for (size_t i = 0; i < a->count; i++) {
        if (type == SPF_TXT)
            records[i].text = a->records[i].text;
        else if (type == SPF_MX)
            records[i].text = bytes_of(a->records[i].mx.host);
        else if (type == SPF_PTR)
            records[i].text = bytes_of(a->records[i].name);
        else
            memcpy(records[i].ip, a->records[i].address.ip, sizeof records[i].ip);
    }
    *out = (struct spf_answer){records, a->count};
    return SPF_FOUND;
}

static void evaluate(struct doctor *d, const char *domain, const char *source,
                     const struct doctor_identity *who, struct spf_verdict *out) {
    struct spf_asked asked = {.family = strchr(source, ':') ? AF_INET6 : AF_INET,
                              .domain = domain,
                              .helo = who->helo,
                              .look = look,
                              .arg = d};
    inet_pton(asked.family, source, asked.ip);
    spf_check(&asked, out);
}

// The domain's own record with our address in it; a new one where there is none, or none that could be
// mended.
static const char *better_spf(struct doctor *d, const char *domain, const char *source,
                              const struct spf_verdict *v) {
    const char *kind = strchr(source, ':') ? "ip6" : "ip4";
    bool mendable = v->record[0] && v->result != SPF_PERMERROR && strlen(v->record) + 60 < sizeof v->record;
    if (!mendable) return doctor_txt(d, domain, doctor_words(d, "v=spf1 %s:%s -all", kind, source));
    return doctor_txt(d, domain, doctor_words(d, "v=spf1 %s:%s%s", kind, source, v->record + 6));
}

static void spf_good(struct doctor *d, const char *domain, const char *source, const struct spf_verdict *v) {
    if (strcasecmp(v->term, "all") == 0 || strcasecmp(v->term, "+all") == 0)
        add(d, FINDING_WARN, "spf", domain,
            doctor_words(d, "%s lets the whole world send in its name (%s)", domain, v->term),
            "anyone can pass as you; some receivers give such a record no credit",
            "name your addresses, and end the record with -all",
            doctor_txt(d, domain,
                       doctor_words(d, "v=spf1 %s:%s -all", strchr(source, ':') ? "ip6" : "ip4", source)));
    else if (v->look_ups > 8)
        add(d, FINDING_WARN, "spf", domain,
            doctor_words(d, "%s lets %s send (%s), after %d of the 10 look-ups that are allowed", domain,
                         source, v->term, v->look_ups),
            "one more include, and receivers refuse to evaluate the record",
            "name addresses (ip4:, ip6:) in place of includes and names", NULL);
    else
        doctor_well(d, "spf", domain,
                    doctor_words(d, "%s lets %s send: pass by %s", domain, source, v->term));
}

static bool check_spf(struct doctor *d, const struct doctor_identity *who, const char *domain,
                      const char *source) {
    struct spf_verdict v;
    evaluate(d, domain, source, who, &v);
    const char *record = better_spf(d, domain, source, &v);
    switch (v.result) {
    case SPF_PASS:
        spf_good(d, domain, source, &v);
        return true;
    case SPF_NONE:
        add(d, FINDING_FAIL, "spf", domain, doctor_words(d, "%s has no SPF record", domain),
            "Gmail and others refuse mail that neither SPF nor DKIM vouches for, and want both of bulk "
            "senders",
            "publish who may send", record);
        break;
    case SPF_TEMPERROR:
        add(d, FINDING_WARN, "spf", domain, v.why, "receivers that get no answer either defer the mail",
            "try again; if it stays so, the zone's servers do not answer", NULL);
        break;
    case SPF_PERMERROR:
        add(d, FINDING_FAIL, "spf", domain, v.why,
            "receivers take such a record for none, and some refuse the mail", "mend the record", record);
        break;
    default:
        add(d, v.result == SPF_NEUTRAL ? FINDING_WARN : FINDING_FAIL, "spf", domain,
            doctor_words(d, "%s does not let %s send: %s%s%s%s%s", domain, source, spf_result_name[v.result],
                         v.term[0] ? " by " : ", no term matches", v.term,
                         strcmp(v.domain, domain) ? " of " : "", strcmp(v.domain, domain) ? v.domain : ""),
            v.result == SPF_FAIL       ? "receivers refuse the mail"
            : v.result == SPF_SOFTFAIL ? "receivers mark the mail or put it into the spam folder"
                                       : "the domain vouches for nothing: less trust",
            "add the address to the domain's record", record);
    }
    return false;
}

// What is said for reports, which have no sender, is said of the EHLO name. No record there is nothing
// unusual.
static void check_helo_spf(struct doctor *d, const struct doctor_identity *who, const char *source) {
    struct spf_verdict v;
    if (!strchr(who->helo, '.')) return;
    evaluate(d, who->helo, source, who, &v);
    if (v.result == SPF_NONE || v.result == SPF_PASS || v.result == SPF_NEUTRAL || v.result == SPF_TEMPERROR)
        return;
    add(d, FINDING_WARN, "spf", who->helo,
        doctor_words(d, "the EHLO name %s does not let %s send: %s%s%s", who->helo, source,
                     spf_result_name[v.result], v.why[0] ? ": " : "", v.why),
        "reports to senders, which have no sender of their own, are refused", "publish a record for the name",
        doctor_txt(d, who->helo, "v=spf1 a -all"));
}

// Every envelope domain from every source; *passed: those of whom all did.
static void spf_of(struct doctor *d, const struct doctor_identity *who, const char *const *domains,
                   size_t count, bool *passed) {
    for (size_t i = 0; i < count; i++) {
        passed[i] = who->source_count > 0;
        for (size_t s = 0; s < who->source_count; s++)
            if (!check_spf(d, who, domains[i], who->sources[s])) passed[i] = false;
    }
    for (size_t s = 0; s < who->source_count; s++)
        check_helo_spf(d, who, who->sources[s]);
}

// ---- DKIM ---------------------------------------------------------------------------------------

// What is wrong with what is published, or NULL.
static const char *key_fault(struct doctor *d, const struct doctor_key *key, const struct dns_answer *a,
                             struct dkim_published *found) {
    struct err err;
    if (a->status != DNS_OK) return "there is no such record";
    if (a->count > 1)
        return doctor_words(d, "there are %zu records, and receivers take none of several", a->count);
    struct bytes record = a->records[0].text;
    if (!dkim_published_read(record, found, &err))
        return doctor_words(d, "what is there is no DKIM key: %s", err.text);
    if (!found->key.len) return "the key there is revoked (p= is empty)";
    if (!dkim_published_same(record, bytes_of(key->record)))
        return "another key is there than the one in use";
    if (!found->sha256) return "h= there leaves sha256 out, with which we sign";
    if (!found->email) return "s= there leaves email out";
    return NULL;
}

static void check_key(struct doctor *d, struct doctor_key *key) {
    struct dkim_published found = {0};
    const char *name = doctor_words(d, "%s._domainkey.%s", key->selector, key->domain);
    const struct dns_answer *a = lookup_ask(d->lookup, name, DNS_TXT);
    const char *record = doctor_txt(d, name, key->record);
    if (a->status == DNS_TEMPORARY)
        return add(d, FINDING_WARN, "dkim", name,
                   doctor_words(d, "%s: DNS gives no answer (%s)", name, a->why),
                   "receivers that get none either defer the mail or take it for unsigned",
                   "try again; if it stays so, the zone's servers do not answer", NULL);
    const char *fault = key_fault(d, key, a, &found);
    if (fault)
        return add(d, FINDING_FAIL, "dkim", name, doctor_words(d, "%s: %s", name, fault),
                   "every signature with this key fails: worse than none where DMARC asks for it",
                   "publish the key in use", record);
    key->good = true;
    if (found.testing)
        add(d, FINDING_WARN, "dkim", name, doctor_words(d, "%s says t=y: still testing", name),
            "receivers may treat the mail as if it were not signed", "take t=y away", record);
    else if (key->weak)
        add(d, FINDING_WARN, "dkim", name,
            doctor_words(d, "the key of %s has %lld bits", name, (long long)key->bits),
            "some receivers give no credit to RSA keys under 2048 bits (RFC 8301)",
            doctor_words(d,
                         "make another under a new selector: tidegate key new --domain %s --selector NEW "
                         "--output FILE",
                         key->domain),
            NULL);
    else
        doctor_well(d, "dkim", name, doctor_words(d, "%s holds the key in use", name));
}

// ---- DMARC --------------------------------------------------------------------------------------

// The policy that holds for a domain: its own, or that of the nearest domain above it. NULL: none; *at says
// whose it is.
static const struct bytes *find_policy(struct doctor *d, const char *domain, const char **at,
                                       const char **trouble) {
    for (int i = 0; i < PARENTS_MAX && strchr(domain, '.'); i++, domain = strchr(domain, '.') + 1) {
        const struct dns_answer *a = lookup_ask(d->lookup, doctor_words(d, "_dmarc.%s", domain), DNS_TXT);
        const struct bytes *found = NULL;
        if (a->status == DNS_TEMPORARY) *trouble = a->why;
        for (size_t k = 0; a->status == DNS_OK && k < a->count; k++) {
            if (!dmarc_published_is(a->records[k].text)) continue;
            if (found) *trouble = "there is more than one record, and receivers take none of several";
            found = &a->records[k].text;
        }
        *at = domain;
        if (found || *trouble) return found;
    }
    return NULL;
}

static bool is_below(const char *domain, const char *top) {
    size_t n = strlen(domain), m = strlen(top);
    return n >= m && strcasecmp(domain + n - m, top) == 0 && (n == m || domain[n - m - 1] == '.');
}

// The highest domain above that publishes a policy is the organisation's, as in the tree walk of DMARCbis:
// public suffixes are not known here, and they publish none.
static const char *organisation(struct doctor *d, const char *domain) {
    const char *top = domain, *at, *trouble = NULL;
    for (int i = 0; i < PARENTS_MAX && strchr(domain, '.'); i++, domain = strchr(at, '.') + 1) {
        if (!find_policy(d, domain, &at, &trouble)) break;
        top = at;
    }
    return top;
}

// Relaxed alignment is one organisation, strict the very domain.
static bool aligned(struct doctor *d, const char *from, const char *other, bool strict) {
    if (strict) return strcasecmp(from, other) == 0;
    if (is_below(from, other) || is_below(other, from)) return true;
    const char *top = organisation(d, from);
    return is_below(from, top) && is_below(other, top);
}

struct alignment {
    bool dkim, spf;
};

static void judge_alignment(struct doctor *d, const char *from, const char *at,
                            const struct dmarc_published *p, struct alignment is) {
    enum dmarc_policy policy = strcasecmp(from, at) == 0 ? p->policy : p->below;
    const char *says = doctor_words(d, "%s says p=%s", at, dmarc_policy_name[policy]);
    static const char *const follows[] = {
        "the mail passes no DMARC: less trust, and refusals by receivers that demand it of bulk senders",
        "receivers put the mail into the spam folder", "receivers refuse the mail"};
    if (!is.dkim && !is.spf)
        return add(d, policy == DMARC_NONE ? FINDING_WARN : FINDING_FAIL, "dmarc", from,
                   doctor_words(d, "neither DKIM nor SPF vouches for From: %s; %s", from, says),
                   follows[policy],
                   doctor_words(d,
                                "sign with a key of %s whose record is published, or send with an envelope "
                                "sender of it from an address that its SPF names",
                                from),
                   NULL);
    if (!is.dkim)
        return add(d, FINDING_WARN, "dmarc", from,
                   doctor_words(d, "only SPF vouches for From: %s; %s", from, says),
                   "mail that is forwarded on the way does not pass",
                   doctor_words(d, "sign with a key of %s", from), NULL);
    doctor_well(
        d, "dmarc", from,
        doctor_words(d, "From: %s is vouched for by DKIM%s; %s", from, is.spf ? " and SPF" : "", says));
}

static void check_dmarc(struct doctor *d, const struct doctor_identity *who, const char *from,
                        const char *const *envelopes, size_t count, const bool *passed) {
    const char *at = from, *trouble = NULL;
    const struct bytes *record = find_policy(d, from, &at, &trouble);
    const char *wanted = doctor_txt(d, doctor_words(d, "_dmarc.%s", from),
                                    doctor_words(d, "v=DMARC1; p=none; rua=mailto:postmaster@%s", from));
    struct dmarc_published policy;
    struct err err;
    if (trouble)
        return add(d, record ? FINDING_FAIL : FINDING_WARN, "dmarc", from,
                   doctor_words(d, "_dmarc.%s: %s", at, trouble),
                   "receivers act as if there were no policy, or defer the mail",
                   "leave one record, and see that its servers answer", NULL);
    if (!record)
        return add(d, FINDING_WARN, "dmarc", from, doctor_words(d, "%s has no DMARC policy", from),
                   "Gmail, Yahoo and Microsoft demand one of whoever sends more than 5000 messages a day",
                   "publish one; p=none changes nothing but brings reports", wanted);
    if (!dmarc_published_read(*record, &policy, &err))
        return add(d, FINDING_FAIL, "dmarc", from,
                   doctor_words(d, "_dmarc.%s cannot be understood: %s", at, err.text),
                   "receivers act as if there were no policy", "mend the record", wanted);
    struct alignment is = {false, false};
    for (size_t i = 0; i < who->key_count; i++)
        if (who->keys[i].good && aligned(d, from, who->keys[i].domain, policy.strict_dkim)) is.dkim = true;
    for (size_t i = 0; i < count; i++)
        if (passed[i] && aligned(d, from, envelopes[i], policy.strict_spf)) is.spf = true;
    judge_alignment(d, from, at, &policy, is);
}

void doctor_publications(struct doctor *d, struct doctor_identity *who) {
    if (!who->key_count)
        add(d, FINDING_WARN, "dkim", who->name, "mail is not signed: no DKIM key",
            "Gmail and others refuse unsigned bulk mail; what is forwarded loses its only proof",
            "make a key, name it in the identity and publish it: tidegate key new --domain DOMAIN --selector "
            "s1 --output FILE",
            NULL);
    if (!d->lookup) return;
    bool passed[DOCTOR_DOMAINS] = {false};
    const char *const *envelopes = who->return_domain ? &who->return_domain : who->domains;
    size_t count = who->return_domain ? 1 : who->domain_count;
    spf_of(d, who, envelopes, count, passed);
    for (size_t i = 0; i < who->key_count; i++)
        check_key(d, &who->keys[i]);
    for (size_t i = 0; i < who->domain_count; i++)
        check_dmarc(d, who, who->domains[i], envelopes, count, passed);
}
