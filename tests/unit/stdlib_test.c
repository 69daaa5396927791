// SPDX-License-Identifier: MIT
// Runs tests/lua/*_test.lua: each returns a table of functions, and each function runs as a hook, so that it may wait for
// DNS. tests/lua/kit/limit.lua takes the place of the ledger's module.
#include "policy_kit.h"

#include <glob.h>

static struct kit k;
static struct kit_answer a;

static const char runner[] = "local route = require 'route'\n"
                             "local tests, names = require '%s', {}\n"
                             "for name in pairs(tests) do names[#names + 1] = name end\n"
                             "table.sort(names)\n"
                             "return { route = function(m, r)\n"
                             "  local name = names[r.number + 1]\n"
                             "  if not name then return route.discard('no more') end\n"
                             "  tests[name](m, r)\n"
                             "  return route.hold(name)\n"
                             "end }";

static char *whole_file(const char *path) {
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    struct buf text = {0};
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        buf_add(&text, bytes_range(part, n));
    fclose(f);
    buf_byte(&text, 0);
    return text.at;
}

static void put_file(const char *path) {
    char *text = whole_file(path), name[200];
    snprintf(name, sizeof name, "scripts/%s", strrchr(path, '/') + 1);
    kit_put(&k, name, text);
    free(text);
}

static void each_file(const char *pattern, void (*fn)(const char *path)) {
    glob_t found = {0};
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        fn(found.gl_pathv[i]);
    globfree(&found);
}

// "mx: 10 a.example, 20 b.example" for the domains that tests ask about.
static const struct {
    const char *domain, *hosts[4];
    uint16_t preferences[4];
} zone[] = {
    {"workspace.example", {"ASPMX.L.GOOGLE.COM", "alt1.aspmx.l.google.com"}, {1, 5}},
    {"mixed.example", {"aspmx.l.google.com", "mx.zoho.com"}, {10, 10}},
    {"backup.example", {"acme.mail.protection.outlook.com", "mx.backup.example"}, {10, 20}},
    {"own.example", {"mx.own.example"}, {10}},
};

static void answer_dns(void) {
    struct dns_record records[4] = {0};
    struct dns_answer answer = {.status = DNS_NO_NAME, .why = ""};
    for (size_t i = 0; i < sizeof zone / sizeof *zone; i++) {
        if (strcmp(zone[i].domain, kit_question->name) != 0) continue;
        size_t n = 0;
        for (; n < 4 && zone[i].hosts[n]; n++) {
            records[n].mx.preference = zone[i].preferences[n];
            records[n].mx.host = zone[i].hosts[n];
        }
        answer = (struct dns_answer){.status = DNS_OK, .records = records, .count = n, .why = ""};
    }
    if (strcmp(kit_question->name, "trouble.example") == 0)
        answer = (struct dns_answer){.status = DNS_TEMPORARY, .why = "SERVFAIL"};
    kit_dns(&answer);
}

// False: there is no such test.
static bool run_one(uint32_t number) {
    struct recipient_facts r = kit_recipient;
    r.n = number;
    a.calls = 0;
    assert_non_null(hook_route(k.g, &kit_message, &r, kit_on_plan, &a));
    while (a.calls == 0) {
        kit_turn(&k);
        if (kit_question) answer_dns();
    }
    return a.plan->kind != PLAN_DISCARD;
}

static int failures, runs;

static void run_file(const char *path) {
    char module[100], policy[1000];
    snprintf(module, sizeof module, "%s", strrchr(path, '/') + 1);
    *strchr(module, '.') = 0;
    snprintf(policy, sizeof policy, runner, module);
    kit_policy(&k, policy);
    for (uint32_t i = 0; run_one(i); i++) {
        runs++;
        if (!a.plan->origin.fault) continue;
        print_error("%s: %s\n", module, a.because);
        failures++;
    }
}

static void the_library_does_as_its_tests_say(void **state) {
    (void)state;
    kit_init(&k);
    each_file("tests/lua/kit/*.lua", put_file);
    each_file("tests/lua/*_test.lua", put_file);
    each_file("tests/lua/*_test.lua", run_file);
    plan_free(&a.plan);
    kit_release(&k);
    assert_int_equal(failures, 0);
    assert_true(runs > 45);
}

// ---- reply.retry: what comes of replies for the recipient, through the wall

struct retry_case {
    int code;
    const char *status, *text, *stage;
    enum verdict_kind kind;
    bool counts;
    int64_t wait_least, wait_most;
};

