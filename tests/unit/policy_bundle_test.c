// SPDX-License-Identifier: MIT
#include "policy_kit.h"

static struct kit k;

static int set_up(void **state) {
    (void)state;
    kit_init(&k);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kit_release(&k);
    return 0;
}

static struct bundle *read_bundle(void) {
    char scripts[128];
    snprintf(scripts, sizeof scripts, "%s/scripts", k.root);
    return bundle_read(scripts, "stdlib", &k.err);
}

static struct bundle *must_read(void) {
    struct bundle *b = read_bundle();
    if (!b) fail_msg("%s", k.err.text);
    return b;
}

static void reads_scripts_and_library(void **state) {
    (void)state;
    kit_put(&k, "scripts/lib/deep/er.lua", "return 1");
    kit_put(&k, "scripts/policy.story.lua", "not read");
    kit_put(&k, "scripts/notes.txt", "not read");
    kit_put(&k, "scripts/.hidden.lua", "not read");
    kit_put(&k, "scripts/.git/x.lua", "not read");
    struct bundle *b = must_read();
    struct bytes text;
    assert_true(bundle_find(b, "lib/deep/er.lua", &text));
    assert_true(bytes_equal(text, BYTES("return 1")));
    assert_true(bundle_find(b, "stdlib/route.lua", NULL));
    assert_false(bundle_find(b, "policy.story.lua", NULL) || bundle_find(b, "notes.txt", NULL));
    assert_false(bundle_find(b, ".hidden.lua", NULL) || bundle_find(b, ".git/x.lua", NULL));
    assert_int_equal(strlen(bundle_version(b)), 12);
    bundle_free(&b);
    assert_null(b);
}

static void the_version_is_the_content(void **state) {
    (void)state;
    struct bundle *a = must_read(), *b = must_read();
    assert_string_equal(bundle_version(a), bundle_version(b));
    bundle_free(&b);
    kit_put(&k, "scripts/policy.lua", "return { }");
    b = must_read();
    assert_string_not_equal(bundle_version(a), bundle_version(b));
    bundle_free(&b);
    // A name counts, and where a name ends.
    kit_put(&k, "scripts/policy.lua", "return {}");
    kit_put(&k, "scripts/a.lua", "");
    b = must_read();
    assert_string_not_equal(bundle_version(a), bundle_version(b));
    bundle_free(&a);
    bundle_free(&b);
}

static void what_cannot_be_read_is_named(void **state) {
    (void)state;
    char path[200];
    snprintf(path, sizeof path, "%s/scripts/policy.lua", k.root);
    unlink(path);
    assert_null(read_bundle());
    assert_non_null(strstr(k.err.text, "scripts/policy.lua: not there"));
    assert_null(bundle_read("/nonexistent", "stdlib", &k.err));
    assert_non_null(strstr(k.err.text, "/nonexistent"));
    snprintf(path, sizeof path, "%s/scripts", k.root);
    assert_null(bundle_read(path, "/nonexistent", &k.err));
    kit_put(&k, "scripts/policy.lua", "return {}");
    kit_put(&k, "scripts/stdlib/route.lua", "return {}");
    assert_null(read_bundle());
    assert_non_null(strstr(k.err.text, "belongs to the shipped library"));
    snprintf(path, sizeof path, "%s/scripts/stdlib", k.root);
    kit_remove(path);
    char *big = malloc((1 << 20) + 2);
    memset(big, ' ', (1 << 20) + 1);
    big[(1 << 20) + 1] = 0;
    kit_put(&k, "scripts/big.lua", big);
    free(big);
    assert_null(read_bundle());
    assert_non_null(strstr(k.err.text, "scripts/big.lua: larger than 1024 KiB"));
}

