// SPDX-License-Identifier: MIT
#include "net/fetch.h"

#include "base/bug.h"
#include "base/version.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

enum {
    CONNECTIONS = 64,
    CONNECTIONS_HOST = 8,
    REQUESTS = 1000,
    TIMEOUT_MS = 30000,
    ANSWER_MAX = 1 << 20,
    HEADERS_MAX = 200,        // of a request and of an answer
    HEADER_BYTES = 64 * 1024, // of an answer
    ADDRESSES_MAX = 8,
    POOL = 8, // easy handles kept for the next request
};

// resolving -> running -> ready -> told;  from anywhere to ready, with words
enum fetch_state { FETCH_RESOLVING, FETCH_RUNNING, FETCH_READY };

struct fetch_ticket {
    TAILQ_ENTRY(fetch_ticket) link;
    struct transfer *transfer;
    void (*call)(void *arg, const struct fetch_answer *answer);
    void *arg;
};

TAILQ_HEAD(fetch_tickets, fetch_ticket);

// A request on its way, for all who ask for the same meanwhile.
struct transfer {
    TAILQ_ENTRY(transfer) link; // in one of the lists of struct fetch
    struct fetch *fetch;
    struct fetch_tickets askers;
    bool telling; // they are told one by one: it stays though all others cancel
    enum fetch_state state;
    struct fetch_place place;
    struct dns_ticket *six, *four;
    struct addr addresses[ADDRESSES_MAX];
    size_t address_count;
    bool not_public; // an address was left out for that
    struct timer *deadline;
    int64_t timeout_ms;
    // The request.
    const char *method;
    char *url;
    struct buf body;
    struct curl_slist *headers, *resolve;
    CURL *easy; // while running
    // The answer.
    struct arena arena;
    size_t answer_max, header_bytes;
    bool too_large;
    struct buf answer_body;
    struct fetch_header answer_headers[HEADERS_MAX];
    struct fetch_answer answer;
    char words[CURL_ERROR_SIZE]; // libcurl's
    char why[CURL_ERROR_SIZE + 300];
};

TAILQ_HEAD(transfers, transfer);

struct fetch {
    struct loop *loop;
    struct dns *dns;
    struct fetch_options options;
    char *ca_file;
    CURLM *multi;        // NULL before the first request
    struct timer *timer; // libcurl's
    struct timer *soon;  // answers are due
    struct transfers open, ready;
    size_t count; // tickets
    CURL *pool[POOL];
    size_t pooled;
    bool telling;
};

struct socket { // one that libcurl waits for
    struct fetch *fetch;
    curl_socket_t fd;
    struct watch *watch;
};

// ---- the end of a transfer --------------------------------------------------------------------------------

static void give_easy(struct fetch *f, CURL *easy) {
    if (f->pooled == POOL) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy); // its connection stays with the multi handle
    f->pool[f->pooled++] = easy;
}

static void wipe(struct buf *b) {
    if (b->at) explicit_bzero(b->at, b->cap);
    buf_release(b);
}

// Gives back all but what the answer needs.
static void stop(struct transfer *t) {
    dns_cancel(&t->six);
    dns_cancel(&t->four);
    if (t->deadline) timer_free(&t->deadline);
    if (t->easy) {
        bug_if(curl_multi_remove_handle(t->fetch->multi, t->easy) != CURLM_OK);
        give_easy(t->fetch, t->easy);
        t->easy = NULL;
    }
    curl_slist_free_all(t->headers);
    curl_slist_free_all(t->resolve);
    t->headers = t->resolve = NULL;
    wipe(&t->body);
    if (t->url) explicit_bzero(t->url, strlen(t->url));
    free(t->url);
    t->url = NULL;
}

static void drop_ticket(struct fetch_ticket *ticket) {
    TAILQ_REMOVE(&ticket->transfer->askers, ticket, link);
    ticket->transfer->fetch->count--;
    free(ticket);
}

static void release(struct transfer *t) {
    stop(t);
    while (!TAILQ_EMPTY(&t->askers))
        drop_ticket(TAILQ_FIRST(&t->askers));
    TAILQ_REMOVE(t->state == FETCH_READY ? &t->fetch->ready : &t->fetch->open, t, link);
    wipe(&t->answer_body);
    arena_release(&t->arena);
    free(t);
}

void fetch_cancel(struct fetch_ticket **at) {
    struct fetch_ticket *ticket = *at;
    *at = NULL;
    if (!ticket) return;
    struct transfer *t = ticket->transfer;
    drop_ticket(ticket);
    if (TAILQ_EMPTY(&t->askers) && !t->telling) release(t);
}

