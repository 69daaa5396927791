// SPDX-License-Identifier: MIT
#include "policy_one.h"

#include "policy/plan.h"

#include <pthread.h>

// The plan that the body of a route hook gives for this domain; the caller frees it.
static const struct plan *plan_of(const char *body, const char *domain) {
    char policy[2000];
    snprintf(policy, sizeof policy,
             "local route, identity = require 'route', require 'identity'\n"
             "local acme = identity.define{ name = 'acme', source = { '192.0.2.10', '2001:db8::10' }, helo = "
             "'out.acme.example',\n"
             "  return_path = 'bounces@acme.example' }\n"
             "local plain = identity.define{ name = 'plain' }\n"
             "return { route = function(m, r) %s end }",
             body);
    kit_policy(&k, policy);
    struct recipient_facts r = kit_recipient;
    r.domain = bytes_of(domain);
    hook_route(k.g, &kit_message, &r, kit_on_plan, &a);
    kit_turn(&k);
    if (a.plan->origin.fault) fail_msg("%s: %s", body, a.because);
    const struct plan *plan = a.plan;
    a = (struct kit_answer){0};
    return plan;
}

static void expect(const char *body, const char *json, const char *lane) {
    const struct plan *p = plan_of(body, "example.net");
    char text[1000], key[500];
    snprintf(text, sizeof text, "%.*s", BYTES_FMT(p->json));
    snprintf(key, sizeof key, "%.*s", BYTES_FMT(p->lane));
    assert_string_equal(text, json);
    assert_string_equal(key, lane);
    plan_free(&p);
}

static void plans_have_a_text_and_a_lane(void **state) {
    (void)state;
    expect("return route.send{ via = route.direct{} }",
           "{\"do\":\"send\",\"via\":{\"kind\":\"direct\",\"port\":25},\"tls\":\"opportunistic\","
           "\"connections\":4,\"per_connection\":100}",
           "-|direct:example.net:25|opportunistic");
    expect("return route.send{ via = route.direct{ port = 2500 }, tls = 'verify', identity = plain, lane = { "
           "connections = 5, per_connection = 50 } }",
           "{\"do\":\"send\",\"via\":{\"kind\":\"direct\",\"port\":2500},\"identity\":{\"name\":\"plain\"},"
           "\"tls\":\"verify\",\"connections\":5,\"per_connection\":50}",
           "plain|direct:example.net:2500|verify");
    expect("return route.send{ via = route.relay{ host = 'smtp.example.org', login = { user = 'u', password "
           "= 'secret' } } }",
           "{\"do\":\"send\",\"via\":{\"kind\":\"relay\",\"port\":587,\"host\":\"smtp.example.org\","
           "\"login\":{\"user\":\"u\",\"password\":\"***\"}},"
           "\"tls\":\"verify\",\"connections\":4,\"per_connection\":100}",
           "-|relay:smtp.example.org:587|verify|u");
    expect("return route.send{ via = route.relay{ host = 'smtp.example.org', tls = 'implicit', login = { "
           "user = 'u', token = 't' } } }",
           "{\"do\":\"send\",\"via\":{\"kind\":\"relay\",\"port\":465,\"host\":\"smtp.example.org\","
           "\"implicit_tls\":true,"
           "\"login\":{\"user\":\"u\",\"token\":\"***\"}},\"tls\":\"verify\",\"connections\":4,\"per_"
           "connection\":100}",
           "-|relay:smtp.example.org:465|verify+implicit|u");
    expect("return route.send{ via = route.relay{ host = 'smtp.example.org', login = { user = 'u', xoauth2 = { token_url = "
           "'https://t.example/token', client_id = 'c', client_secret = 'secret', refresh_token = 'secret', scope = 's' } } } }",
           "{\"do\":\"send\",\"via\":{\"kind\":\"relay\",\"port\":587,\"host\":\"smtp.example.org\",\"login\":{\"user\":\"u\","
           "\"xoauth2\":{\"token_url\":\"https://t.example/token\",\"client_id\":\"c\",\"scope\":\"s\",\"refresh_token\":\"***\"}}},"
           "\"tls\":\"verify\",\"connections\":4,\"per_connection\":100}",
           "-|relay:smtp.example.org:587|verify|u");
    expect("return route.send{ via = route.relay{ host = '192.0.2.5', port = 25, tls = 'none' } }",
           "{\"do\":\"send\",\"via\":{\"kind\":\"relay\",\"port\":25,\"host\":\"192.0.2.5\"},\"tls\":"
           "\"none\",\"connections\":4,\"per_connection\":100}",
           "-|relay:192.0.2.5:25|none");
    expect("return route.send{ via = route.lmtp{ host = 'unix:/run/lmtp' } }",
           "{\"do\":\"send\",\"via\":{\"kind\":\"lmtp\",\"port\":24,\"host\":\"unix:/run/"
           "lmtp\"},\"tls\":\"none\",\"connections\":4,\"per_connection\":100}",
           "-|lmtp:unix:/run/lmtp:24|none");
    expect("return route.send{ via = route.capture{ dir = 'a/b' } }",
           "{\"do\":\"send\",\"via\":{\"kind\":\"capture\",\"dir\":\"a/"
           "b\"},\"tls\":\"none\",\"connections\":4,\"per_connection\":100}",
           "-|capture:a/b|none");
    expect("return route.send{ via = route.relay{ host = 'h', tls = 'none' }, priority = 'bulk', turn = 'tenant a' }",
           "{\"do\":\"send\",\"via\":{\"kind\":\"relay\",\"port\":587,\"host\":\"h\"},\"tls\":\"none\",\"connections\":4,"
           "\"per_connection\":100,\"priority\":\"bulk\",\"turn\":\"tenant a\"}",
           "-|relay:h:587|none");
    expect("return route.wait('5m', 'later')", "{\"do\":\"wait\",\"wait_s\":300}", "");
    expect("return route.hold('look')", "{\"do\":\"hold\"}", "");
    expect("return route.discard('spam')", "{\"do\":\"discard\"}", "");
    expect("return route.fail('550 5.1.1 nobody there')",
           "{\"do\":\"fail\",\"reply\":\"550 5.1.1 nobody there\"}", "");
    expect("return route.suppress('asked us to stop')",
           "{\"do\":\"suppress\",\"reply\":\"550 5.7.1 the recipient is on the suppression list\"}", "");
}