static void links_and_devices_do_no_harm(void **state) {
    (void)state;
    char path[200], target[200];
    snprintf(path, sizeof path, "%s/scripts/loop", k.root);
    assert_int_equal(symlink(".", path), 0); // a link to a folder is passed over
    snprintf(path, sizeof path, "%s/scripts/pipe.lua", k.root);
    assert_int_equal(mkfifo(path, 0600), 0);
    kit_put(&k, "elsewhere.lua", "return 7");
    snprintf(target, sizeof target, "%s/elsewhere.lua", k.root);
    snprintf(path, sizeof path, "%s/scripts/linked.lua", k.root);
    assert_int_equal(symlink(target, path), 0); // a link to a file is as good as the file
    struct bundle *b = must_read();
    assert_true(bundle_find(b, "linked.lua", NULL));
    assert_false(bundle_find(b, "pipe.lua", NULL) || bundle_find(b, "loop/policy.lua", NULL));
    bundle_free(&b);
}

static void survives_as_bytes(void **state) {
    (void)state;
    kit_put(&k, "scripts/lib.lua", "return 5");
    struct bundle *b = must_read();
    struct buf bytes = {0};
    bundle_encode(b, &bytes);
    struct bundle *again = bundle_decode(buf_bytes(&bytes), &k.err);
    assert_non_null(again);
    assert_string_equal(bundle_version(b), bundle_version(again));
    bundle_free(&again);
    // Every cut, and garbage, is refused and never read beyond.
    for (size_t len = 0; len < bytes.len; len += 1 + len / 50) {
        char *cut = malloc(len + 1);
        memcpy(cut, bytes.at, len);
        again = bundle_decode(bytes_range(cut, len), &k.err);
        if (again) assert_string_not_equal(bundle_version(again), bundle_version(b)); // cut between two files
        bundle_free(&again);
        free(cut);
    }
    memset(bytes.at + 4, 0xff, 4);
    assert_null(bundle_decode(buf_bytes(&bytes), &k.err));
    assert_null(bundle_decode(BYTES("TGB2"), &k.err));
    buf_release(&bytes);
    bundle_free(&b);
}

static void add_line(void *arg, const char *text) {
    buf_addz(arg, text);
    buf_byte(arg, ';');
}

static void tells_what_changed(void **state) {
    (void)state;
    kit_put(&k, "scripts/a.lua", "return 1");
    kit_put(&k, "scripts/b.lua", "return 1");
    struct bundle *was = must_read();
    char path[200];
    snprintf(path, sizeof path, "%s/scripts/a.lua", k.root);
    unlink(path);
    kit_put(&k, "scripts/b.lua", "return 2");
    kit_put(&k, "scripts/c.lua", "return 1");
    struct bundle *now = must_read();
    struct buf lines = {0};
    bundle_diff(was, now, add_line, &lines);
    assert_string_equal(buf_z(&lines), "removed a.lua;changed b.lua;added c.lua;");
    buf_reset(&lines);
    bundle_diff(now, now, add_line, &lines);
    assert_int_equal(lines.len, 0);
    bundle_diff(NULL, now, add_line, &lines);
    assert_non_null(strstr(buf_z(&lines), "added policy.lua;"));
    buf_release(&lines);
    bundle_free(&was);
    bundle_free(&now);
}

// ---- loading

static void refuses(const char *policy, const char *words) {
    struct generation *g = kit_generation(&k, policy, NULL);
    if (g) fail_msg("%s: was loaded", policy);
    if (!strstr(k.err.text, words)) fail_msg("%s: expected '%s', got '%s'", policy, words, k.err.text);
}