static void make_ready(struct transfer *t) {
    stop(t);
    bug_if(t->state == FETCH_READY);
    TAILQ_REMOVE(&t->fetch->open, t, link);
    TAILQ_INSERT_TAIL(&t->fetch->ready, t, link);
    t->state = FETCH_READY;
    timer_set(t->fetch->soon, 0);
}

static void fail(struct transfer *t, bool temporary, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct transfer *t, bool temporary, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(t->why, sizeof t->why, format, args);
    va_end(args);
    t->answer = (struct fetch_answer){.why = t->why, .temporary = temporary};
    make_ready(t);
}

static void on_soon(void *arg) {
    struct fetch *f = arg;
    struct transfer *t;
    size_t n = 0;
    f->telling = true;
    TAILQ_FOREACH(t, &f->ready, link) n++; // what gets ready meanwhile has its turn later
    while (n-- && (t = TAILQ_FIRST(&f->ready))) {
        struct fetch_ticket *ticket;
        t->telling = true;
        while ((ticket = TAILQ_FIRST(&t->askers))) {
            struct fetch_ticket told = *ticket;
            drop_ticket(ticket);
            told.call(told.arg, &t->answer);
        }
        release(t);
    }
    f->telling = false;
    if (!TAILQ_EMPTY(&f->ready)) timer_set(f->soon, 0);
}

static void on_deadline(void *arg) {
    struct transfer *t = arg;
    fail(t, true, "%s did not answer within %lld ms", t->place.host, (long long)t->timeout_ms);
}

// ---- what libcurl tells us ----------------------------------------------------------------------

static size_t on_body(char *data, size_t size, size_t n, void *arg) {
    struct transfer *t = arg;
    size *= n;
    if (t->answer_body.len + size > t->answer_max) {
        t->too_large = true;
        return 0;
    }
    buf_add(&t->answer_body, bytes_range(data, size));
    return size;
}

static struct bytes lower_copy(struct arena *a, struct bytes text) {
    char *z = arena_z(a, text);
    for (size_t i = 0; i < text.len; i++)
        z[i] = byte_lower(z[i]);
    return bytes_range(z, text.len);
}

static size_t on_header(char *data, size_t size, size_t n, void *arg) {
    struct transfer *t = arg;
    struct bytes line = bytes_range(data, size * n);
    t->header_bytes += line.len;
    if (t->header_bytes > HEADER_BYTES) {
        t->too_large = true;
        return 0;
    }
    // An interim answer (1xx) has headers of its own, and so has a trailer; the status line begins anew.
    if (bytes_starts(line, BYTES("HTTP/"))) t->answer.header_count = 0;
    ptrdiff_t colon = bytes_find(line, ':');
    if (colon > 0 && t->answer.header_count < HEADERS_MAX)
        t->answer_headers[t->answer.header_count++] =
            (struct fetch_header){lower_copy(&t->arena, bytes_first(line, (size_t)colon)),
                                  arena_copy(&t->arena, bytes_trim(bytes_skip(line, (size_t)colon + 1)))};
    return line.len;
}

// The last look at where it goes, whatever name led here.
static curl_socket_t on_socket_wanted(void *arg, curlsocktype purpose, struct curl_sockaddr *to) {
    struct transfer *t = arg;
    struct addr a = {.len = (socklen_t)to->addrlen};
    if (purpose != CURLSOCKTYPE_IPCXN || to->addrlen > sizeof a.sa) return CURL_SOCKET_BAD;
    memcpy(&a.sa, &to->addr, to->addrlen);
    if (!t->fetch->options.private_ok && !addr_is_public(&a)) {
        t->not_public = true;
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static void conclude(struct transfer *t, CURLcode code) {
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (t->too_large) {
        fail(t, false, "the answer of %s is too large (of more than %zu bytes)", t->place.host,
             t->answer_max);
    } else if (code != CURLE_OK && t->not_public) {
        fail(t, false, "%s has no public address", t->place.host);
    } else if (code != CURLE_OK || status <= 0) {
        const char *words = t->words[0] ? t->words : curl_easy_strerror(code);
        fail(t, code != CURLE_PEER_FAILED_VERIFICATION, "%s: %s", t->place.host, words);
    } else {
        t->answer.status = (int)status;
        t->answer.headers = t->answer_headers;
        t->answer.body = buf_bytes(&t->answer_body);
        t->answer.why = "";
        make_ready(t);
    }
}

static void collect(struct fetch *f) {
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(f->multi, &left))) {
        struct transfer *t = NULL;
        if (m->msg != CURLMSG_DONE) continue;
        CURLcode code = m->data.result; // the message is gone with its handle
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        conclude(t, code);
    }
}