static const struct retry_case retry_cases[] = {
    // A quota: looked at again within a quarter of an hour, however long the window is; never counted.
    {550, "5.4.5", "Daily user sending limit exceeded.", "mail", VERDICT_WAIT, false, 900, 990},
    {550, "5.7.1", "Daily SMTP relay limit exceeded for customer.", "content", VERDICT_WAIT, false, 900, 990},
    {554, "5.2.0", "STOREDRV.Submission.Exception:SubmissionQuotaExceededException", "content", VERDICT_WAIT, false, 900, 990},
    {550, "5.7.233", "your tenant exceeded its daily limit", "content", VERDICT_WAIT, false, 900, 990},
    {454, "", "Throttling failure: Maximum sending rate exceeded.", "data", VERDICT_WAIT, false, 10, 11},
    {432, "4.3.2", "Concurrent connections limit exceeded.", "auth", VERDICT_WAIT, false, 60, 66},
    // Configuration, standing: somebody has to mend something.
    {550, "5.7.26", "unauthenticated", "content", VERDICT_WAIT, false, 1800, 1980},
    {550, "5.7.515", "Access denied, sending domain", "content", VERDICT_WAIT, false, 1800, 1980},
    {535, "5.7.8", "Username and Password not accepted", "auth", VERDICT_WAIT, false, 1800, 1980},
    {421, "4.7.0", "[TSS04] temporarily deferred", "mail", VERDICT_WAIT, false, 7200, 7920},
    // The recipient, the message.
    {550, "5.1.1", "no such user", "rcpt", VERDICT_GIVE_UP, true, 0, 0},
    {552, "5.3.4", "too large", "content", VERDICT_GIVE_UP, true, 0, 0},
    {550, "5.7.1", "policy", "rcpt", VERDICT_GIVE_UP, true, 0, 0},
    {451, "4.7.1", "Greylisted", "rcpt", VERDICT_WAIT, true, 300, 330},
    {452, "4.2.2", "over quota", "rcpt", VERDICT_WAIT, true, 14400, 15840},
    // Nothing special: the ladder.
    {450, "4.2.0", "words", "rcpt", VERDICT_WAIT, true, 270, 330},
    {421, "", "closing", "greeting", VERDICT_WAIT, true, 270, 330},
};

static struct outcome_facts said(const struct retry_case *c) {
    struct outcome_facts o = kit_outcome(450);
    o.reply = reply_make(c->code, c->status, c->text);
    o.stage = bytes_of(c->stage);
    o.attempt = 1;
    return o;
}

static void ask_retry(const struct outcome_facts *o, const char *last, int64_t last_ms) {
    struct recipient_facts r = kit_recipient;
    r.attempts = 0;
    r.last_outcome = bytes_of(last);
    r.last_ms = last_ms;
    a.calls = 0;
    hook_retry(k.g, &kit_message, &r, o, kit_on_verdict, &a);
    kit_turn(&k);
    assert_int_equal(a.calls, 1);
    assert_false(a.verdict.origin.fault);
}

static void what_is_ours_never_counts(void **state) {
    (void)state;
    kit_init(&k);
    kit_policy(&k, "return { retry = require 'reply'.retry }");
    for (size_t i = 0; i < sizeof retry_cases / sizeof *retry_cases; i++) {
        const struct retry_case *c = &retry_cases[i];
        struct outcome_facts o = said(c);
        ask_retry(&o, "", 0);
        bool good = a.verdict.kind == c->kind && a.verdict.counts == c->counts;
        if (c->kind == VERDICT_WAIT) good = good && a.verdict.wait_s >= c->wait_least && a.verdict.wait_s <= c->wait_most;
        if (!good) fail_msg("%d %s: kind %d, counts %d, wait %d: %s", c->code, c->text, a.verdict.kind, a.verdict.counts,
                            (int)a.verdict.wait_s, a.because);
    }
    // A short wait that did not help three times gives way to the ladder.
    struct outcome_facts again = said(&retry_cases[13]);
    again.attempt = 6;
    ask_retry(&again, "", 0);
    assert_true(a.verdict.kind == VERDICT_WAIT && a.verdict.wait_s > 3600);
    // Never beyond the message's end; then the sender hears of it.
    struct outcome_facts o = said(&retry_cases[0]);
    o.expires_ms = k.clock.frozen_ms + 300 * 1000;
    ask_retry(&o, "", 0);
    assert_in_range(a.verdict.wait_s, 1, 270);
    o.expires_ms = k.clock.frozen_ms + 50 * 1000;
    ask_retry(&o, "", 0);
    assert_int_equal(a.verdict.kind, VERDICT_GIVE_UP);
    kit_release(&k);
}

