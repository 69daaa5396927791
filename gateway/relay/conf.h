// SPDX-License-Identifier: MIT
// conf: the configuration file, as values. [conf/tidegate.lua]
//
// The file returns one Lua table, evaluated in an empty environment (script/values.h). The table of rows in conf_key.c
// describes every key: kind, default, bounds, whether a reload applies it, and its help; the reference (conf/README.md,
// `tidegate check --keys`) is made from it.
// Unknown keys, wrong kinds and values out of bounds are all listed, each with file, key and the nearest right name.
// Relative paths start at the folder that holds conf/ (the file's folder, or its parent when that folder is named "conf").
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "net/addr.h"
#include "net/tls.h"
#include "relay/kept_fields.h"
#include "smtp/server.h"

enum listener_kind { LISTENER_SUBMISSION, LISTENER_SUBMISSIONS, LISTENER_RELAY, LISTENER_LMTP };
extern const char *const listener_kind_name[]; // "submission", ...

struct conf_listener {
    const char *name;          // "submission-1" unless said; unique
    enum listener_kind kind;
    struct addr address;
    const char *certificate, *key; // PEM paths; NULL: the top-level ones
    struct tls_pair *certificates; // by SNI; NULL: the top-level ones
    size_t certificate_count;
    const char *client_ca;     // asks for client certificates; NULL: does not
    const char *greeting;      // "" by default
    struct network *allow;     // clients trusted without AUTH (session.trusted_network)
    size_t allow_count;
    struct network *proxy_from; // these speak the PROXY protocol first, nobody else may
    size_t proxy_count;
    bool auth_required;        // default: true for submission(s), false for relay, lmtp
    bool tls_required;         // before MAIL; default: true for submission, false for relay
    uint64_t size_max;         // 0: the top-level limits.message_size
};

struct conf_limits {
    uint64_t message_size;     // 50 MiB
    int header_size;           // 256 KiB
    int line_length, text_line_length; // 1000 (512 + extensions), 1000... see server.h
    int recipients;            // 1000 a transaction
    int commands, errors, messages; // a session: 10,000, 20, 0 = any
    int login_delay_s;         // 2, before a wrong login is answered
    int received;              // 30 Received fields: a loop
    int idle_s;                // 300
    int session_s;             // 3600 in all
    int connections;           // 10,000 at once in all
    int connections_per_address; // 100
    uint64_t memory_in_flight; // content held in memory while received: 256 MiB
    int hook_steps, hook_time_s; // a hook's budget
    uint64_t script_memory;    // of a worker's Lua state
    int queue_in_memory;       // deliveries a worker holds at once: 1,000
    uint64_t bodies_in_memory; // kept until their first attempt is over, in all: 64 MiB
    int connections_out;       // 500 at once in all
};

struct generation_options; // policy/generation.h

struct conf {
    struct arena arena;        // everything below lives here
    const char *file;          // as given
    const char *base;          // absolute folder that relative paths start at
    const char *hostname;      // default: the system's fully qualified name
    struct conf_listener *listeners;
    size_t listener_count;
    const char *certificate, *key;
    struct tls_pair *certificates; // further ones, by SNI
    size_t certificate_count;
    const char *ca;            // trusted roots for delivery; NULL: the system's
    const char *store;         // default var/queue
    uint64_t store_ceiling, store_reserve, segment_size;
    uint64_t journal_max;
    int64_t journal_keep_s;
    bool journal_decisions;
    const char *journal_headers; // names with blanks between them, "": none
    struct kept_fields journal_fields; // made of them
    struct addr ledger_redis;  // len 0: limits are this gateway's own
    const char *ledger_password, *ledger_ca, *ledger_tls_name; // NULL: none; as `ca`; the address
    bool ledger_tls;
    int workers;               // 0: one a core
    const char *scripts, *stdlib, *users; // users NULL: none
    const char *control;       // socket path, default var/control.sock
    const char *capture;       // folder of captured mail, default var/capture
    const char *events;        // file of event lines, default var/events.jsonl
    const char *user;          // run as, after binding; NULL: stay
    enum log_level log_level;
    const char *dns_servers;   // NULL: /etc/resolv.conf
    int dns_timeout_ms;
    bool dns_trust_ad;
    const char *http_hosts;    // NULL: none
    const char *http_ca;       // NULL: as `ca`
    bool http_private;
    const char *family;        // "both", "4", "6": for delivery
    int64_t expire_s;          // 5 days: give up
    int64_t report_delay_s;    // 0: no delay reports (RFC 3461 DELAY is then still honoured at 4 h)
    int smtp_port;             // 25: where direct delivery goes (a lab's setting)
    int64_t connect_timeout_s, smtp_timeout_s; // 30; 0 = RFC 5321's
    int lane_idle_s;           // connections kept for reuse: 5
    bool private_mx;           // deliver to MX on loopback and private addresses (a lab's setting; default false)
    const char *doctor_probe, *doctor_blocklists; // NULL: none
    struct conf_limits limits;
};

// On faults returns NULL after `fault` was called for each: "conf/tidegate.lua: limits.recipents: unknown key (did you mean 'recipients'?)".
struct conf *conf_load(const char *file, void (*fault)(void *arg, const char *text), void *arg);
// Each value for itself, not whether they fit each other and this machine (its certificates, its users): for work on the policy elsewhere.
struct conf *conf_read(const char *file, void (*fault)(void *arg, const char *text), void *arg);
void conf_free(struct conf **conf);
// What it says of scripts: their budgets, whom they may ask, where their keys are. All else of *out is nothing; whoever runs them adds the world.
void conf_script_options(const struct conf *conf, struct generation_options *out);
const char *conf_find(void); // lives as long as the environment; $TIDEGATE_CONF, ./conf/tidegate.lua, /etc/tidegate/tidegate.lua: the first that exists; or NULL
// Keys that differ and that a reload cannot apply, one call each.
void conf_fixed_changes(const struct conf *was, const struct conf *now, void (*key)(void *arg, const char *name), void *arg);
// Appends the control socket's path as far as it can be known, whatever faults the file has: a broken configuration must
// not keep anyone from the gateway that still runs.
void conf_peek_control(const char *file, struct buf *out);
bool conf_peek_users(const char *file, struct buf *out); // the users file's path in the same way; false: it has none
