// SPDX-License-Identifier: MIT
// http.request in hooks. fetch_ask and fetch_cancel of this file take the place of net/fetch.
#include "policy_kit.h"

struct fetch_ticket {
    char method[10], url[300], headers[600];
    struct buf body;
    int64_t timeout_ms;
    void (*answer)(void *arg, const struct fetch_answer *answer);
    void *arg;
};
static struct fetch_ticket *open_request;
static int requests, cancelled;

struct fetch_ticket *fetch_ask(struct fetch *fetch, const struct fetch_request *r,
                               void (*answer)(void *arg, const struct fetch_answer *answer), void *arg) {
    assert_non_null(fetch);
    assert_null(open_request);
    struct fetch_ticket *t = must_alloc(sizeof *t);
    snprintf(t->method, sizeof t->method, "%s", r->method);
    snprintf(t->url, sizeof t->url, "%.*s", BYTES_FMT(r->url));
    size_t at = 0;
    for (size_t i = 0; i < r->header_count; i++)
        at += (size_t)snprintf(t->headers + at, sizeof t->headers - at, "%.*s=%.*s;",
                               BYTES_FMT(r->headers[i].name), BYTES_FMT(r->headers[i].value));
    buf_add(&t->body, r->body);
    t->timeout_ms = r->timeout_ms;
    t->answer = answer;
    t->arg = arg;
    requests++;
    return open_request = t;
}

static void drop_request(void) {
    buf_release(&open_request->body);
    free(open_request);
    open_request = NULL;
}

void fetch_cancel(struct fetch_ticket **ticket) {
    if (!*ticket) return;
    assert_ptr_equal(*ticket, open_request);
    drop_request();
    *ticket = NULL;
    cancelled++;
}

static void give(const struct fetch_answer *answer) {
    struct fetch_ticket t = *open_request;
    drop_request();
    t.answer(t.arg, answer);
}

struct fixture {
    struct kit kit;
    struct kit_answer got;
};

static int setup(void **state) {
    struct fixture *f = must_alloc(sizeof *f);
    kit_init(&f->kit);
    requests = cancelled = 0;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    assert_null(open_request);
    if (f->got.plan) plan_free(&f->got.plan);
    kit_release(&f->kit);
    free(f);
    return 0;
}

static const struct generation_options allowed = {
    .fetch = (struct fetch *)&allowed,
    .http_hosts = "api.example.com,*.wild.example,port.example:8443,[2001:db8::1]:444,all.example:443,mta-sts.*"};

// A policy whose route asks with the given argument, and says what came as the plan's because.
static void policy_that_asks(struct fixture *f, const char *argument) {
    char text[2000];
    snprintf(text, sizeof text,
             "local route = require 'route'\n"
             "return { route = function(m, r)\n"
             "  local a, why, temporary = http.request%s\n"
             "  if not a then return route.hold('nil ' .. why .. ' ' .. tostring(temporary)) end\n"
             "  local names = {}\n"
             "  for k, v in pairs(a.headers) do names[#names + 1] = k .. '=' .. v end\n"
             "  table.sort(names)\n"
             "  return route.hold(a.status .. ' ' .. a.body .. ' ' .. table.concat(names, ';'))\n"
             "end }",
             argument);
    kit_policy_with(&f->kit, text, &allowed);
}

static void start(struct fixture *f) {
    f->got.calls = 0;
    assert_non_null(hook_route(f->kit.g, &kit_message, &kit_recipient, kit_on_plan, &f->got));
}

static void expect(struct fixture *f, const char *because) {
    kit_turn(&f->kit);
    assert_int_equal(f->got.calls, 1);
    assert_false(f->got.plan->origin.fault);
    assert_string_equal(f->got.because, because);
}

static void expect_fault(struct fixture *f, const char *argument, const char *part) {
    policy_that_asks(f, argument);
    start(f);
    kit_turn(&f->kit);
    assert_int_equal(f->got.calls, 1);
    assert_true(f->got.plan->origin.fault);
    if (!strstr(f->got.because, part))
        fail_msg("%s: expected '%s', came '%s'", argument, part, f->got.because);
}

static void asks_and_goes_on(void **state) {
    struct fixture *f = *state;
    policy_that_asks(
        f, "{ url = 'https://API.example.com/x?y', method = 'POST', body = 'a\\0b\\n', timeout = '1m',"
           " headers = { ['Content-Type'] = 'text/plain' } }");
    start(f);
    assert_int_equal(requests, 1);
    assert_string_equal(open_request->method, "POST");
    assert_string_equal(open_request->url, "https://API.example.com/x?y");
    assert_string_equal(open_request->headers, "Content-Type=text/plain;");
    assert_true(bytes_equal(buf_bytes(&open_request->body), BYTES("a\0b\n")));
    assert_int_equal(open_request->timeout_ms, 60000);
    struct fetch_header headers[] = {
        {BYTES("a"), BYTES("1")}, {BYTES("b"), BYTES("")}, {BYTES("a"), BYTES("2")}};
    give(&(struct fetch_answer){
        .status = 201, .body = BYTES("text"), .headers = headers, .header_count = 3, .why = ""});
    expect(f, "201 text a=1, 2;b=");
}

static void tells_of_failure(void **state) {
    struct fixture *f = *state;
    policy_that_asks(f, "{ url = 'https://api.example.com/' }");
    start(f);
    assert_string_equal(open_request->method, "GET");
    assert_int_equal(open_request->timeout_ms, 10000);
    give(&(struct fetch_answer){.why = "nobody there", .temporary = true});
    expect(f, "nil nobody there true");
}

