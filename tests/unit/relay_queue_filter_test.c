// SPDX-License-Identifier: MIT
// queue_filter: what is given must hold, all of it; and what cannot be read never means the whole queue.
#include "relay/queue_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct asked {
    struct message message;
    int times;
    bool gone;
};

static const struct message *message_of(void *arg, uint64_t id) {
    struct asked *asked = arg;
    assert_true(id == asked->message.id);
    asked->times++;
    return asked->gone ? NULL : &asked->message;
}

static bool read(const char *request, struct queue_filter *f, struct err *err) {
    struct json *j = json_parse(bytes_of(request), err);
    if (!j) fail_msg("%s: %s", request, err->text);
    *f = (struct queue_filter){0};
    bool good = queue_filter_read(j, f, err);
    json_free(&j);
    return good;
}

enum { NOW = 10000000 };

static bool matches(const char *request, struct asked *asked, const struct recipient *r) {
    struct queue_filter f;
    struct err err = {""};
    if (!read(request, &f, &err)) fail_msg("%s: %s", request, err.text);
    asked->times = 0;
    bool hit = queue_filter_matches(&f, r, NOW, message_of, asked);
    queue_filter_release(&f);
    return hit;
}

static struct asked some_message(void) {
    return (struct asked){.message = {.id = 0x1234, .received_ms = NOW - 60000, .sender = BYTES("News@Shop.example"), .tags = BYTES("{\"campaign\":\"may\",\"n\":1}")}};
}

static struct recipient some_recipient(void) {
    return (struct recipient){.id = 0x1234, .n = 2, .state = RECIPIENT_PARKED, .address = BYTES("ann@Sub.Example.net"), .lane = BYTES("sales|mx.example.net")};
}

static void each_name_alone(void **state) {
    (void)state;
    static const struct {
        const char *request;
        bool hit;
        bool of_message; // what the message has is looked at
    } cases[] = {
        {"{}", true, false},
        {"{\"filter\":{}}", true, false},
        {"{\"id\":\"0000000000001234\"}", true, false},
        {"{\"filter\":{\"id\":\"0000000000001235\"}}", false, false},
        {"{\"filter\":{\"state\":\"parked\"}}", true, false},
        {"{\"filter\":{\"state\":\"held\"}}", false, false},
        {"{\"filter\":{\"recipient\":\"ANN@sub.example.NET\"}}", true, false},
        {"{\"filter\":{\"recipient\":\"@sub.example.net\"}}", true, false},
        {"{\"filter\":{\"recipient\":\"@example.net\"}}", false, false},
        {"{\"filter\":{\"recipient\":\"*@*.example.net\"}}", true, false},
        {"{\"filter\":{\"recipient\":\"a?n@*\"}}", true, false},
        {"{\"filter\":{\"recipient\":\"ann\"}}", false, false},
        {"{\"filter\":{\"recipient\":\"\"}}", false, false},
        {"{\"filter\":{\"domain\":\"SUB.example.net\"}}", true, false},
        {"{\"filter\":{\"domain\":\"example.net\"}}", false, false},
        {"{\"filter\":{\"lane\":\"sales|mx.example.net\"}}", true, false},
        {"{\"filter\":{\"lane\":\"sales\"}}", false, false},
        {"{\"filter\":{\"identity\":\"sales\"}}", true, false},
        {"{\"filter\":{\"identity\":\"sale\"}}", false, false},
        {"{\"filter\":{\"sender\":\"news@shop.example\"}}", true, true},
        {"{\"filter\":{\"sender\":\"@shop.example\"}}", true, true},
        {"{\"filter\":{\"sender\":\"@example\"}}", false, true},
        {"{\"filter\":{\"older_than\":60}}", true, true},
        {"{\"filter\":{\"older_than\":61}}", false, true},
        {"{\"filter\":{\"older_than\":0}}", true, false},
        {"{\"filter\":{\"tag\":{\"campaign\":\"may\"}}}", true, true},
        {"{\"filter\":{\"tag\":{\"campaign\":\"june\"}}}", false, true},
        {"{\"filter\":{\"tag\":{\"campaign\":\"may\",\"more\":\"x\"}}}", false, true},
        {"{\"filter\":{\"tag\":{\"n\":\"1\"}}}", false, true}, // a number is not a text
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct asked asked = some_message();
        struct recipient r = some_recipient();
        if (matches(cases[i].request, &asked, &r) != cases[i].hit) fail_msg("%s: not %d", cases[i].request, cases[i].hit);
        if ((asked.times > 0) != cases[i].of_message) fail_msg("%s: the message was asked for %d times", cases[i].request, asked.times);
    }
}

static void all_that_are_given_must_hold(void **state) {
    (void)state;
    struct asked asked = some_message();
    struct recipient r = some_recipient();
    assert_true(matches("{\"id\":\"0000000000001234\",\"filter\":{\"domain\":\"sub.example.net\",\"older_than\":10,\"state\":\"parked\"}}", &asked, &r));
    assert_false(matches("{\"id\":\"0000000000001234\",\"filter\":{\"domain\":\"sub.example.net\",\"older_than\":100}}", &asked, &r));
    assert_false(matches("{\"filter\":{\"domain\":\"else.example\",\"older_than\":10}}", &asked, &r));
    assert_int_equal(asked.times, 0);
}

static void what_is_not_there_any_more_is_not_meant(void **state) {
    (void)state;
    struct asked asked = some_message();
    struct recipient r = some_recipient();
    asked.gone = true;
    assert_false(matches("{\"filter\":{\"sender\":\"news@shop.example\"}}", &asked, &r));
    r.lane = BYTES(""); // never had a way out
    assert_false(matches("{\"filter\":{\"identity\":\"\"}}", &asked, &r));
}

static void what_cannot_be_read_is_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{\"filter\":[]}", "filter is an object"},
        {"{\"filter\":\"all\"}", "filter is an object"},
        {"{\"filter\":{\"domian\":\"a\"}}", "domain"},
        {"{\"filter\":{\"domain\":7}}", "are texts"},
        {"{\"id\":\"12\"}", "16 hex digits"},
        {"{\"id\":12}", "16 hex digits"},
        {"{\"filter\":{\"state\":\"stuck\"}}", "due, parked, held"},
        {"{\"filter\":{\"older_than\":\"1h\"}}", "number of seconds"},
        {"{\"filter\":{\"older_than\":-1}}", "number of seconds"},
        {"{\"filter\":{\"older_than\":9223372036854775807}}", "number of seconds"}, // in milliseconds it would be none
        {"{\"filter\":{\"tag\":\"may\"}}", "tag is an object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct queue_filter f;
        struct err err = {""};
        if (read(cases[i][0], &f, &err)) fail_msg("%s: was read", cases[i][0]);
        if (!strstr(err.text, cases[i][1])) fail_msg("%s: '%s' does not say '%s'", cases[i][0], err.text, cases[i][1]);
        queue_filter_release(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_alone),
        cmocka_unit_test(all_that_are_given_must_hold),
        cmocka_unit_test(what_is_not_there_any_more_is_not_meant),
        cmocka_unit_test(what_cannot_be_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
