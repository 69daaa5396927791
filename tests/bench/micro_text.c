// SPDX-License-Identifier: MIT
// micro_text: what every byte of a message passes through: undoing dots, gauging, the body's DKIM hash,
// stuffing dots.
#include "micro.h"
#include "base/jsonl.h"
#include "mail/canon.h"
#include "mail/header.h"
#include "smtp/gauge.h"
#include "store/crc32c.h"

static struct buf read_dots(struct bytes wire) {
    struct dot_reader reader = {0};
    struct buf out = {0};
    for (bool ended = false; !ended;)
        buf_add(&out, dot_read(&reader, &wire, &ended));
    return out;
}

static void undot(void *arg) {
    struct bytes wire = buf_bytes(arg);
    struct dot_reader reader = {0};
    for (bool ended = false; !ended;)
        dot_read(&reader, &wire, &ended);
}

static void measure(void *arg) {
    struct bytes wire = buf_bytes(arg);
    struct gauge gauge = {0};
    for (bool ended = false; !ended;)
        gauge_undot(&gauge, &wire, &ended);
}

static void hash(void *arg) {
    struct bytes content = buf_bytes(arg);
    struct canon_body c;
    uint8_t sha256[DIGEST_SIZE];
    canon_body_init(&c);
    while (content.len) {
        struct bytes piece = bytes_first(content, 16384);
        canon_body_add(&c, piece);
        content = bytes_skip(content, piece.len);
    }
    canon_body_finish(&c, sha256, NULL);
}

static void digest(void *arg) {
    uint8_t sha256[DIGEST_SIZE];
    digest_sha256(buf_bytes(arg), sha256);
}

static void checksum(void *arg) {
    struct buf *content = arg;
    static volatile uint32_t keep; // so that the call is not optimized away
    (void)keep;
    keep = crc32c(0, content->at, content->len);
}

static struct buf stuffed;
static void stuff(void *arg) {
    struct bytes content = buf_bytes(arg);
    struct dot_writer writer = {0};
    buf_reset(&stuffed);
    while (content.len) {
        struct bytes piece = bytes_first(content, 16384);
        dot_write(&writer, &stuffed, piece);
        content = bytes_skip(content, piece.len);
    }
    dot_end(&writer, &stuffed);
}

static void fields(void *arg) {
    struct bytes rest = buf_bytes(arg);
    struct header_field field;
    size_t count = 0;
    while (header_next(&rest, &field))
        count++;
    bug_if(!count);
}

static void event(void *arg) {
    struct buf *out = arg;
    buf_reset(out);
    struct jsonl j = jsonl_begin(out);
    jsonl_time(&j, "time", 1767268800123);
    jsonl_textz(&j, "type", "delivered");
    jsonl_textz(&j, "id", "01952dd4b0080001");
    jsonl_int(&j, "n", 0);
    jsonl_text(&j, "sender", BYTES("sender@load.example"));
    jsonl_text(&j, "recipient", BYTES("recipient@sink.example"));
    jsonl_text(&j, "user", BYTES(""));
    jsonl_text(&j, "lane", BYTES("relay 127.0.0.1:2525 none"));
    jsonl_open(&j, "reply", '{');
    jsonl_int(&j, "code", 250);
    jsonl_textz(&j, "status", "2.0.0");
    jsonl_textz(&j, "text", "2.0.0 taken");
    jsonl_close(&j, '}');
    jsonl_bool(&j, "tls_verified", false);
    jsonl_int(&j, "attempt", 1);
    jsonl_int(&j, "queue_ms", 12);
    jsonl_text(&j, "policy", BYTES("fb8480cf94ff"));
    jsonl_text(&j, "where", BYTES("policy.lua:42"));
    jsonl_text(&j, "because", BYTES("warm, 212 of 500 left today"));
    jsonl_end(&j);
}

int main(void) {
    struct buf content = {0}, wire = {0}, head = {0}, line = {0};
    micro_text(&content, 1 << 20);
    struct dot_writer writer = {0};
    dot_write(&writer, &wire, buf_bytes(&content));
    dot_end(&writer, &wire);
    struct buf back = read_dots(buf_bytes(&wire));
    bug_if(!bytes_equal(buf_bytes(&back), buf_bytes(&content)));
    for (int i = 0; i < 20; i++)
        buf_format(&head, "X-Field-%d: a value as long as usual, with words, number %d\r\n", i, i);

    micro_run("text", "undo dots", wire.len, undot, &wire);
    micro_run("text", "undo dots and gauge", wire.len, measure, &wire);
    micro_run("text", "relaxed body hash", content.len, hash, &content);
    micro_run("text", "bare SHA-256", content.len, digest, &content);
    micro_run("text", "CRC32C", content.len, checksum, &content);
    micro_run("text", "stuff dots", content.len, stuff, &content);
    micro_run("text", "header fields", head.len, fields, &head);
    micro_run("text", "an event's line", 0, event, &line);
    buf_release(&line);
    buf_release(&content);
    buf_release(&wire);
    buf_release(&head);
    buf_release(&back);
    buf_release(&stuffed);
    return 0;
}
