// SPDX-License-Identifier: MIT
// pocket_dns: a DNS server that fits in a test: a few records, on the test's own loop, over UDP and TCP.
//
//     struct pocket_dns p;
//     pocket_open(&p, loop, 0);                            // p.address is "127.0.0.1:PORT"
//     pocket_add(&p, "example.com", 300, "MX", "10 mail.example.com");
//     pocket_behave(&p, "slow.example", POCKET_SILENT);    // whatever is asked about that name
//     ... p.asked, p.asked_tcp ...
//     pocket_close(&p);
//
// A name it has not heard of is NXDOMAIN, a type it does not have NODATA, both with an SOA (minimum
// p.minimum_s). CNAMEs are followed within its records. Header-only; every test is a program of its own.
#pragma once

#include "base/bytes.h"
#include "net/addr.h"
#include "net/dns.h"
#include "net/loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum pocket_mood {
    POCKET_USUAL,
    POCKET_SILENT,
    POCKET_SERVFAIL,
    POCKET_REFUSED,
    POCKET_TRUNCATE,       // over UDP; TCP has all
    POCKET_WRONG_ID,       // then nothing more
    POCKET_WRONG_QUESTION, // then nothing more
    POCKET_LIES_FIRST,     // an answer with a wrong id and one to another question, then the right one
    POCKET_GARBAGE,        // bytes that are no DNS message
    POCKET_MALFORMED,      // the right header and question, a record that is broken
    POCKET_NO_EDNS,        // FORMERR to any question with an OPT record
    POCKET_REFERRAL,       // NS records and nothing else
    POCKET_NO_SOA,         // NODATA without an SOA
};

struct pocket_record {
    char name[256];
    uint32_t ttl_s;
    uint16_t type;
    struct buf data;
};

struct pocket_dns {
    struct loop *loop;
    int udp, tcp, client; // one TCP client at a time
    struct watch *watch_udp, *watch_tcp, *watch_client;
    char address[64];
    uint16_t port;
    size_t asked, asked_tcp;   // questions that came, over TCP in both
    size_t with_edns, with_ad; // of them
    bool authentic;            // set AD in answers
    uint32_t minimum_s;        // of the SOA
    enum pocket_mood mood;     // for names that have none of their own
    struct {
        char name[256];
        enum pocket_mood mood;
    } moods[64];
    size_t mood_count;
    struct pocket_record records[256];
    size_t record_count;
};

static inline void pocket_name(struct buf *out, const char *name) {
    struct bytes rest = bytes_of(name);
    while (rest.len) {
        struct bytes label = bytes_cut(&rest, '.');
        buf_byte(out, (char)label.len);
        buf_add(out, label);
    }
    buf_byte(out, 0);
}

static inline void pocket_u16(struct buf *out, unsigned v) {
    buf_byte(out, (char)(v >> 8));
    buf_byte(out, (char)v);
}

static inline void pocket_u32(struct buf *out, uint32_t v) {
    pocket_u16(out, v >> 16);
    pocket_u16(out, v & 0xffff);
}

static inline void pocket_rr(struct buf *out, const char *name, unsigned type, uint32_t ttl_s,
                             struct bytes data) {
    pocket_name(out, name);
    pocket_u16(out, type);
    pocket_u16(out, 1);
    pocket_u32(out, ttl_s);
    pocket_u16(out, (unsigned)data.len);
    buf_add(out, data);
}

// Header and question; the counts of the other sections are the caller's.
static inline void pocket_header(struct buf *out, unsigned id, unsigned flags, const char *name,
                                 unsigned type, unsigned an, unsigned ns, unsigned ar) {
    pocket_u16(out, id);
    pocket_u16(out, flags);
    pocket_u16(out, 1);
    pocket_u16(out, an);
    pocket_u16(out, ns);
    pocket_u16(out, ar);
    pocket_name(out, name);
    pocket_u16(out, type);
    pocket_u16(out, 1);
}

static inline void pocket_soa(struct buf *out, uint32_t ttl_s, uint32_t minimum_s) {
    struct buf data = {0};
    pocket_name(&data, "ns.pocket");
    pocket_name(&data, "hostmaster.pocket");
    for (int i = 0; i < 4; i++)
        pocket_u32(&data, 7200);
    pocket_u32(&data, minimum_s);
    pocket_rr(out, "pocket", 6, ttl_s, buf_bytes(&data));
    buf_release(&data);
}