// What a bounce adds to the suppression list: only what the recipient's own server says of the recipient.
static void only_a_dead_mailbox_is_suppressed(void **state) {
    (void)state;
    static const struct {
        int code;
        const char *status, *text;
        bool suppressed;
    } cases[] = {
        {550, "5.1.1", "no such user", true},
        {552, "5.2.2", "mailbox full", false},
        {550, "5.4.5", "Daily user sending limit exceeded", false},
        {550, "5.7.26", "unauthenticated", false},
        {550, "5.7.1", "policy", false},
        {452, "4.1.1", "not now", false},
        {550, "", "user unknown", true},                                              // by its words alone
        {550, "", "no", false},                                                       // which nobody knows
        {552, "5.1.1", "recipient overquota", false},                                 // whatever the code says
        {550, "5.2.1", "mailbox unavailable, your IP address is blacklisted", false}, // this one is about us
        {550, "", "mailbox unavailable for this message", false},                     // said of anything
    };
    kit_init(&k);
    static const char *const policies[] = {
        "return { retry = require 'reply'.hook { suppress = require 'suppression'.bounces {} } }",
        "return { retry = require 'retry'.ladder { 300, suppress = require 'suppression'.bounces {} } }",
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        size_t n = i / 2;
        if (i % 2 == 0) kit_policy(&k, policies[0]);
        else kit_policy(&k, policies[1]);
        struct retry_case c = {cases[n].code, cases[n].status, cases[n].text, "rcpt", VERDICT_GIVE_UP, true, 0, 0};
        struct outcome_facts o = said(&c);
        o.via = BYTES("direct");
        ask_retry(&o, "", 0);
        if ((a.verdict.suppress.scope.len > 0) != cases[n].suppressed) fail_msg("%s, by policy %zu", cases[n].text, i % 2);
    }
    kit_release(&k);
}

// Where the plan has a limit for it, that is full from now on, and route says where the mail goes meanwhile.
static void what_is_used_up_is_said_to_its_limits(void **state) {
    (void)state;
    static const struct {
        struct retry_case said;
        const char *limits, *by;
        int64_t seconds;
    } cases[] = {
        {{550, "5.4.5", "Daily user sending limit exceeded.", "mail", VERDICT_ELSEWHERE, false, 0, 0}, "{\"quota\":true}", "quota", 3600},
        {{454, "", "Throttling failure: Maximum sending rate exceeded.", "data", VERDICT_ELSEWHERE, false, 0, 0}, "{\"quota\":true,\"standing\":true}", "quota", 10},
        {{421, "4.7.0", "[TSS04] temporarily deferred", "mail", VERDICT_ELSEWHERE, false, 0, 0}, "{\"standing\":true}", "standing", 7200},
        {{550, "5.7.26", "unauthenticated", "content", VERDICT_ELSEWHERE, false, 0, 0}, "{\"configuration\":true}", "configuration", 1800},
        {{421, "4.7.0", "[TSS04] temporarily deferred", "mail", VERDICT_ELSEWHERE, false, 0, 0}, "{\"quota\":true}", NULL, 0}, // another matter
        {{550, "5.1.1", "no such user", "rcpt", VERDICT_ELSEWHERE, false, 0, 0}, "{\"quota\":true,\"standing\":true}", NULL, 0},
    };
    kit_init(&k);
    kit_policy(&k, "return { retry = require 'reply'.retry }");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome_facts o = said(&cases[i].said);
        o.exhaustible = bytes_of(cases[i].limits);
        ask_retry(&o, "{\"reply\":{\"code\":550}}", k.clock.frozen_ms - 2000);
        assert_int_equal(a.verdict.kind == VERDICT_ELSEWHERE, cases[i].by != NULL);
        if (!cases[i].by) continue;
        assert_false(a.verdict.counts);
        assert_true(bytes_equal(a.verdict.exhaust.by, bytes_of(cases[i].by)));
        assert_int_equal(a.verdict.exhaust.seconds, cases[i].seconds);
    }
    kit_release(&k);
}

