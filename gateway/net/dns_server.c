// SPDX-License-Identifier: MIT
#include "net/dns_server.h"

#include "base/bug.h"

#include <ares.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    SOCKETS_MAX = 8,          // of one channel: UDP, TCP, and what c-ares is about to close
    EDNS_SIZE = 1232,         // fits any path without fragments
    MISSES_TO_DOWN = 3,       // in a row, before a server is passed over
    PROBE_MS = 10000,         // between looks at a server that is down
    PLAIN_MS = 60000,         // without EDNS, before it is tried again
    RECEIVE_BUFFER = 1 << 20, // the kernel gives what it allows
    TICK_MS = 1000,           // lets c-ares drop what nobody waits for any more
};

struct socket_watch {
    struct dns_server *server;
    int fd;
    struct watch *watch; // NULL: free slot
};

struct dns_server {
    struct dns_server_options is;
    char text[ADDR_TEXT];
    ares_channel channel;
    struct socket_watch sockets[SOCKETS_MAX];
    struct timer *tick;
    size_t flights;
    int misses;       // tries it let pass in silence since it was last heard
    int64_t heard_at; // monotonic ms
    bool down;
    int64_t probed_at; // clock_ms, as the next
    bool plain;        // does not understand EDNS
    int64_t plain_since;
};

// Outlives its asker when another server was faster: asker is NULL then.
struct dns_flight {
    LIST_ENTRY(dns_flight) link;
    struct dns_server *server;
    struct dns_asker *asker;
    bool edns;
};

static int64_t monotonic_ms(void) {
    return clock_monotonic_us() / 1000;
}

// Also when the clock was set back: nothing here may last longer for that.
static bool has_passed(const struct dns_server *s, int64_t since, int64_t span_ms) {
    int64_t now = clock_ms(s->is.clock);
    return now - since >= span_ms || now < since;
}

const char *dns_server_text(const struct dns_server *s) {
    return s->text;
}

// ---- health

static void heard(struct dns_server *s) {
    s->misses = 0;
    s->heard_at = monotonic_ms();
    if (s->down && s->is.log) log_note(s->is.log, "dns: %s answers again", s->text);
    s->down = false;
}

static void went_down(struct dns_server *s, const char *why) {
    if (s->down) return;
    s->down = true;
    s->probed_at = clock_ms(s->is.clock);
    if (s->is.log) log_warn(s->is.log, "dns: %s: %s", s->text, why);
}

// A zone that is slow makes its resolver look silent; only one that answers nothing at all is down.
void dns_server_missed(struct dns_server *s) {
    if (++s->misses >= MISSES_TO_DOWN && monotonic_ms() - s->heard_at >= s->is.timeout_ms)
        went_down(s, "does not answer");
}

static void went_plain(struct dns_server *s) {
    s->plain = true;
    s->plain_since = clock_ms(s->is.clock);
}

bool dns_server_is_down(const struct dns_server *s) {
    return s->down;
}

bool dns_server_wants_probe(struct dns_server *s) {
    if (!s->down || !has_passed(s, s->probed_at, PROBE_MS)) return false;
    s->probed_at = clock_ms(s->is.clock);
    return true;
}

// ---- packets

static uint16_t random_id(void) {
    uint16_t id;
    bug_if(getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id);
    return id;
}

static void on_flight(void *arg, int status, int timeouts, unsigned char *message, int len);

void dns_server_send(struct dns_server *s, struct dns_asker *asker) {
    unsigned char *query;
    int len;
    bool edns = !s->plain;
    int rc = ares_create_query(asker->name, 1 /* IN */, asker->type, random_id(), 1, &query, &len,
                               edns ? EDNS_SIZE : 0);
    if (rc != ARES_SUCCESS) { // .onion (RFC 7686) is the one known case
        asker->landed(asker, s, DNS_UNSENDABLE, BYTES(""), "this name is not for DNS");
        return;
    }
    if (s->is.ask_ad) query[3] |= 0x20; // AD: we understand it in the answer (RFC 6840 section 5.7)
    struct dns_flight *f = must_alloc(sizeof *f);
    *f = (struct dns_flight){.server = s, .asker = asker, .edns = edns};
    LIST_INSERT_HEAD(&asker->flights, f, link);
    if (s->plain && has_passed(s, s->plain_since, PLAIN_MS))
        timer_set(s->tick, 0); // c-ares may be on the stack here
    else if (!s->flights)
        timer_set(s->tick, TICK_MS);
    s->flights++;
    ares_send(s->channel, query, len, on_flight, f);
    ares_free_string(query);
}

void dns_asker_forget(struct dns_asker *asker) {
    for (struct dns_flight *f; (f = LIST_FIRST(&asker->flights));) {
        LIST_REMOVE(f, link);
        f->asker = NULL;
    }
}

static bool is_formerr(struct bytes message) {
    return message.len >= 12 && (message.at[3] & 15) == 1;
}

static void on_flight(void *arg, int status, int timeouts, unsigned char *at, int len) {
    (void)timeouts;
    struct dns_flight *f = arg;
    struct dns_server *s = f->server;
    struct dns_asker *asker = f->asker;
    bool edns = f->edns;
    if (asker) LIST_REMOVE(f, link);
    free(f);
    s->flights--;
    bool cancelled = status == ARES_ECANCELLED || status == ARES_EDESTRUCTION;
    struct bytes message = bytes_range(at, at ? (size_t)len : 0);
    if (status == ARES_SUCCESS)
        heard(s);
    else if (!cancelled && status != ARES_ETIMEOUT)
        went_down(s, ares_strerror(status));
    if (!asker || status == ARES_ETIMEOUT) return;
    if (cancelled) {
        asker->landed(asker, s, DNS_LOST, BYTES(""), "");
    } else if (status != ARES_SUCCESS) {
        asker->landed(asker, s, DNS_UNREACHABLE, BYTES(""), ares_strerror(status));
    } else if (edns && is_formerr(message)) {
        went_plain(s);
        dns_server_send(s, asker);
    } else {
        asker->landed(asker, s, DNS_LANDED, message, "");
    }
}