static void act(struct fetch *f, curl_socket_t fd, int what) {
    int running;
    bug_if(curl_multi_socket_action(f->multi, fd, what, &running) != CURLM_OK);
    collect(f);
}

static void on_timer(void *arg) {
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer_wanted(CURLM *multi, long ms, void *arg) {
    struct fetch *f = arg;
    (void)multi;
    if (ms < 0)
        timer_stop(f->timer);
    else
        timer_set(f->timer, ms);
    return 0;
}

static void on_ready(void *arg, int what) {
    struct socket *s = arg; // may be gone when libcurl returns
    act(s->fetch, s->fd, what == WATCH_READ ? CURL_CSELECT_IN : CURL_CSELECT_OUT);
}

static int on_watch_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *known) {
    struct fetch *f = arg;
    struct socket *s = known;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s) watch_free(&s->watch);
        free(s);
        return 0;
    }
    if (!s) {
        s = must_alloc(sizeof *s);
        *s = (struct socket){.fetch = f, .fd = fd, .watch = watch_new(f->loop, fd, on_ready, s)};
        curl_multi_assign(f->multi, fd, s);
    }
    watch_want(s->watch, (what & CURL_POLL_IN ? WATCH_READ : 0) | (what & CURL_POLL_OUT ? WATCH_WRITE : 0));
    return 0;
}

// ---- handing it to libcurl ----------------------------------------------------------------------

static void open_multi(struct fetch *f) {
    if (f->multi) return;
    bug_if(curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK); // counted, and safe from any thread since 7.84
    f->multi = curl_multi_init();
    bug_if(!f->multi);
    long connections = f->options.connections ? f->options.connections : CONNECTIONS;
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_watch_wanted);
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
    curl_multi_setopt(f->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections);
    curl_multi_setopt(f->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_HOST);
    curl_multi_setopt(f->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
}

static CURL *take_easy(struct fetch *f) {
    CURL *easy = f->pooled ? f->pool[--f->pooled] : curl_easy_init();
    bug_if(!easy);
    return easy;
}

#define SET(option, value) bug_if(curl_easy_setopt(t->easy, (option), (value)) != CURLE_OK)

static void set_guards(struct transfer *t) {
    SET(CURLOPT_PROTOCOLS_STR, t->place.tls ? "https" : "http");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_OPENSOCKETFUNCTION, on_socket_wanted);
    SET(CURLOPT_OPENSOCKETDATA, t);
    // The system's roots one by one, as they are needed: reading all of them at once would hold up the loop.
    const char *folder = curl_version_info(CURLVERSION_NOW)->capath;
    if (t->fetch->ca_file) {
        SET(CURLOPT_CAINFO, t->fetch->ca_file);
        SET(CURLOPT_CAPATH, NULL);
    } else if (folder) {
        SET(CURLOPT_CAINFO, NULL);
        SET(CURLOPT_CAPATH, folder);
    }
}

static void set_request(struct transfer *t) {
    SET(CURLOPT_URL, t->url);
    SET(CURLOPT_USERAGENT, "Tidegate/" TIDEGATE_VERSION);
    SET(CURLOPT_RESOLVE, t->resolve);
    SET(CURLOPT_HTTPHEADER, t->headers);
    SET(CURLOPT_CUSTOMREQUEST, t->method);
    if (strcmp(t->method, "HEAD") == 0) SET(CURLOPT_NOBODY, 1L);
    if (t->body.len || strcmp(t->method, "POST") == 0) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.len);
        SET(CURLOPT_POSTFIELDS, t->body.len ? t->body.at : "");
    }
}

static void set_answer(struct transfer *t) {
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_ERRORBUFFER, t->words);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
}

// "host:443:192.0.2.1,[2001:db8::1]". Without the "+" that lets an entry age: a request that has waited long
// for a connection must not find it gone and ask the system's resolver.
static void pin(struct transfer *t) {
    struct buf entry = {0};
    buf_format(&entry, "%s:%u:", t->place.host, t->place.port);
    for (size_t i = 0; i < t->address_count; i++) {
        char ip[ADDR_TEXT];
        bool six = addr_family(&t->addresses[i]) == AF_INET6;
        addr_ip_text(&t->addresses[i], ip);
        buf_format(&entry, "%s%s%s%s", i ? "," : "", six ? "[" : "", ip, six ? "]" : "");
    }
    t->resolve = curl_slist_append(NULL, buf_z(&entry));
    bug_if(!t->resolve);
    buf_release(&entry);
}