static void elsewhere_is_one_jump(void **state) {
    (void)state;
    kit_init(&k);
    kit_policy(&k, "return { retry = require 'reply'.hook { elsewhere = true } }");
    struct outcome_facts o = said(&retry_cases[0]);
    ask_retry(&o, "", 0);
    assert_int_equal(a.verdict.kind, VERDICT_ELSEWHERE);
    assert_false(a.verdict.counts);
    ask_retry(&o, "{\"reply\":{\"code\":550}}", k.clock.frozen_ms - 2000); // the other one is exhausted too
    assert_int_equal(a.verdict.kind, VERDICT_WAIT);
    assert_false(a.verdict.counts);
    ask_retry(&o, "{\"reply\":{\"code\":550}}", k.clock.frozen_ms - 400 * 1000);
    assert_int_equal(a.verdict.kind, VERDICT_ELSEWHERE);
    kit_release(&k);
}

// ---- what the pages show

static const char rfc8410_key[] = "-----BEGIN PRIVATE KEY-----\n" // section 10.3: nobody's secret
                                  "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
                                  "-----END PRIVATE KEY-----\n";

static int pages;

static bool nobody_is_suppressed(void *arg, const struct bytes *scopes, size_t count, struct bytes address,
                                 struct arena *texts, struct suppression *out) {
    (void)arg, (void)scopes, (void)count, (void)address, (void)texts, (void)out;
    return false;
}

static bool nothing_is_shelved(void *arg, struct bytes key, struct arena *texts, struct bytes *value) {
    (void)arg, (void)key, (void)texts, (void)value;
    return false;
}

// Every hook of it that a fresh message meets must answer.
static void try_policy(const char *name, const char *policy) {
    kit_policy_with(&k, policy, &(struct generation_options){.http_hosts = "mta-sts.*", .suppressed = nobody_is_suppressed, .shelved = nothing_is_shelved});
    struct recipient_facts r = kit_recipient;
    r.last_outcome = BYTES("");
    r.attempts = 0;
    a.calls = 0;
    assert_non_null(hook_route(k.g, &kit_message, &r, kit_on_plan, &a));
    while (a.calls == 0) {
        kit_turn(&k);
        if (kit_question) answer_dns();
    }
    if (a.plan->origin.fault) fail_msg("%s: route: %s", name, a.because);
    struct outcome_facts o = kit_outcome(550);
    ask_retry(&o, "", 0);
    struct message_facts m = kit_message;
    const struct bytes one = BYTES("bob@example.net");
    m.recipients = &one;
    a.calls = 0;
    hook_message(k.g, &kit_session, &m, kit_on_answer, &a);
    kit_turn(&k);
    assert_int_equal(a.calls, 1);
    if (a.answer.origin.fault) fail_msg("%s: message: %s", name, a.because);
    pages++;
}

static void try_example(const char *path) {
    if (strstr(path, ".story.lua")) return;
    char *policy = whole_file(path);
    try_policy(path, policy);
    free(policy);
}

static void the_examples_load_and_answer(void **state) {
    (void)state;
    kit_init(&k);
    pages = 0;
    static const char *const keys[] = {"acme", "birch", "news"};
    for (size_t i = 0; i < 3; i++) {
        char name[50];
        snprintf(name, sizeof name, "dkim/%s.pem", keys[i]);
        kit_put(&k, name, rfc8410_key);
    }
    each_file("scripts/examples/*.lua", try_example);
    assert_true(pages >= 8);
    plan_free(&a.plan);
    kit_release(&k);
}

// The blocks between ```lua and ``` of the reference are whole policies.
// ---- is everything there in the reference, and everything of the reference there?

static const char exports[] =
    "local describe, warmup, pool = require 'core.describe', require 'warmup', require 'pool'\n"
    "local objects = { warm = warmup.new { name = 'x', ladder = { 1 }, age = 0 }, team = pool.new { members = { { name = 'a' } } } }\n"
    "describe.add('exports', function()\n"
    "  local list = {}\n"
    "  for _, module in ipairs { 'answer', 'route', 'identity', 'retry', 'suppression', 'users', 'provider', 'shaping', 'reply', 'warmup',\n"
    "      'pool', 'relays', 'header', 'sts', 'limit', 'shelf', 'dns', 'http', 're', 'json', 'crypto', 'clock', 'log', 'network' } do\n"
    "    for name in pairs(require(module)) do list[#list + 1] = module .. '.' .. name end\n"
    "  end\n"
    "  for word, object in pairs(objects) do\n"
    "    for name, value in pairs(getmetatable(object).__index) do\n"
    "      if type(value) == 'function' then list[#list + 1] = word .. ':' .. name end\n"
    "    end\n"
    "  end\n"
    "  return list\n"
    "end)\n"
    "return {}";