// "MX" takes "10 host" ("0 ." the null MX), "TXT" one string a 255 bytes, "TLSA" "3 1 1 hexless-bytes".
static inline void pocket_data(struct buf *out, const char *type, const char *text, uint16_t *number) {
    char ip[16];
    if (strcmp(type, "A") == 0 && inet_pton(AF_INET, text, ip) == 1) {
        *number = DNS_A;
        buf_add(out, bytes_range(ip, 4));
    } else if (strcmp(type, "AAAA") == 0 && inet_pton(AF_INET6, text, ip) == 1) {
        *number = DNS_AAAA;
        buf_add(out, bytes_range(ip, 16));
    } else if (strcmp(type, "MX") == 0) {
        *number = DNS_MX;
        char *host;
        pocket_u16(out, (unsigned)strtoul(text, &host, 10));
        pocket_name(out, strcmp(host + 1, ".") == 0 ? "" : host + 1);
    } else if (strcmp(type, "CNAME") == 0 || strcmp(type, "PTR") == 0) {
        *number = type[0] == 'C' ? DNS_CNAME : DNS_PTR;
        pocket_name(out, text);
    } else if (strcmp(type, "TXT") == 0) {
        *number = DNS_TXT;
        for (struct bytes rest = bytes_of(text); rest.len;) {
            struct bytes part = bytes_first(rest, 255);
            buf_byte(out, (char)part.len);
            buf_add(out, part);
            rest = bytes_skip(rest, part.len);
        }
    } else if (strcmp(type, "TLSA") == 0) {
        *number = DNS_TLSA;
        for (int i = 0; i < 3; i++)
            buf_byte(out, (char)(text[i * 2] - '0'));
        buf_addz(out, text + 6);
    } else {
        fprintf(stderr, "pocket_dns: bad record: %s %s\n", type, text);
        abort();
    }
}

static inline void pocket_add(struct pocket_dns *p, const char *name, uint32_t ttl_s, const char *type,
                              const char *text) {
    if (p->record_count == sizeof p->records / sizeof p->records[0]) abort();
    struct pocket_record *r = &p->records[p->record_count++];
    snprintf(r->name, sizeof r->name, "%s", name);
    r->ttl_s = ttl_s;
    pocket_data(&r->data, type, text, &r->type);
}

static inline void pocket_forget(struct pocket_dns *p) {
    while (p->record_count)
        buf_release(&p->records[--p->record_count].data);
    p->mood_count = 0;
    p->mood = POCKET_USUAL;
}

static inline void pocket_behave(struct pocket_dns *p, const char *name, enum pocket_mood mood) {
    if (p->mood_count == sizeof p->moods / sizeof p->moods[0]) abort();
    snprintf(p->moods[p->mood_count].name, sizeof p->moods[0].name, "%s", name);
    p->moods[p->mood_count++].mood = mood;
}

static inline enum pocket_mood pocket_mood_of(const struct pocket_dns *p, const char *name) {
    for (size_t i = p->mood_count; i-- > 0;) // the last word counts
        if (strcasecmp(p->moods[i].name, name) == 0) return p->moods[i].mood;
    return p->mood;
}

struct pocket_question {
    uint16_t id, type;
    char name[256];
    bool edns, ad;
};

static inline bool pocket_read(struct bytes m, struct pocket_question *q) {
    if (m.len < 17) return false;
    *q = (struct pocket_question){.id = get_be16(m.at)};
    q->ad = m.at[3] & 0x20;
    q->edns = get_be16(m.at + 10) > 0;
    size_t at = 12, len = 0;
    while (at < m.len && m.at[at]) {
        size_t n = (uint8_t)m.at[at++];
        if (n > 63 || at + n > m.len || len + n + 1 >= sizeof q->name) return false;
        if (len) q->name[len++] = '.';
        memcpy(q->name + len, m.at + at, n);
        len += n;
        at += n;
    }
    if (at + 5 > m.len) return false;
    q->type = get_be16(m.at + at + 1);
    return true;
}