static void begin(struct transfer *t) {
    struct fetch *f = t->fetch;
    open_multi(f);
    if (!t->place.literal) pin(t);
    t->easy = take_easy(f);
    t->state = FETCH_RUNNING;
    set_guards(t);
    set_request(t);
    set_answer(t);
    bug_if(curl_multi_add_handle(f->multi, t->easy) != CURLM_OK);
}

// ---- resolving ----------------------------------------------------------------------------------

static void add_address(struct transfer *t, const struct addr *a) {
    if (!t->fetch->options.private_ok && !addr_is_public(a))
        t->not_public = true;
    else if (t->address_count < ADDRESSES_MAX)
        t->addresses[t->address_count++] = *a;
}

static void on_addresses(struct transfer *t, const struct dns_answer *answer) {
    for (size_t i = 0; i < answer->count; i++) {
        struct addr a;
        if (addr_from_ip(answer->records[i].address.family, answer->records[i].address.ip, t->place.port, &a))
            add_address(t, &a);
    }
    if (answer->status == DNS_TEMPORARY) snprintf(t->words, sizeof t->words, "%s", answer->why);
    if (t->six || t->four) return;
    if (t->address_count) {
        t->words[0] = 0;
        t->not_public = false;
        begin(t);
    } else if (t->words[0]) {
        fail(t, true, "DNS for %s: %.200s", t->place.host, t->words);
    } else {
        fail(t, false, "%s has no %saddress", t->place.host, t->not_public ? "public " : "");
    }
}

static void on_four(void *arg, const struct dns_answer *answer) {
    struct transfer *t = arg;
    t->four = NULL;
    on_addresses(t, answer);
}

static void on_six(void *arg, const struct dns_answer *answer) {
    struct transfer *t = arg;
    t->six = NULL;
    on_addresses(t, answer);
}

static void resolve(struct transfer *t) {
    if (t->place.literal) {
        add_address(t, &t->place.address);
        if (t->address_count)
            begin(t);
        else
            fail(t, false, "%s is no public address", t->place.host);
        return;
    }
    t->six = dns_ask(t->fetch->dns, t->place.host, DNS_AAAA, on_six, t);
    t->four = dns_ask(t->fetch->dns, t->place.host, DNS_A, on_four, t);
}

// ---- the request --------------------------------------------------------------------------------

static const char *known_method(const char *name) {
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i], name ? name : "GET") == 0) return methods[i];
    return NULL;
}

// What belongs to the connection is libcurl's to say.
static bool is_ours(struct bytes name) {
    static const char *const own[] = {
        "host",    "content-length", "transfer-encoding", "connection",       "expect",         "te",
        "trailer", "upgrade",        "keep-alive",        "proxy-connection", "accept-encoding"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (bytes_equal_nocase(name, bytes_of(own[i]))) return true;
    return false;
}

// RFC 9110 5.5 and 5.6.2.
static bool is_header(const struct fetch_header *h) {
    for (size_t i = 0; i < h->name.len; i++) {
        char c = h->name.at[i];
        if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c)) return false;
    }
    for (size_t i = 0; i < h->value.len; i++)
        if (((unsigned char)h->value.at[i] < ' ' && h->value.at[i] != '\t') || h->value.at[i] == 0x7f)
            return false;
    return h->name.len && !is_ours(h->name);
}

static void add_header(struct transfer *t, const char *line) {
    struct curl_slist *list = curl_slist_append(t->headers, line);
    bug_if(!list);
    t->headers = list;
}

static bool take_headers(struct transfer *t, const struct fetch_request *r) {
    struct buf line = {0};
    bool ok = r->header_count <= HEADERS_MAX;
    for (size_t i = 0; i < r->header_count && ok; i++) {
        const struct fetch_header *h = &r->headers[i];
        buf_reset(&line);
        ok = is_header(h);
        struct bytes value = bytes_trim(h->value);
        if (value.len)
            buf_format(&line, "%.*s: %.*s", BYTES_FMT(h->name), BYTES_FMT(value));
        else
            buf_format(&line, "%.*s;", BYTES_FMT(h->name)); // libcurl's word for an empty one
        if (ok) add_header(t, buf_z(&line));
    }
    wipe(&line);
    if (ok) add_header(t, "Expect:"); // none: nobody waits a second for 100
    return ok;
}