static void compare_with_page(void *arg, struct bytes json, const char *why) {
    const char *page = arg;
    struct err err;
    struct json *list = json_parse(json, &err);
    struct buf missing = {0};
    struct bytes name;
    if (why) fail_msg("%s", why);
    assert_true(json_count(list) > 80);
    for (size_t i = 0; i < json_count(list); i++) {
        assert_true(json_text(json_item(list, i), &name));
        char *text = bytes_dupz(name), again[80];
        const char *dot = strchr(text, '.');
        snprintf(again, sizeof again, "`%s", dot ? dot + 1 : text); // further on in a list: `relays.ses{}`, `sendgrid{}`
        if (!strstr(page, text) && !strstr(page, again)) buf_format(&missing, "%s ", text);
        free(text);
    }
    if (missing.len) fail_msg("not in stdlib/README.md: %s", buf_z(&missing));
    buf_release(&missing);
    pages += (int)json_count(list);
    json_free(&list);
}

static void the_reference_has_all_there_is(void **state) {
    (void)state;
    char *page = whole_file("stdlib/README.md");
    kit_init(&k);
    pages = 0;
    kit_policy_with(&k, exports, &(struct generation_options){.http_hosts = "mta-sts.*"});
    hook_describe(k.g, BYTES("exports"), BYTES("{}"), compare_with_page, page);
    kit_turn(&k);
    assert_true(pages > 0);
    for (const char *const *hook = hook_name; *hook; hook++) {
        char mention[40];
        snprintf(mention, sizeof mention, "`%s(", *hook);
        if (!strstr(page, mention)) fail_msg("the hook %s is not in stdlib/README.md", *hook);
    }
    free(page);
    kit_release(&k);
}

// The tables made in C are locked: a script cannot list them, so their rows are read. "now" of {"now", now}.
static void rows_are_in_page(const char *module, const char *page) {
    char path[80];
    snprintf(path, sizeof path, "gateway/policy/bind_%s.c", module);
    char *source = whole_file(path), *at = strstr(source, "luaL_Reg functions[] = {"), *end = at ? strstr(at, "{NULL, NULL}") : NULL;
    if (!end) fail_msg("%s: no rows", path);
    int found = 0;
    while ((at = strstr(at, "{\"")) && at < end) {
        char dotted[80];
        at += 2;
        snprintf(dotted, sizeof dotted, "%s.%.*s", module, (int)strcspn(at, "\""), at);
        const char *name = strchr(dotted, '.') + 1;
        char listed[80]; // further on in a list: `json.encode(value)`, `decode(text)`
        snprintf(listed, sizeof listed, "`%s", name);
        if (!strstr(page, dotted) && !strstr(page, listed)) fail_msg("not in stdlib/README.md: %s", dotted);
        found++;
    }
    assert_true(found > 0);
    free(source);
}

static void the_reference_has_the_tables_made_in_c(void **state) {
    (void)state;
    static const char *const modules[] = {"limit", "shelf", "dns", "http", "re", "json", "crypto", "clock", "log", "network"};
    char *page = whole_file("stdlib/README.md");
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) rows_are_in_page(modules[i], page);
    free(page);
}

static void the_reference_works_as_it_stands(void **state) {
    (void)state;
    kit_init(&k);
    pages = 0;
    char *page = whole_file("stdlib/README.md"), *at = page;
    while ((at = strstr(at, "\n```lua\n"))) {
        char *begin = at + strlen("\n```lua\n"), *end = strstr(begin, "\n```");
        assert_non_null(end);
        *end = 0;
        try_policy("stdlib/README.md", begin);
        at = end + 1;
    }
    assert_true(pages >= 2);
    free(page);
    plan_free(&a.plan);
    kit_release(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_does_as_its_tests_say),
        cmocka_unit_test(what_is_ours_never_counts),
        cmocka_unit_test(only_a_dead_mailbox_is_suppressed),
        cmocka_unit_test(what_is_used_up_is_said_to_its_limits),
        cmocka_unit_test(elsewhere_is_one_jump),
        cmocka_unit_test(the_examples_load_and_answer),
        cmocka_unit_test(the_reference_has_all_there_is),
        cmocka_unit_test(the_reference_has_the_tables_made_in_c),
        cmocka_unit_test(the_reference_works_as_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
