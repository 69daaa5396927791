// SPDX-License-Identifier: MIT
// event: lines reach the file whole, in order, and go on in a new file after rotation.
#include "relay/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

struct kit {
    char path[64], rotated[80];
    struct clock clock;
    struct log log;
    struct loop *loop;
    struct events *events;
    struct event_writer *writer;
};

static void setup(struct kit *k) {
    struct err err;
    *k = (struct kit){.path = "/tmp/tidegate-event-XXXXXX", .log = {.fd = -1}};
    int fd = mkstemp(k->path);
    assert_true(fd >= 0);
    close(fd);
    snprintf(k->rotated, sizeof k->rotated, "%s.1", k->path);
    k->clock.frozen_ms = 1770000000000;
    k->log.clock = &k->clock;
    k->loop = loop_new(&err);
    k->events = events_open(k->path, &k->log, &err);
    assert_non_null(k->events);
    k->writer = event_writer_new(k->events, k->loop, &k->clock);
}

static void teardown(struct kit *k) {
    event_writer_free(&k->writer);
    loop_free(&k->loop);
    events_close(&k->events);
    unlink(k->path);
    unlink(k->rotated);
}

static void read_file(const char *path, char *out, size_t size) {
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    out[fread(out, 1, size - 1, f)] = 0;
    fclose(f);
}

static void stop(struct task *task) { loop_stop(*(struct loop **)(task + 1)); }

static void turn(struct kit *k) {
    struct {
        struct task task;
        struct loop *loop;
    } last = {{.run = stop}, k->loop};
    loop_post(k->loop, &last.task);
    loop_run(k->loop);
}

static void hear(void *arg, struct bytes line) {
    buf_reset(arg);
    buf_add(arg, line);
}

static void lines_gather_and_arrive(void **state) {
    struct buf heard = {0};
    (void)state;
    struct kit k;
    char text[1024];
    setup(&k);
    struct jsonl *j = event_begin(k.writer, "received");
    jsonl_text(j, "sender", BYTES("a@\"b\n"));
    event_writer_listen(k.writer, hear, &heard);
    event_end(k.writer);
    struct bytes line = buf_bytes(&heard);
    assert_true(bytes_equal(line, BYTES("{\"time\":\"2026-02-02T02:40:00.000Z\",\"type\":\"received\",\"sender\":\"a@\\\"b\\u000a\"}")));
    event_put(k.writer, BYTES("{\"type\":\"delivered\"}\n"));
    read_file(k.path, text, sizeof text);
    assert_string_equal(text, ""); // not before the turn is over
    turn(&k);
    read_file(k.path, text, sizeof text);
    assert_string_equal(text, "{\"time\":\"2026-02-02T02:40:00.000Z\",\"type\":\"received\",\"sender\":\"a@\\\"b\\u000a\"}\n"
                              "{\"type\":\"delivered\"}\n");
    assert_true(bytes_equal(buf_bytes(&heard), BYTES("{\"type\":\"delivered\"}")));
    buf_release(&heard);
    teardown(&k);
}

static void a_rotated_file_is_left(void **state) {
    (void)state;
    struct kit k;
    char text[256];
    setup(&k);
    event_put(k.writer, BYTES("{\"n\":1}\n"));
    turn(&k);
    assert_int_equal(rename(k.path, k.rotated), 0);
    event_put(k.writer, BYTES("{\"n\":2}\n"));
    turn(&k);
    events_reopen(k.events);
    event_put(k.writer, BYTES("{\"n\":3}\n"));
    turn(&k);
    read_file(k.rotated, text, sizeof text);
    assert_string_equal(text, "{\"n\":1}\n{\"n\":2}\n");
    read_file(k.path, text, sizeof text);
    assert_string_equal(text, "{\"n\":3}\n");
    teardown(&k);
}

static void a_writer_freed_early_writes_what_it_has(void **state) {
    (void)state;
    struct kit k;
    char text[256];
    setup(&k);
    event_put(k.writer, BYTES("{\"n\":1}\n"));
    teardown(&k); // with the flush still posted: nothing may leak or be used after free
    setup(&k);
    event_put(k.writer, BYTES("{\"n\":1}\n"));
    event_writer_free(&k.writer);
    read_file(k.path, text, sizeof text);
    assert_string_equal(text, "{\"n\":1}\n");
    teardown(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines_gather_and_arrive), cmocka_unit_test(a_rotated_file_is_left),
                                       cmocka_unit_test(a_writer_freed_early_writes_what_it_has)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