static void hosts_that_are_named_are_part_of_the_way(void **state) {
    (void)state;
    const struct plan *p = plan_of("return route.send{ via = route.direct{ mx = { 'MX.Example.org.', '*.example.net' } }, tls = 'verify' }", "d.example");
    const struct plan *q = plan_of("return route.send{ via = route.direct{ mx = 'mx.example.org' }, tls = 'verify' }", "d.example");
    const struct plan *any = plan_of("return route.send{ via = route.direct{}, tls = 'verify' }", "d.example");
    assert_true(bytes_equal(p->via.mx, BYTES("mx.example.org *.example.net")));
    assert_true(bytes_find(p->json, '[') > 0 && strstr(p->json.at, "\"mx\":[\"mx.example.org\",\"*.example.net\"]"));
    assert_true(bytes_starts(p->lane, BYTES("-|direct:d.example:25|verify+mx~")));
    assert_false(bytes_equal(p->lane, q->lane) || bytes_equal(p->lane, any->lane) || bytes_equal(q->lane, any->lane));
    assert_true(p->same != q->same && q->same != any->same);
    plan_free(&p);
    plan_free(&q);
    plan_free(&any);
}

static void what_is_kept_goes_along(void **state) {
    (void)state;
    const struct plan *p = plan_of("return route.send{ via = route.direct{}, shelf = { shelf.put('k', { n = 1 }, '1h'), shelf.drop 'old' } }", "d.example");
    const struct plan *q = plan_of("return route.send{ via = route.direct{} }", "d.example");
    assert_int_equal(p->keep_count, 2);
    assert_true(bytes_equal(p->keeps[0].value, BYTES("{\"n\":1}")) && p->keeps[0].expires_s == 3600);
    assert_true(bytes_equal(p->keeps[1].key, BYTES("old")) && !p->keeps[1].value.len);
    assert_true(p->group == q->group && bytes_equal(p->json, q->json)); // recipients of one message go together, whoever learnt something
    plan_free(&p);
    plan_free(&q);
}

static void an_identity_comes_along(void **state) {
    (void)state;
    const struct plan *p =
        plan_of("return route.send{ via = route.direct{}, identity = acme, because = 'why' }", "example.net");
    char ip[ADDR_TEXT];
    addr_ip_text(&p->identity.source4, ip);
    assert_string_equal(ip, "192.0.2.10");
    addr_ip_text(&p->identity.source6, ip);
    assert_string_equal(ip, "2001:db8::10");
    assert_true(bytes_equal(p->identity.name, BYTES("acme")));
    assert_true(bytes_equal(p->identity.helo, BYTES("out.acme.example")));
    assert_true(bytes_equal(p->identity.return_path, BYTES("bounces@acme.example")));
    assert_true(bytes_equal(p->origin.because, BYTES("why")));
    assert_true(bytes_equal(p->origin.where, BYTES("policy.lua:5")));
    assert_true(bytes_starts(p->lane, BYTES("acme|direct:example.net:25|opportunistic|")));
    // It outlives the generation.
    generation_free(&k.g);
    assert_true(bytes_equal(p->identity.helo, BYTES("out.acme.example")));
    plan_free(&p);
}

static uint64_t same(const char *body, const char *domain) {
    const struct plan *p = plan_of(body, domain);
    uint64_t hash = p->same;
    plan_free(&p);
    return hash;
}