static inline void pocket_answer(struct pocket_dns *p, const struct pocket_question *q, enum pocket_mood mood,
                                 struct buf *out) {
    struct buf records = {0};
    unsigned count = 0, authority = 0;
    bool known = false, found = false;
    const char *name = q->name;
    for (int hops = 0; name && hops < 20; hops++) {
        const char *alias = NULL;
        for (size_t i = 0; i < p->record_count; i++) {
            struct pocket_record *r = &p->records[i];
            if (strcasecmp(r->name, name) != 0) continue;
            known = true;
            if (r->type != q->type && r->type != DNS_CNAME) continue;
            pocket_rr(&records, name, r->type, r->ttl_s, buf_bytes(&r->data));
            count++;
            if (r->type == q->type)
                found = true;
            else
                for (size_t k = 0; k < p->record_count && !alias; k++) { // its target, as a name of ours
                    struct buf wire = {0};
                    pocket_name(&wire, p->records[k].name);
                    if (bytes_equal(buf_bytes(&wire), buf_bytes(&r->data))) alias = p->records[k].name;
                    buf_release(&wire);
                }
        }
        if (!alias && !found && hops && !known) break;
        if (found) break;
        name = alias;
    }
    unsigned rcode = known ? 0 : 3;
    if (!found && mood != POCKET_NO_SOA) {
        pocket_soa(&records, 7200, p->minimum_s);
        authority = 1;
    }
    pocket_header(out, q->id, 0x8180 | (p->authentic ? 0x20 : 0) | rcode, q->name, q->type, count, authority,
                  0);
    buf_add(out, buf_bytes(&records));
    buf_release(&records);
}

typedef void pocket_reply(struct pocket_dns *p, struct bytes message, void *arg);

static inline void pocket_serve(struct pocket_dns *p, struct bytes message, bool tcp, pocket_reply *reply,
                                void *arg) {
    struct pocket_question q;
    if (!pocket_read(message, &q)) return;
    p->asked++;
    p->asked_tcp += tcp;
    p->with_edns += q.edns;
    p->with_ad += q.ad;
    enum pocket_mood mood = pocket_mood_of(p, q.name);
    struct pocket_question lie = q;
    struct buf out = {0};
    switch (mood) {
    case POCKET_SILENT:
        return;
    case POCKET_SERVFAIL:
    case POCKET_REFUSED:
        pocket_header(&out, q.id, mood == POCKET_REFUSED ? 0x8185 : 0x8182, q.name, q.type, 0, 0, 0);
        break;
    case POCKET_NO_EDNS:
        if (q.edns)
            pocket_header(&out, q.id, 0x8181, q.name, q.type, 0, 0, 0);
        else
            pocket_answer(p, &q, mood, &out);
        break;
    case POCKET_TRUNCATE:
        if (!tcp)
            pocket_header(&out, q.id, 0x8380, q.name, q.type, 0, 0, 0);
        else
            pocket_answer(p, &q, mood, &out);
        break;
    case POCKET_WRONG_ID:
    case POCKET_LIES_FIRST:
        lie.id ^= 0x5555;
        pocket_answer(p, &lie, mood, &out);
        if (mood == POCKET_WRONG_ID) break;
        reply(p, buf_bytes(&out), arg);
        buf_reset(&out);
        pocket_header(&out, q.id, 0x8180, "other.name", q.type, 0, 0, 0);
        reply(p, buf_bytes(&out), arg);
        buf_reset(&out);
        pocket_answer(p, &q, mood, &out);
        break;
    case POCKET_WRONG_QUESTION:
        pocket_header(&out, q.id, 0x8180, "other.name", q.type, 0, 0, 0);
        break;
    case POCKET_GARBAGE:
        buf_addz(&out, "this is not the message you are looking for");
        break;
    case POCKET_MALFORMED:
        pocket_header(&out, q.id, 0x8180, q.name, q.type, 1, 0, 0);
        pocket_rr(&out, q.name, q.type, 300, BYTES("\xff"));
        break;
    case POCKET_REFERRAL:
        pocket_header(&out, q.id, 0x8100, q.name, q.type, 0, 1, 0);
        pocket_rr(&out, "pocket", 2, 300, BYTES("\2ns\6pocket\0"));
        break;
    case POCKET_USUAL:
    case POCKET_NO_SOA:
        pocket_answer(p, &q, mood, &out);
        break;
    }
    reply(p, buf_bytes(&out), arg);
    buf_release(&out);
}