static void what_does_not_load_says_why(void **state) {
    (void)state;
    refuses("return { route = ", "policy.lua:1: unexpected symbol near <eof>");
    refuses("\n\nlocal x\nreturn x.y", "policy.lua:4: attempt to index a nil value (local 'x')");
    refuses("return 5", "policy.lua: returns a number; a table of hooks is expected");
    refuses("local x = 1", "policy.lua: the file returns nothing; end it with 'return'");
    refuses("return { rout = function() end }",
            "policy.lua: there is no hook 'rout' (did you mean 'route'?)");
    refuses("return { zzzzzzz = function() end }", "policy.lua: there is no hook 'zzzzzzz'");
    refuses("return { route = 'direct' }", "policy.lua: hook 'route' is a string; a function is expected");
    refuses("return { function() end }", "policy.lua: hooks have names");
    refuses("x = 1 return {}", "policy.lua:1: global 'x' cannot be set");
    refuses("while true do end", "policy.lua:1: stopped: ");
    refuses("require 'nothing' return {}",
            "there is no module 'nothing' (no nothing.lua in the scripts folder, none in stdlib)");
    refuses("require 'lib.customers' return {}", "there is no module 'lib.customers' (no lib/customers.lua in the scripts folder");
    refuses("require '../x' return {}", "there is no module '../x'");
    refuses("require 'a b' return {}", "'a b' is no module name");
    refuses("\033Lua", "policy.lua: a binary chunk; scripts are text");
    kit_policy(&k, "\xef\xbb\xbfreturn {}");
    kit_put(&k, "scripts/lib/broken.lua", "\nreturn = 1");
    refuses("require 'lib.broken' return {}", "lib/broken.lua:2: unexpected symbol near '='");
    kit_put(&k, "scripts/one.lua", "return require 'two'");
    kit_put(&k, "scripts/two.lua", "return require 'one'");
    refuses("require 'one' return {}", "one.lua requires itself, by way of others");
}

static void modules_are_found_and_loaded_once(void **state) {
    (void)state;
    kit_put(&k, "scripts/lib/count.lua", "local n = { n = 0 } return n");
    kit_put(&k, "scripts/answer.lua",
            "local shipped = require 'stdlib.answer' return { mine = true, shipped = shipped }");
    kit_policy(&k, "local a = require 'lib.count' a.n = a.n + 1\n"
                   "local b = require 'lib/count' b.n = b.n + 1\n"
                   "assert(a == b and a.n == 2)\n"
                   "assert(require 'dns' and require 'json'.encode and require 're' == require 're')\n"
                   "assert(require 'answer'.mine, 'the operator replaces what is shipped')\n"
                   "assert(require 'answer'.shipped == require 'stdlib.answer')\n"
                   "assert(require 'route' == require 'stdlib.route', 'the same file is the same module')\n"
                   "return {}");
}

static void keys_are_checked_at_load(void **state) {
    (void)state;
#define KEYS(dkim) "require 'identity'.define{ name = 'a', dkim = " dkim " } return {}"
    refuses(KEYS("{ { domain = 'x.example', selector = 's', key = 'missing.pem' } }"),
            "policy.lua:1: identity.define: dkim[1].key: ");
    assert_non_null(strstr(k.err.text, "missing.pem"));
    kit_put(&k, "bad.pem", "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n");
    refuses(KEYS("{ { domain = 'x.example', selector = 's', key = 'bad.pem' } }"), "dkim[1].key: ");
    refuses(KEYS("{ { domain = 'x.example', key = 'bad.pem' } }"),
            "identity.define: dkim: selector: is missing");
    refuses(KEYS("{ domain = 'x.example' }"), "dkim: a list is expected");
    refuses("require 'identity'.define{ nme = 'a' } return {}",
            "policy.lua:1: identity.define: unknown field 'nme' (did you mean 'name'?)");
    refuses("require 'identity'.define{ name = 'a', source = 'here' } return {}",
            "identity.define: source: ");
    refuses("require 'identity'.define{ name = 'a', source = '192.0.2.1:25' } return {}",
            "source: an address without a port is expected");
    refuses("require 'identity'.define{ name = 'a', source = { '192.0.2.1', '192.0.2.2' } } return {}",
            "one IPv4 and one IPv6 address at the most");
    refuses("require 'identity'.define{ name = 'a', return_path = 'nobody' } return {}",
            "return_path: 'nobody' is no address");
    refuses("local i = require 'identity'\ni.define{ name = 'a' }\ni.define{ name = 'a' } return {}",
            "policy.lua:3: identity.define: 'a' is already defined at policy.lua:2");
    refuses("local i = require 'identity'.define{ name = 'a' } i.name = 'b' return {}",
            "an identity is read-only");
}