static void equal_plans_are_the_same(void **state) {
    (void)state;
    const char *relay = "return route.send{ via = route.relay{ host = 'h', login = { user = 'u', password = "
                        "'one' } }, because = 'a' }";
    const char *wide = "return route.send{ via = route.direct{}, lane = { connections = 9, per_connection = 3 }, priority = 'urgent', turn = 't' }";
    assert_true(same("return route.send{ via = route.direct{} }", "a") == same(wide, "a")); // one connection will do for both
    assert_true(same(relay, "a.example") == same(relay, "b.example"));
    assert_true(same(relay, "a") == same("return route.send{ because = 'b', via = route.relay{ login = { "
                                         "password = 'one', user = 'u' }, host = 'h' } }",
                                         "a"));
    assert_true(
        same(relay, "a") !=
        same("return route.send{ via = route.relay{ host = 'h', login = { user = 'u', password = 'two' } } }",
             "a"));
    // Two credentials are two logins, and what is in which member matters.
    static const char *const secrets[] = {"refresh_token = 'a'", "refresh_token = 'b'", "refresh_token_file = 'a'",
                                          "client_secret = 'a'", "client_secret_file = 'a'", "refresh_token = 'a', client_secret = 'a'"};
    uint64_t seen[6];
    for (size_t i = 0; i < 6; i++) {
        char body[400];
        snprintf(body, sizeof body,
                 "return route.send{ via = route.relay{ host = 'h', login = { user = 'u', xoauth2 = { token_url = 'https://t/', "
                 "client_id = 'c', %s } } } }",
                 secrets[i]);
        seen[i] = same(body, "a");
        for (size_t n = 0; n < i; n++)
            if (seen[i] == seen[n]) fail_msg("%s and %s are the same", secrets[i], secrets[n]);
    }
    const char *direct = "return route.send{ via = route.direct{} }";
    assert_true(same(direct, "a.example") != same(direct, "b.example"));
    assert_true(same(direct, "a.example") !=
                same("return route.send{ via = route.direct{}, tls = 'encrypt' }", "a.example"));
    assert_true(same(direct, "a.example") !=
                same("return route.send{ via = route.direct{}, identity = acme }", "a.example"));
}

static void identities_are_listed(void **state) {
    (void)state;
    kit_policy(&k, "local identity = require 'identity'\n"
                   "identity.define{ name = 'a', helo = 'h.example', source = { '192.0.2.1', '2001:db8::1' } }\n"
                   "identity.define{ name = 'b', return_path = 'b@b.example' }\n"
                   "return {}");
    struct bytes lines = generation_identities(k.g);
    struct bytes want = BYTES("{\"identity\":\"a\",\"where\":\"policy.lua:2\",\"source4\":\"192.0.2.1\",\"source6\":\"2001:db8::1\","
                              "\"helo\":\"h.example\"}\n"
                              "{\"identity\":\"b\",\"where\":\"policy.lua:3\",\"return_path\":\"b@b.example\"}\n");
    if (!bytes_equal(lines, want)) fail_msg("%.*s", BYTES_FMT(lines));
    kit_policy(&k, "return {}");
    assert_int_equal(generation_identities(k.g).len, 0);
}

static void lanes_fit_the_store(void **state) {
    (void)state;
    char domain[300], host[1000], body[1500];
    memset(domain, 'd', 299);
    domain[299] = 0;
    const struct plan *p = plan_of("return route.send{ via = route.direct{}, identity = acme }", domain);
    domain[298] = 'e';
    const struct plan *q = plan_of("return route.send{ via = route.direct{}, identity = acme }", domain);
    assert_true(p->lane.len <= 400 && q->lane.len <= 400);
    assert_false(bytes_equal(p->lane, q->lane));
    plan_free(&p);
    plan_free(&q);
    memset(host, 'h', 999);
    host[999] = 0;
    snprintf(body, sizeof body,
             "return route.send{ via = route.relay{ host = '%s', login = { user = '%s', password = 'x' } }, "
             "identity = acme }",
             host, domain);
    p = plan_of(body, "example.net");
    assert_true(p->lane.len <= 400);
    plan_free(&p);
}

static void *refer(void *arg) {
    for (int i = 0; i < 10000; i++) {
        const struct plan *p = plan_ref(arg);
        plan_free(&p);
    }
    return NULL;
}

static void plans_are_counted_across_threads(void **state) {
    (void)state;
    const struct plan *p = plan_of("return route.hold('x')", "a");
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, refer, (void *)p), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(p->kind, PLAN_HOLD);
    plan_free(&p);
    assert_null(p);
    plan_free(&p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(plans_have_a_text_and_a_lane),     TEST(an_identity_comes_along),
        TEST(hosts_that_are_named_are_part_of_the_way), TEST(what_is_kept_goes_along),
        TEST(equal_plans_are_the_same),         TEST(lanes_fit_the_store),
        TEST(identities_are_listed),
        TEST(plans_are_counted_across_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