static bool take_request(struct transfer *t, const struct fetch_request *r, struct err *err) {
    t->method = known_method(r->method);
    t->url = bytes_dupz(r->url);
    buf_add(&t->body, r->body);
    if (!fetch_place(r->url, &t->place, err)) return false;
    if (!t->place.tls && !t->fetch->options.plain_ok) return err_set(err, "only https is possible");
    if (!t->method) return err_set(err, "the method is none of GET, HEAD, POST, PUT, PATCH, DELETE");
    if (r->body.len && (strcmp(t->method, "GET") == 0 || strcmp(t->method, "HEAD") == 0))
        return err_set(err, "%s has no body", t->method);
    return take_headers(t, r) || err_set(err, "a header that is none, or that belongs to the connection");
}

static bool same_headers(const struct curl_slist *a, const struct curl_slist *b) {
    for (; a && b && strcmp(a->data, b->data) == 0; b = b->next)
        a = a->next;
    return !a && !b;
}

// One under way whose answer is as good. A GET changes nothing (RFC 9110 9.2.1), so that one is as good as many.
static struct transfer *twin_of(const struct transfer *t) {
    struct transfer *o;
    TAILQ_FOREACH(o, &t->fetch->open, link) {
        if (o != t && o->method == t->method && strcmp(t->method, "GET") == 0 && strcmp(o->url, t->url) == 0 &&
            o->timeout_ms == t->timeout_ms && o->answer_max == t->answer_max && same_headers(o->headers, t->headers))
            return o;
    }
    return NULL;
}

static struct fetch_ticket *ticket_new(struct transfer *t, void (*answer)(void *arg, const struct fetch_answer *answer),
                                       void *arg) {
    struct fetch_ticket *ticket = must_alloc(sizeof *ticket);
    *ticket = (struct fetch_ticket){.transfer = t, .call = answer, .arg = arg};
    TAILQ_INSERT_TAIL(&t->askers, ticket, link);
    t->fetch->count++;
    return ticket;
}

struct fetch_ticket *fetch_ask(struct fetch *f, const struct fetch_request *r,
                               void (*answer)(void *arg, const struct fetch_answer *answer), void *arg) {
    struct transfer *t = must_alloc(sizeof *t), *twin;
    struct err err = {{0}};
    size_t most = f->options.requests ? (size_t)f->options.requests : REQUESTS;
    t->fetch = f;
    TAILQ_INIT(&t->askers);
    t->answer_max = r->answer_max ? r->answer_max : ANSWER_MAX;
    t->timeout_ms = r->timeout_ms ? r->timeout_ms : TIMEOUT_MS;
    TAILQ_INSERT_TAIL(&f->open, t, link);
    if (f->count >= most) {
        fail(t, true, "%zu requests are under way already", most);
    } else if (!take_request(t, r, &err)) {
        fail(t, false, "%s", err.text);
    } else if (f->options.instead) {
        t->answer.why = "";
        f->options.instead(f->options.instead_arg, r, &t->arena, &t->answer);
        make_ready(t);
    } else if ((twin = twin_of(t))) {
        release(t);
        t = twin;
    } else {
        t->deadline = timer_new(f->loop, on_deadline, t);
        timer_set(t->deadline, t->timeout_ms);
        resolve(t);
    }
    return ticket_new(t, answer, arg);
}

// ---- life ---------------------------------------------------------------------------------------

struct fetch *fetch_new(struct loop *loop, struct dns *dns, const struct fetch_options *options) {
    struct fetch *f = must_alloc(sizeof *f);
    f->loop = loop;
    f->dns = dns;
    f->options = *options;
    f->ca_file = options->ca_file ? bytes_dupz(bytes_of(options->ca_file)) : NULL;
    f->timer = timer_new(loop, on_timer, f);
    f->soon = timer_new(loop, on_soon, f);
    TAILQ_INIT(&f->open);
    TAILQ_INIT(&f->ready);
    return f;
}

void fetch_free(struct fetch **at) {
    struct fetch *f = *at;
    *at = NULL;
    if (!f) return;
    bug_if(f->telling);
    while (!TAILQ_EMPTY(&f->open))
        release(TAILQ_FIRST(&f->open));
    while (!TAILQ_EMPTY(&f->ready))
        release(TAILQ_FIRST(&f->ready));
    while (f->pooled)
        curl_easy_cleanup(f->pool[--f->pooled]);
    if (f->multi) {
        curl_multi_cleanup(f->multi);
        curl_global_cleanup();
    }
    timer_free(&f->timer);
    timer_free(&f->soon);
    free(f->ca_file);
    free(f);
}
