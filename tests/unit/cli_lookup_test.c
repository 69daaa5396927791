// SPDX-License-Identifier: MIT
#include "cli/lookup.h"

#include "pocket_dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <cmocka.h>

static void *serve(void *loop) {
    loop_run(loop);
    return NULL;
}

static void answers_are_kept(void **state) {
    (void)state;
    struct err err;
    struct pocket_dns p;
    pthread_t thread;
    struct loop *loop = loop_new(&err);
    pocket_open(&p, loop, 0);
    pocket_add(&p, "a.example", 300, "TXT", "v=spf1 -all");
    pocket_add(&p, "a.example", 300, "MX", "10 mx.a.example");
    pocket_add(&p, "1.2.0.192.in-addr.arpa", 300, "PTR", "host.a.example");
    p.authentic = true;
    pthread_create(&thread, NULL, serve, loop);
    struct lookup *l = lookup_new(p.address, 500, &err);
    assert_non_null(l);
    const struct dns_answer *txt = lookup_ask(l, "a.example", DNS_TXT),
                            *mx = lookup_ask(l, "a.example", DNS_MX),
                            *ptr = lookup_ask(l, "1.2.0.192.in-addr.arpa", DNS_PTR),
                            *none = lookup_ask(l, "b.example", DNS_A),
                            *bad = lookup_ask(l, "b..example", DNS_A),
                            *again = lookup_ask(l, "a.example", DNS_TXT);
    assert_true(txt->status == DNS_OK && txt->authentic &&
                bytes_equal(txt->records[0].text, BYTES("v=spf1 -all")));
    assert_string_equal(mx->records[0].mx.host, "mx.a.example");
    assert_string_equal(ptr->records[0].name, "host.a.example");
    assert_true(none->status == DNS_NO_NAME && bad->status == DNS_BAD_NAME && bad->why[0]);
    assert_true(bytes_equal(again->records[0].text, txt->records[0].text));
    lookup_free(&l);
    assert_null(l);
    loop_stop(loop);
    pthread_join(thread, NULL);
    pocket_close(&p);
    loop_free(&loop);
}

static void without_a_server(void **state) {
    (void)state;
    struct err err;
    struct lookup *l = lookup_new("127.0.0.1:9", 100, &err);
    assert_int_equal(lookup_ask(l, "a.example", DNS_A)->status, DNS_TEMPORARY);
    lookup_free(&l);
    assert_null(lookup_new("nonsense", 100, &err));
    assert_true(err.text[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_are_kept),
                                       cmocka_unit_test(without_a_server)};
    return cmocka_run_group_tests_name("cli/lookup", tests, NULL, NULL);
}