// The policy that is shipped loads, fast, and captures.
static bool nobody_is_suppressed(void *arg, const struct bytes *scopes, size_t count, struct bytes address,
                                 struct arena *texts, struct suppression *out) {
    (void)arg, (void)scopes, (void)count, (void)address, (void)texts, (void)out;
    return false;
}

static void the_shipped_policy_captures(void **state) {
    (void)state;
    struct bundle *b = bundle_read("scripts", "stdlib", &k.err);
    assert_non_null(b);
    struct generation_options o = {
        .loop = k.loop, .clock = &k.clock, .log = &k.log, .suppressed = nobody_is_suppressed};
    k.g = generation_new(b, &o, &k.err);
    if (!k.g) fail_msg("%s", k.err.text);
    bundle_free(&b);
    struct kit_answer a = {0};
    kit_route(&k, &a);
    assert_int_equal(a.plan->kind, PLAN_SEND);
    assert_int_equal(a.plan->via.kind, VIA_CAPTURE);
    assert_int_equal(a.plan->via.dir.len, 0);
    plan_free(&a.plan);
    hook_sender(k.g, &kit_session, &(struct address_facts){.address = BYTES("me@example.org")}, kit_on_answer,
                &a);
    kit_turn(&k);
    assert_int_equal(a.answer.kind, ANSWER_ACCEPT);
    hook_sender(k.g, &kit_session, &(struct address_facts){.address = BYTES("me@elsewhere.example")},
                kit_on_answer, &a);
    kit_turn(&k);
    assert_int_equal(a.answer.kind, ANSWER_REJECT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void another_file_makes_another_bundle(void **state) {
    (void)state;
    kit_put(&k, "scripts/zoo.lua", "return 1");
    struct bundle *b = must_read();
    struct bytes text, name;
    struct bundle *replaced = bundle_with(b, BYTES("policy.lua"), BYTES("return 2"), &k.err);
    struct bundle *added = bundle_with(b, BYTES("a/new.lua"), BYTES("return 3"), &k.err);
    assert_true(bundle_find(replaced, "policy.lua", &text));
    assert_true(bytes_equal(text, BYTES("return 2")));
    assert_true(bundle_find(replaced, "zoo.lua", NULL) && bundle_find(replaced, "stdlib/route.lua", NULL));
    assert_true(bundle_find(added, "a/new.lua", NULL) && bundle_find(added, "policy.lua", NULL));
    assert_true(bundle_find(b, "policy.lua", &text));
    assert_true(bytes_equal(text, BYTES("return {}")));
    assert_string_not_equal(bundle_version(b), bundle_version(replaced));
    assert_string_not_equal(bundle_version(b), bundle_version(added));
    struct bundle *back = bundle_with(replaced, BYTES("policy.lua"), BYTES("return {}"), &k.err);
    assert_string_equal(bundle_version(b), bundle_version(back));
    assert_null(bundle_with(b, BYTES(""), BYTES("x"), &k.err));

    size_t n = 0;
    struct bytes before = BYTES("");
    for (; bundle_at(added, n, &name, &text); n++) {
        assert_true(bytes_compare(before, name) < 0);
        before = name;
    }
    assert_true(n > 3);
    assert_true(bundle_at(added, 0, &name, &text));
    assert_true(bytes_equal(name, BYTES("a/new.lua")) && bytes_equal(text, BYTES("return 3")));
    struct bundle *all[] = {b, replaced, added, back};
    for (size_t i = 0; i < 4; i++)
        bundle_free(&all[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(reads_scripts_and_library),
        TEST(the_version_is_the_content),
        TEST(what_cannot_be_read_is_named),
        TEST(links_and_devices_do_no_harm),
        TEST(survives_as_bytes),
        TEST(tells_what_changed),
        TEST(another_file_makes_another_bundle),
        TEST(what_does_not_load_says_why),
        TEST(modules_are_found_and_loaded_once),
        TEST(keys_are_checked_at_load),
        TEST(the_shipped_policy_captures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
