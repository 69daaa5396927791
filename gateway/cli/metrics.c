// SPDX-License-Identifier: MIT
#include "cli/metrics.h"

struct metric {
    const char *name, *label; // label: what stands in braces, ""
    const char *type, *help;  // NULL: another of the metric above
    const char *within, *member; // of the row; within NULL: the row itself
};

static const struct metric metrics[] = {
    {"tidegate_uptime_seconds", "", "gauge", "Since the start.", NULL, "uptime_s"},
    {"tidegate_draining", "", "gauge", "1 while no new mail is taken at an operator's word.", NULL, "draining"},
    {"tidegate_accepted_messages_total", "", "counter", "Messages acknowledged with 250.", NULL, "accepted"},
    {"tidegate_refused_total", "", "counter", "Clients, logins, senders, recipients and messages that were refused or put off.", NULL, "refused"},
    {"tidegate_delivered_recipients_total", "", "counter", "Recipients whose mail a peer took.", NULL, "delivered"},
    {"tidegate_deferred_recipients_total", "", "counter", "Attempts for a recipient that will be made again.", NULL, "deferred"},
    {"tidegate_bounced_recipients_total", "", "counter", "Recipients given up as refused.", NULL, "bounced"},
    {"tidegate_expired_recipients_total", "", "counter", "Recipients given up because time ran out.", NULL, "expired"},
    {"tidegate_suppressed_recipients_total", "", "counter", "Recipients not written to because of the suppression list.", NULL, "suppressed"},
    {"tidegate_policy_faults_total", "", "counter", "Hooks that failed.", NULL, "faults"},
    {"tidegate_queue_messages", "", "gauge", "Messages in the queue.", NULL, "messages"},
    {"tidegate_queue_recipients", "state=\"due\"", "gauge", "Recipients in the queue: due at a time, parked until a way or a limit has room, held.", NULL, "due"},
    {"tidegate_queue_recipients", "state=\"parked\"", NULL, NULL, NULL, "parked"},
    {"tidegate_queue_recipients", "state=\"held\"", NULL, NULL, NULL, "held"},
    {"tidegate_lanes", "", "gauge", "Ways out that have work.", NULL, "lanes"},
    {"tidegate_pauses", "", "gauge", "Pauses of lanes, identities and domains by operators.", NULL, "pauses"},
    {"tidegate_connections", "direction=\"in\"", "gauge", "Connections open now.", NULL, "connections"},
    {"tidegate_connections", "direction=\"out\"", NULL, NULL, NULL, "connections_out"},
    {"tidegate_connections_limit", "direction=\"in\"", "gauge", "The most that the configuration allows.", "limits", "connections"},
    {"tidegate_connections_limit", "direction=\"out\"", NULL, NULL, "limits", "connections_out"},
    {"tidegate_open_files", "", "gauge", "Open file descriptors.", "limits", "files_open"},
    {"tidegate_open_files_limit", "", "gauge", "The most there may be.", "limits", "files"},
    {"tidegate_memory_resident_bytes", "", "gauge", "Memory in use.", "memory", "resident_bytes"},
    {"tidegate_memory_limit_bytes", "", "gauge", "The machine's, or what a control group leaves of it.", "memory", "most_bytes"},
    {"tidegate_script_memory_bytes", "", "gauge", "Memory of the scripts, all workers.", NULL, "script_memory"},
    {"tidegate_receiving_bytes", "", "gauge", "Memory of messages that are just being received.", NULL, "memory_in_flight"},
    {"tidegate_fresh_body_bytes", "", "gauge", "Memory of bodies that were just accepted and await their first attempt.", NULL, "memory_fresh"},
    {"tidegate_disk_free_bytes", "", "gauge", "Free on the queue's disk.", "disk", "free_bytes"},
    {"tidegate_disk_size_bytes", "", "gauge", "Size of the queue's disk.", "disk", "whole_bytes"},
    {"tidegate_store_body_bytes", "", "gauge", "What message bodies take on disk.", "store", "body_bytes_disk"},
    {"tidegate_store_database_bytes", "", "gauge", "What the queue's database takes on disk.", "store", "db_bytes"},
    {"tidegate_store_commits_total", "", "counter", "Commits of the queue's database.", "store", "commits"},
    {"tidegate_store_has_room", "", "gauge", "0: new mail hears 452 4.3.1.", "store", "has_room"},
    {"tidegate_store_sick", "", "gauge", "1: the queue cannot be written, so nothing is taken or delivered.", "store", "sick"},
    {"tidegate_shared_limits_in_reach", "", "gauge", "0: nothing is granted of limits that gateways share, as their Redis does not answer.", "shared_limits", "in_reach"},
    {"tidegate_store_unwritten", "", "gauge", "Outcomes that wait in memory for the store.", "store", "unwritten"},
};
enum { METRICS = sizeof metrics / sizeof *metrics };

static bool number(const struct json *value, int64_t *n) {
    bool yes;
    if (json_int(value, n)) return true;
    if (!json_bool(value, &yes)) return false;
    *n = yes;
    return true;
}

static void put_head(struct buf *out, const char *name, const char *type, const char *help) {
    buf_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put(struct buf *out, const struct metric *m, const struct json *row) {
    int64_t n;
    if (m->within) row = json_get(row, m->within);
    if (!row) return; // what this gateway does not have
    if (m->help) put_head(out, m->name, m->type, m->help);
    if (!number(json_get(row, m->member), &n)) return;
    buf_addz(out, m->name);
    if (m->label[0]) buf_format(out, "{%s}", m->label);
    buf_format(out, " %lld\n", (long long)n);
}

static void put_label(struct buf *out, const char *name, const struct json *value) {
    struct bytes text = {0};
    json_text(value, &text);
    buf_format(out, "%s=\"", name);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '\n') buf_addz(out, "\\n");
        else buf_format(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
    }
    buf_addz(out, "\"");
}

static void put_up(struct buf *out, int up) {
    put_head(out, "tidegate_up", "gauge", "Whether the gateway answers.");
    buf_format(out, "tidegate_up %d\n", up);
}

// An empty queue has none in the row, and a graph wants a figure.
static void put_oldest(struct buf *out, const struct json *row) {
    int64_t age_s = 0;
    json_int(json_get(row, "oldest_s"), &age_s);
    put_head(out, "tidegate_queue_oldest_seconds", "gauge", "How long the oldest message has been in the queue, 0 when it is empty.");
    buf_format(out, "tidegate_queue_oldest_seconds %lld\n", (long long)age_s);
}

void metrics_nobody(struct buf *out) { put_up(out, 0); }

void metrics_of_status(struct buf *out, const struct json *row) {
    put_up(out, 1);
    put_head(out, "tidegate_info", "gauge", "Which version, and which policy is in force.");
    buf_addz(out, "tidegate_info{");
    put_label(out, "version", json_get(row, "version"));
    buf_addz(out, ",");
    put_label(out, "policy", json_get(row, "policy"));
    buf_addz(out, ",");
    put_label(out, "hostname", json_get(row, "hostname"));
    buf_addz(out, "} 1\n");
    put_oldest(out, row);
    for (int i = 0; i < METRICS; i++) put(out, &metrics[i], row);
}