// ---- c-ares on the loop

static void on_socket_ready(void *arg, int what) {
    struct socket_watch *w = arg;
    int fd = w->fd;
    ares_process_fd(w->server->channel, what & WATCH_READ ? fd : ARES_SOCKET_BAD,
                    what & WATCH_WRITE ? fd : ARES_SOCKET_BAD);
}

static struct socket_watch *socket_slot(struct dns_server *s, int fd) {
    struct socket_watch *vacant = NULL;
    for (size_t i = 0; i < SOCKETS_MAX; i++) {
        struct socket_watch *w = &s->sockets[i];
        if (w->watch && w->fd == fd) return w;
        if (!w->watch && !vacant) vacant = w;
    }
    return vacant;
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable) {
    struct dns_server *s = arg;
    struct socket_watch *w = socket_slot(s, fd);
    bug_if(!w);
    if (!readable && !writable) { // c-ares closes it next
        watch_free(&w->watch);
        return;
    }
    w->server = s;
    w->fd = fd;
    if (!w->watch) w->watch = watch_new(s->is.loop, fd, on_socket_ready, w);
    watch_want(w->watch, (readable ? WATCH_READ : 0) | (writable ? WATCH_WRITE : 0));
}

static bool channel_open(struct dns_server *s, ares_channel *channel, struct err *err) {
    struct ares_options o = {
        // NOCHECKRESP: failures come with their packet, which may say why.
        .flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_NOCHECKRESP,
        .timeout = s->is.life_ms,
        .tries = 1,
        .ednspsz = EDNS_SIZE,
        .socket_receive_buffer_size = RECEIVE_BUFFER,
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = s,
        .lookups = "b",
        .resolvconf_path = "/dev/null",
    };
    int rc = ares_init_options(channel, &o,
                               ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
                                   ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS | ARES_OPT_RESOLVCONF |
                                   ARES_OPT_SOCK_RCVBUF);
    if (rc != ARES_SUCCESS) return err_set(err, "c-ares: %s", ares_strerror(rc));
    rc = ares_set_servers_ports_csv(*channel, s->text);
    if (rc == ARES_SUCCESS) return true;
    ares_destroy(*channel);
    return err_set(err, "c-ares: %s", ares_strerror(rc));
}

// c-ares switches EDNS off in a channel for good when one answer says FORMERR; only a new channel has it
// again.
static bool has_lost_edns(const struct dns_server *s) {
    struct ares_options o = {0};
    int mask = 0;
    if (ares_save_options(s->channel, &o, &mask) != ARES_SUCCESS) return false;
    bool lost = !(o.flags & ARES_FLAG_EDNS);
    ares_destroy_options(&o);
    return lost;
}

static void restore_edns(struct dns_server *s) {
    if (!s->plain && has_lost_edns(s)) went_plain(s);
    if (!s->plain || !has_passed(s, s->plain_since, PLAIN_MS)) return;
    ares_channel fresh;
    if (!channel_open(s, &fresh, NULL)) return;
    ares_destroy(s->channel); // its flights come back as DNS_LOST
    s->channel = fresh;
    s->plain = false;
}

static void on_tick(void *arg) {
    struct dns_server *s = arg;
    ares_process_fd(s->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    restore_edns(s);
    if (s->flights) timer_set(s->tick, TICK_MS);
}

// ---- life

static void library_start(void) {
    ares_library_init(ARES_LIB_INIT_ALL);
}

static void library_once(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT; // workers start at the same time
    pthread_once(&once, library_start);
}

struct dns_server *dns_server_new(const struct addr *address, const struct dns_server_options *options,
                                  struct err *err) {
    library_once();
    struct dns_server *s = must_alloc(sizeof *s);
    s->is = *options;
    s->heard_at = monotonic_ms();
    addr_text(address, s->text);
    if (!channel_open(s, &s->channel, err)) {
        free(s);
        return NULL;
    }
    s->tick = timer_new(s->is.loop, on_tick, s);
    return s;
}

void dns_server_free(struct dns_server **server) {
    struct dns_server *s = *server;
    *server = NULL;
    if (!s) return;
    ares_destroy(s->channel);
    bug_if(s->flights);
    timer_free(&s->tick);
    free(s);
}

size_t dns_servers_of_system(struct addr *out, size_t max, struct err *err) {
    library_once();
    ares_channel reader;
    struct ares_addr_port_node *nodes = NULL;
    int rc = ares_init(&reader);
    if (rc != ARES_SUCCESS) {
        err_set(err, "/etc/resolv.conf: %s", ares_strerror(rc));
        return 0;
    }
    size_t count = 0;
    if (ares_get_servers_ports(reader, &nodes) == ARES_SUCCESS)
        for (struct ares_addr_port_node *n = nodes; n && count < max; n = n->next)
            count +=
                addr_from_ip(n->family, &n->addr, n->udp_port > 0 ? (uint16_t)n->udp_port : 53, &out[count]);
    ares_free_data(nodes);
    ares_destroy(reader);
    if (!count) err_set(err, "/etc/resolv.conf: no DNS server");
    return count;
}