static inline void pocket_reply_udp(struct pocket_dns *p, struct bytes message, void *peer) {
    if (sendto(p->udp, message.at, message.len, 0, peer, sizeof(struct sockaddr_in)) < 0)
        perror("pocket_dns");
}

static inline void pocket_reply_tcp(struct pocket_dns *p, struct bytes message, void *arg) {
    (void)arg;
    struct buf framed = {0};
    pocket_u16(&framed, (unsigned)message.len);
    buf_add(&framed, message);
    for (size_t at = 0; at < framed.len;) {
        ssize_t n = write(p->client, framed.at + at, framed.len - at);
        if (n <= 0) break;
        at += (size_t)n;
    }
    buf_release(&framed);
}

static inline void pocket_on_udp(void *arg, int what) {
    (void)what;
    struct pocket_dns *p = arg;
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    char message[4096];
    ssize_t n = recvfrom(p->udp, message, sizeof message, MSG_DONTWAIT, (struct sockaddr *)&peer, &len);
    if (n > 0) pocket_serve(p, bytes_range(message, (size_t)n), false, pocket_reply_udp, &peer);
}

static inline void pocket_hang_up(struct pocket_dns *p) {
    watch_free(&p->watch_client);
    if (p->client >= 0) close(p->client);
    p->client = -1;
}

static inline void pocket_on_client(void *arg, int what) {
    (void)what;
    struct pocket_dns *p = arg;
    char message[4096]; // a question over loopback comes in one piece
    ssize_t n = recv(p->client, message, sizeof message, MSG_DONTWAIT);
    if (n <= 2) {
        if (n >= 0 || errno != EAGAIN) pocket_hang_up(p);
        return;
    }
    pocket_serve(p, bytes_range(message + 2, (size_t)n - 2), true, pocket_reply_tcp, NULL);
}

static inline void pocket_on_tcp(void *arg, int what) {
    (void)what;
    struct pocket_dns *p = arg;
    int fd = accept(p->tcp, NULL, NULL);
    if (fd < 0) return;
    pocket_hang_up(p);
    p->client = fd;
    p->watch_client = watch_new(p->loop, fd, pocket_on_client, p);
    watch_want(p->watch_client, WATCH_READ);
}

static inline int pocket_socket(int kind, uint16_t *port) {
    int fd = socket(AF_INET, kind | SOCK_CLOEXEC, 0), one = 1, buffer = 1 << 20;
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || getsockname(fd, (struct sockaddr *)&a, &len) < 0 ||
        (kind == SOCK_STREAM && listen(fd, 8) < 0)) {
        close(fd);
        return -1;
    }
    *port = ntohs(a.sin_port);
    return fd;
}

// port 0: one that is free for both UDP and TCP.
static inline void pocket_open(struct pocket_dns *p, struct loop *loop, uint16_t port) {
    *p = (struct pocket_dns){.loop = loop, .client = -1, .minimum_s = 60};
    for (int tries = 0;; tries++) {
        p->port = port;
        p->tcp = pocket_socket(SOCK_STREAM, &p->port);
        p->udp = p->tcp < 0 ? -1 : pocket_socket(SOCK_DGRAM, &p->port);
        if (p->udp >= 0) break;
        if (p->tcp >= 0) close(p->tcp);
        if (tries > 20) abort();
    }
    snprintf(p->address, sizeof p->address, "127.0.0.1:%u", p->port);
    p->watch_udp = watch_new(loop, p->udp, pocket_on_udp, p);
    p->watch_tcp = watch_new(loop, p->tcp, pocket_on_tcp, p);
    watch_want(p->watch_udp, WATCH_READ);
    watch_want(p->watch_tcp, WATCH_READ);
}

static inline void pocket_close(struct pocket_dns *p) {
    pocket_hang_up(p);
    watch_free(&p->watch_udp);
    watch_free(&p->watch_tcp);
    close(p->udp);
    close(p->tcp);
    pocket_forget(p);
}
