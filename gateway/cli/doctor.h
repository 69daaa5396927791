// SPDX-License-Identifier: MIT
// doctor: what `tidegate doctor` knows while it goes round, and its parts in the order they are visited
//
// Each part looks at one matter and adds what it found. Nothing is changed and no mail is sent.
#pragma once

#include "base/arena.h"
#include "cli/finding.h"
#include "cli/lookup.h"
#include "cli/options.h"
#include "relay/conf.h"
#include "script/json.h"

enum { DOCTOR_KEYS = 8, DOCTOR_DOMAINS = 16 };

struct doctor_key {
    const char *domain, *selector, *record;
    int64_t bits;
    bool weak;
    bool good; // published as it should be: so signatures hold
};

struct doctor_identity {
    const char *name; // "" where the policy defines none
    const char *helo;
    const char *sources[2]; // as the world sees them
    size_t source_count;
    const char *return_domain; // NULL: the sender's own
    struct doctor_key keys[DOCTOR_KEYS];
    size_t key_count;
    const char *domains[DOCTOR_DOMAINS]; // of From: those it signs for, and those that were named
    size_t domain_count;
};

struct doctor {
    const struct call *call;
    const struct conf *conf;
    struct lookup *lookup; // NULL: offline
    struct findings findings;
    struct arena arena;
};

// Words for a finding, kept as long as the doctor.
const char *doctor_words(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
void doctor_well(struct doctor *d, const char *check, const char *about, const char *what);
// "NAME. TXT "..."", cut into strings of 255 as zone files need it.
const char *doctor_txt(struct doctor *d, const char *name, const char *text);

void doctor_resolver(struct doctor *d); // turns the doctor offline where there is none
void doctor_machine(struct doctor *d);  // clock, disk, descriptors
void doctor_certificates(struct doctor *d);
void doctor_gateway(struct doctor *d); // the running one: store, queue, lists, limits
void doctor_names(struct doctor *d, const struct doctor_identity *who);  // PTR, HELO, blocklists
void doctor_port(struct doctor *d, const struct doctor_identity *who);   // 25, on the way out
void doctor_publications(struct doctor *d, struct doctor_identity *who); // SPF, DKIM, DMARC

// What the kernel says of its clock (adjtimex), judged: for tests, which cannot set one.
void doctor_judge_clock(struct doctor *d, bool in_step, int64_t error_us);