static void goes_only_where_it_may(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *url;
        bool allowed;
    } rows[] = {
        {"https://api.example.com/", true},      {"https://api.example.com:443/", true},
        {"https://api.example.com:444/", false}, {"https://api.example.org/", false},
        {"https://x.api.example.com/", false},   {"https://a.wild.example/", true},
        {"https://a.b.wild.example/", true},     {"https://wild.example/", false},
        {"https://awild.example/", false},       {"https://port.example:8443/", true},
        {"https://port.example/", false},        {"https://[2001:db8::1]:444/", true},
        {"https://[2001:db8::1]/", false},       {"https://[2001:db8::2]:444/", false},
        {"https://all.example/", true},          {"https://api.example.com.evil.example/", false},
        {"https://mta-sts.any.example/", true},  {"https://mta-sts.any.example:444/", false},
        {"https://x.mta-sts.any.example/", false}, {"https://mta-stsx.example/", false},
        {"https://a.wild.example:8443/", false}, {"https://evil.example/?.wild.example", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char argument[200];
        snprintf(argument, sizeof argument, "{ url = '%s' }", rows[i].url);
        requests = 0;
        if (!rows[i].allowed) {
            expect_fault(f, argument, "http.hosts");
        } else {
            policy_that_asks(f, argument);
            start(f);
            if (!open_request) fail_msg("%s", rows[i].url);
            give(&(struct fetch_answer){.status = 200, .why = ""});
            expect(f, "200  ");
        }
        assert_int_equal(requests, rows[i].allowed);
    }
}

static void says_what_is_wrong(void **state) {
    struct fixture *f = *state;
    expect_fault(f, "{}", "http.request: url: is missing");
    expect_fault(f, "{ url = 'http://api.example.com/' }", "only https");
    expect_fault(f, "{ url = 'api.example.com' }", "not a URL");
    expect_fault(f, "{ url = 'https://u:p@api.example.com/' }", "without a user");
    expect_fault(f, "{ url = 'https://api.example.com/', methd = 'GET' }", "did you mean 'method'");
    expect_fault(f, "{ url = 'https://api.example.com/', method = 'TRACE' }", "one of");
    expect_fault(f, "{ url = 'https://api.example.com/', body = {} }", "a text is expected");
    expect_fault(f, "{ url = 'https://api.example.com/', headers = { 'x' } }", "names and texts");
    expect_fault(f, "{ url = 'https://api.example.com/', headers = { x = {} } }", "names and texts");
    expect_fault(f, "{ url = 'https://api.example.com/', timeout = 0 }", "1 to 300");
    assert_int_equal(requests, 0);
}

static void nobody_is_the_default(void **state) {
    struct fixture *f = *state;
    struct generation_options o = {.fetch = (struct fetch *)&allowed};
    kit_policy_with(&f->kit,
                    "return { route = function() http.request{ url = 'https://api.example.com/' } end }", &o);
    start(f);
    kit_turn(&f->kit);
    assert_true(f->got.plan->origin.fault);
    assert_non_null(strstr(f->got.because, "does not allow 'api.example.com'"));
    kit_policy(&f->kit, "return { route = function() http.request{ url = 'https://api.example.com/' } end }");
    start(f);
    kit_turn(&f->kit);
    assert_non_null(strstr(f->got.because, "nobody can be asked here"));
    // Not while the scripts load, either.
    assert_null(
        kit_generation(&f->kit, "http.request{ url = 'https://api.example.com/' } return {}", &allowed));
    assert_int_equal(requests, 0);
}

static void requests_are_dear(void **state) {
    struct fixture *f = *state;
    kit_policy_with(&f->kit,
                    "return { route = function() while true do http.request{ url = "
                    "'https://api.example.com/' } end end }",
                    &allowed);
    start(f);
    while (open_request) {
        give(&(struct fetch_answer){.why = "no"});
        assert_true(requests < 60);
    }
    kit_turn(&f->kit);
    assert_true(f->got.plan->origin.fault);
    assert_non_null(strstr(f->got.because, "budget"));
    assert_true(requests > 20);
}

static void gives_up_with_its_hook(void **state) {
    struct fixture *f = *state;
    policy_that_asks(f, "{ url = 'https://api.example.com/' }");
    struct hook_ticket *t = hook_route(f->kit.g, &kit_message, &kit_recipient, kit_on_plan, &f->got);
    assert_int_equal(requests, 1);
    hook_cancel(&t);
    assert_int_equal(cancelled, 1);
    struct generation_options short_lived = allowed;
    short_lived.time_max_ms = 20;
    kit_policy_with(&f->kit,
                    "return { route = function() http.request{ url = 'https://api.example.com/' } end }",
                    &short_lived);
    start(f);
    while (!f->got.calls)
        kit_turn(&f->kit);
    assert_non_null(strstr(f->got.because, "waited for longer"));
    assert_int_equal(cancelled, 2);
}

#define on_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        on_fixture(asks_and_goes_on),       on_fixture(tells_of_failure),
        on_fixture(goes_only_where_it_may), on_fixture(says_what_is_wrong),
        on_fixture(nobody_is_the_default),  on_fixture(requests_are_dear),
        on_fixture(gives_up_with_its_hook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
