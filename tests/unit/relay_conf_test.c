// SPDX-License-Identifier: MIT
#include "relay/conf.h"

#include "relay/conf_key.h"
#include "script/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];
static char file[128];
static struct buf faults; // of the last load, one a line

static int make_folder(void **state) {
    (void)state;
    char path[160];
    strcpy(folder, "/tmp/conf-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    static const char *const folders[] = {"conf", "scripts", "stdlib"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, folders[i]);
        mkdir(path, 0700);
    }
    static const char *const files[] = {"cert.pem", "key.pem", "users"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        FILE *f = fopen(path, "w");
        if (!f) return -1;
        fclose(f);
    }
    snprintf(file, sizeof file, "%s/conf/t.lua", folder);
    return 0;
}

static int drop_folder(void **state) {
    (void)state;
    char command[128];
    buf_release(&faults);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void note_fault(void *arg, const char *text) {
    (void)arg;
    buf_format(&faults, "%s\n", text);
}

static struct conf *load(const char *text) {
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    buf_reset(&faults);
    return conf_load(file, note_fault, NULL);
}

#define LISTENERS "listeners = { { kind = 'relay', address = '127.0.0.1:2525' } }"

static struct conf *load_good(const char *text) {
    struct conf *conf = load(text);
    if (!conf) fail_msg("%s", buf_z(&faults));
    return conf;
}

static void assert_fault(const char *text, const char *want) {
    struct conf *conf = load(text);
    if (conf) fail_msg("no fault in: %s", text);
    if (!strstr(buf_z(&faults), want)) fail_msg("'%s' is not in:\n%s", want, faults.at);
}

static void defaults_are_there(void **state) {
    (void)state;
    struct conf *conf = load_good("return { " LISTENERS " }");
    char want[160];
    assert_string_equal(conf->file, file);
    assert_string_equal(conf->base, folder);
    snprintf(want, sizeof want, "%s/var/queue", folder);
    assert_string_equal(conf->store, want);
    snprintf(want, sizeof want, "%s/var/control.sock", folder);
    assert_string_equal(conf->control, want);
    assert_null(conf->users);
    assert_null(conf->dns_servers);
    assert_null(conf->http_hosts);
    assert_false(conf->http_private);
    assert_null(conf->certificate);
    assert_true(conf->hostname[0]);
    assert_int_equal(conf->log_level, LOG_INFO);
    assert_int_equal(conf->limits.message_size, 50 << 20);
    assert_int_equal(conf->limits.idle_s, 300);
    assert_int_equal(conf->limits.recipients, 1000);
    assert_int_equal(conf->expire_s, 5 * 86400);
    assert_int_equal(conf->dns_timeout_ms, 1000);
    assert_int_equal(conf->smtp_port, 25);
    assert_string_equal(conf->family, "both");
    assert_false(conf->private_mx);
    assert_int_equal(conf->listener_count, 1);
    assert_string_equal(conf->journal_headers, "From Sender Reply-To Bcc Date Message-ID List-ID List-Unsubscribe Precedence "
                                               "Auto-Submitted Content-Type"); // Bcc: the shipped policy looks at it
    assert_true(kept_fields_has(&conf->journal_fields, BYTES("Bcc")));
    assert_string_equal(conf->listeners[0].name, "relay-1");
    assert_string_equal(conf->listeners[0].greeting, "");
    assert_false(conf->listeners[0].auth_required);
    assert_int_equal(conf->listeners[0].allow_count, 0);
    conf_free(&conf);
    assert_null(conf);
}

static void values_arrive(void **state) {
    (void)state;
    struct conf *conf =
        load_good("local mb = 1024 * 1024\n"
                  "return { hostname = 'mail.example.org', certificate = 'cert.pem', key = 'key.pem', certificates = { { certificate = 'cert.pem', key = 'key.pem' } }, users "
                  "= 'users',\n"
                  " workers = 3, log = 'trace', dns = { servers = { '127.0.0.1', '[::1]:5353' }, timeout = "
                  "0.25, trust_ad = true },\n"
                  " http = { hosts = { 'api.example', '*.example.org', '[::1]:8443', 'mta-sts.*' }, private = true },\n"
                  " store = { path = '/q', ceiling = '1GiB' },\n"
                  " journal = { max = 500, keep = '2d', decisions = false, headers = { 'List-ID', 'X-Kind' } },\n"
                  " delivery = { family = '6', expire = '1d12h', idle = 0, port = 2526 },\n"
                  " limits = { message_size = 2 * mb, idle = 7 },\n"
                  " listeners = { { kind = 'submission', address = '[::1]:2587', name = 'apps', allow = { "
                  "'10.0.0.0/8', '::1' },\n"
                  "                 tls_required = false, size_max = '1MiB' },\n"
                  "               { kind = 'submissions', address = '127.0.0.1:2465', proxy_from = {} },\n"
                  "               { kind = 'lmtp', address = 'unix:/run/x' } } }\n");
    assert_string_equal(conf->hostname, "mail.example.org");
    assert_int_equal(conf->certificate_count, 1);
    assert_string_equal(conf->certificates[0].certificate, conf->certificate);
    assert_string_equal(conf->certificates[0].key, conf->key);
    assert_int_equal(conf->workers, 3);
    assert_int_equal(conf->log_level, LOG_TRACE);
    assert_string_equal(conf->dns_servers, "127.0.0.1,[::1]:5353");
    assert_int_equal(conf->dns_timeout_ms, 250);
    assert_true(conf->dns_trust_ad);
    assert_string_equal(conf->http_hosts, "api.example,*.example.org,[::1]:8443,mta-sts.*");
    assert_true(conf->http_private);
    assert_string_equal(conf->store, "/q");
    assert_int_equal(conf->store_ceiling, 1 << 30);
    assert_int_equal(conf->journal_max, 500);
    assert_int_equal(conf->journal_keep_s, 2 * 86400);
    assert_false(conf->journal_decisions);
    assert_string_equal(conf->journal_headers, "List-ID X-Kind");
    assert_string_equal(conf->family, "6");
    assert_int_equal(conf->expire_s, 36 * 3600);
    assert_int_equal(conf->lane_idle_s, 0);
    assert_int_equal(conf->limits.message_size, 2 << 20);
    assert_int_equal(conf->limits.idle_s, 7);
    const struct conf_listener *l = conf->listeners;
    assert_int_equal(conf->listener_count, 3);
    assert_string_equal(l[0].name, "apps");
    assert_true(l[0].auth_required);
    assert_false(l[0].tls_required);
    assert_int_equal(l[0].size_max, 1 << 20);
    assert_int_equal(l[0].allow_count, 2);
    struct addr client;
    assert_true(addr_parse(BYTES("10.9.8.7"), &client, NULL));
    assert_true(network_has(&l[0].allow[0], &client));
    assert_int_equal(l[1].kind, LISTENER_SUBMISSIONS);
    assert_true(l[1].auth_required);
    assert_false(l[1].tls_required);
    assert_string_equal(l[2].name, "lmtp-1");
    conf_free(&conf);
}

static void each_wrong_value_has_its_words(void **state) {
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"recipents = 5", "t.lua:1: recipents: unknown key\n"},
        {"limits = { recipents = 5 }", "t.lua:1: limits.recipents: unknown key (did you mean 'recipients'?)\n"},
        {"recipients = 5", "t.lua:1: recipients: unknown key (did you mean 'limits.recipients'?)\n"},
        {"limits = { expire = 5 }", "limits.expire: unknown key (did you mean 'delivery.expire'?)\n"},
        {"limit = { errors = 5 }", "t.lua:1: limit: unknown key (did you mean 'limits'?)\n"},
        {"limits = 5", "t.lua:1: limits: must be a table of keys: { ... }\n"},
        {"limits = { errors = '5' }", "limits.errors: is a text (it must be a whole number)\n"},
        {"limits = { errors = 1.5 }", "limits.errors: is a fraction (it must be a whole number)\n"},
        {"limits = { errors = 0 }", "limits.errors: is out of bounds (it must be between 1 and 1000000)\n"},
        {"limits = { message_size = '3GiB' }",
         "limits.message_size: is out of bounds (it must be between 1KiB and 2GiB)\n"},
        {"limits = { message_size = '3 potatoes' }", "limits.message_size: '3 potatoes' (it must be a size"},
        {"limits = { idle = 'soon' }", "limits.idle: 'soon' (it must be a duration"},
        {"limits = { idle = '2h' }", "limits.idle: is out of bounds (it must be between 1s and 1h)\n"},
        {"limits = { idle = -1 }", "limits.idle: is out of bounds"},
        {"dns = { timeout = 0 }", "dns.timeout: is nothing"},
        {"dns = { servers = { 'resolver.example' } }", "dns.servers: "},
        {"dns = { servers = '127.0.0.1' }",
         "dns.servers: is a text (it must be a list of addresses, as texts)\n"},
        {"certificates = 'a.pem'", "certificates: is a text (it must be a list of up to 1000 tables"},
        {"certificates = { { certificate = 'a.pem' } }", "certificates: number 1 is not { certificate = \"...\", key = \"...\" }"},
        {"certificates = { { certificate = 'a', key = 'b', name = 'c' } }", "certificates: number 1 is not"},
        {"certificates = { { certificate = 'a.pem', key = '/nowhere/b.pem' } }", "certificates[1].key: /nowhere/b.pem: No such file"},
        {"http = { hosts = 'api.example' }", "http.hosts: is a text (it must be a list of hosts"},
        {"http = { hosts = { 'https://api.example' } }", "http.hosts: 'https://api.example' (it must be a list of hosts"},
        {"http = { hosts = { 'api.example/x' } }", "http.hosts: 'api.example/x' (it must be"},
        {"http = { hosts = { '*' } }", "http.hosts: '*' (it must be"},
        {"http = { hosts = { '*.10.0.0.1' } }", "http.hosts: '*.10.0.0.1' (it must be"},
        {"http = { hosts = { '10.0.0.1.*' } }", "http.hosts: '10.0.0.1.*' (it must be"},
        {"http = { hosts = { '*.example.*' } }", "http.hosts: '*.example.*' (it must be"},
        {"http = { hosts = { '' } }", "http.hosts: '' (it must be"},
        {"http = { ca = 'nowhere.pem' }", "/nowhere.pem: No such file"},
        {"dns = { trust_ad = 1 }", "dns.trust_ad: is a number (it must be true or false)\n"},
        {"delivery = { family = 'ipv4' }", "delivery.family: 'ipv4' (it must be both|4|6)\n"},
        {"log = 'debug'", "log: 'debug' (it must be error|warning|notice|info|trace)\n"},
        {"hostname = 'mail example'", "hostname: 'mail example' (it must be the name of a host, as text)\n"},
        {"users = ''", "users: is empty"},
        {"users = 'nowhere'", "/nowhere: No such file or directory (make it with `tidegate passwd NAME`)\n"},
        {"certificate = 'cert.pem'", "certificate: certificate and key go together"},
        {"scripts = 'cert.pem'", "cert.pem: is not a folder\n"},
        {"user = 'nobody-of-this-name'", "user: this system has no user"},
        {"store = { ceiling = '100MiB' }", "store.ceiling: has no room for two segments"},
        {"log = function() end", "t.lua:1: log: is a function"},
        {"log = { 1, two = 2 }", "t.lua:1: log: mixes named values and a list"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "return { " LISTENERS ", %s }", cases[i].text);
        assert_fault(text, cases[i].want);
    }
}

static void listeners_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", "t.lua: listeners: there is none"},
        {"listeners = {}", "t.lua:1: listeners: there is none"},
        {"listeners = 5", "listeners: is not a list of tables"},
        {"listeners = { kind = 'relay', address = '127.0.0.1:1' }", "listeners: is not a list of tables"},
        {"listeners = { 5 }", "listeners[1]: is not a table"},
        {"listeners = { { kind = 'relay' } }", "listeners[1]: has no address"},
        {"listeners = { { address = '127.0.0.1:1' } }", "listeners[1]: has no kind"},
        {"listeners = { { kind = 'smtp', address = '127.0.0.1:1' } }",
         "listeners[1].kind: 'smtp' (it must be submission|submissions|relay|lmtp)"},
        {"listeners = { { kind = 'relay', address = '127.0.0.1' } }",
         "listeners[1].address: '127.0.0.1' has no port"},
        {"listeners = { { kind = 'relay', address = 'localhost:25' } }", "listeners[1].address: "},
        {"listeners = { { kind = 'relay', address = '127.0.0.1:1', alow = {} } }",
         "listeners[1].alow: unknown key (did you mean 'allow'?)"},
        {"listeners = { { kind = 'relay', address = '127.0.0.1:1', allow = { '10.0.0.0/40' } } }",
         "listeners[1].allow: "},
        {"listeners = { { kind = 'relay', address = '127.0.0.1:1', allow = { '0.0.0.0/0' } } }",
         "is the whole internet"},
        {"listeners = { { kind = 'submission', address = '127.0.0.1:1' } }",
         "listeners[1].certificate: submission-1 needs TLS, and there is no certificate"},
        {"listeners = { { kind = 'relay', auth_required = true, address = '127.0.0.1:1' } }",
         "relay-1 needs TLS"},
        {"listeners = { { kind = 'relay', key = 'key.pem', address = '127.0.0.1:1' } }",
         "certificate and key go together"},
        {"listeners = { { kind = 'relay', key = 'x', certificate = 'cert.pem', address = '127.0.0.1:1' } }",
         "listeners[1].key: "},
        {"listeners = { { kind = 'lmtp', address = '127.0.0.1:25' } }", "LMTP must not use port 25"},
        {"listeners = { { kind = 'relay', address = '127.0.0.1:1' }, { kind = 'lmtp', address = "
         "'127.0.0.1:1' } }",
         "listeners[2].address: 127.0.0.1:1 is taken by listeners[1]"},
        {"listeners = { { kind = 'relay', address = '0.0.0.0:1' }, { kind = 'relay', address = '127.0.0.1:1' "
         "} }",
         "is taken by listeners[1]"},
        {"listeners = { { kind = 'relay', name = 'a', address = '127.0.0.1:1' }, { kind = 'relay', name = "
         "'a', address = '127.0.0.1:2' } }",
         "listeners[2].name: 'a' is the name of listeners[1], too"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "return { %s }", cases[i].text);
        assert_fault(text, cases[i].want);
    }
}

static void all_faults_are_listed(void **state) {
    (void)state;
    assert_null(load("return { listeners = { { kind = 'x' } }, limits = { errors = 0, idle = {} }, recipents "
                     "= 1, log = 3 }"));
    size_t lines = 0;
    for (size_t i = 0; i < faults.len; i++)
        lines += faults.at[i] == '\n';
    if (lines < 6) fail_msg("%s", buf_z(&faults));
}

static void files_that_are_no_values(void **state) {
    (void)state;
    assert_fault("return { log = ", "t.lua:1: ");
    assert_fault("x = ", "t.lua:1: ");
    assert_fault("return 5", "does not return one table");
    assert_fault("return {}, 1", "does not return one table");
    assert_fault("", "does not return one table");
    assert_fault("return { log = os.getenv('HOME') }", "t.lua:1: ");
    assert_fault("return { user = tidegate }", "t.lua:1: 'tidegate' is no value here: a text wants quotes");
    assert_fault("return { log = 'info'\nuser = 'tidegate' }", "t.lua:2: '}' expected (to close '{' at line 1) near 'user' (is a comma missing before it?)");
    assert_fault("while true do end", "steps");
    assert_fault("local t = {} t.t = t return t", "a table within itself?");
    assert_fault("local s = ('x'):rep(1 << 40) return { log = s }", "t.lua");
    assert_fault("local s = 'x' while true do s = s .. s end", "memory");
    assert_fault("return { log = '\\xff' }", "not UTF-8");
    assert_fault("return { log = 'a\\0b' }", "NUL");
    assert_fault("return { [1.5] = 1 }", "mixes named values");
    assert_fault("return { log = 0/0 }", "finite");
    assert_fault("\x1bLua", "t.lua");
    buf_reset(&faults);
    assert_null(conf_load("/nowhere/tidegate.lua", note_fault, NULL));
    assert_string_equal(buf_z(&faults), "/nowhere/tidegate.lua: No such file or directory\n");
    assert_null(conf_load(folder, note_fault, NULL));
    assert_null(conf_load(folder, NULL, NULL));
}

static void values_keep_their_kinds(void **state) {
    (void)state;
    struct buf out = {0};
    assert_true(values_read(
        BYTES("return { z = 1, a = { true, false, 'x\"', 1.5, -3, 9007199254740993 }, e = {}, f = 2.0 }"),
        "t", &out, NULL));
    assert_string_equal(buf_z(&out),
                        "{\"a\":[true,false,\"x\\\"\",1.5,-3,9007199254740993],\"e\":{},\"f\":2.0,\"z\":1}");
    struct err err;
    assert_false(values_read(BYTES("return { a = { b = { 1, nil, 3, [9] = 1 } } }"), "t", &out, &err));
    assert_string_equal(err.text, "t:1: a.b: mixes named values and a list (or its list has a gap)");
    buf_release(&out);
}

static void the_control_socket_is_found_in_a_broken_file(void **state) {
    (void)state;
    struct buf path = {0};
    assert_null(load("return { control = '/run/c.sock', nonsense = 1 }"));
    conf_peek_control(file, &path);
    assert_string_equal(buf_z(&path), "/run/c.sock");
    buf_reset(&path);
    assert_null(load("return {"));
    conf_peek_control(file, &path);
    assert_non_null(strstr(buf_z(&path), "/var/control.sock"));
    buf_release(&path);
}

static void note_key(void *arg, const char *name) {
    buf_format(arg, "%s ", name);
}

static void what_needs_a_restart_is_named(void **state) {
    (void)state;
    struct conf *was = load_good("return { workers = 1, limits = { errors = 5 }, " LISTENERS " }");
    struct conf *now = load_good("return { workers = 2, store = { path = '/q' }, limits = { errors = 6 }, "
                                 "listeners = { { kind = 'relay', address = '127.0.0.1:2526' } } }");
    struct conf *same = load_good("return { workers = 1, listeners = { { kind = 'relay', address = "
                                  "'127.0.0.1:2525', allow = { '::1' } } } }");
    struct buf names = {0};
    conf_fixed_changes(was, now, note_key, &names);
    assert_string_equal(buf_z(&names), "listeners workers store.path ");
    buf_reset(&names);
    conf_fixed_changes(was, same, note_key, &names);
    assert_int_equal(names.len, 0);
    buf_release(&names);
    conf_free(&was);
    conf_free(&now);
    conf_free(&same);
}

static void read_all(const char *path, struct buf *out) {
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("%s: the unit tests run from the top of the checkout", path);
    buf_reserve(out, 1 << 20);
    out->len = fread(out->at, 1, (1 << 20) - 1, f);
    fclose(f);
}

static void the_reference_is_up_to_date(void **state) {
    (void)state;
    struct buf want = {0}, is = {0};
    conf_reference(&want);
    read_all("conf/README.md", &is);
    if (!bytes_equal(buf_bytes(&want), buf_bytes(&is)))
        fail_msg("conf/README.md is old: build/tidegate check --keys > conf/README.md");
    buf_release(&want);
    buf_release(&is);
}

// What is shipped says each key, with the default the table has, and reads without a fault but for files
// `make run` makes.
static void the_shipped_file_has_every_key(void **state) {
    (void)state;
    struct buf text = {0};
    read_all("conf/tidegate.lua", &text);
    buf_z(&text);
    for (const struct conf_key *key = conf_keys; key->name; key++) {
        const char *last = strrchr(key->name, '.');
        char assignment[80];
        snprintf(assignment, sizeof assignment, "%s = ", last ? last + 1 : key->name);
        if (!strstr(text.at, assignment)) fail_msg("conf/tidegate.lua does not explain '%s'", key->name);
    }
    for (const struct conf_key *key = conf_listener_keys; key->name; key++)
        if (!strstr(text.at, key->name))
            fail_msg("conf/tidegate.lua does not explain a listener's '%s'", key->name);
    buf_reset(&faults);
    struct conf *conf = conf_load("conf/tidegate.lua", note_fault, NULL);
    conf_free(&conf);
    struct bytes rest = buf_bytes(&faults);
    while (rest.len) {
        struct bytes line = bytes_cut(&rest, '\n');
        if (bytes_search(line, BYTES("No such file or directory")) < 0) fail_msg("%.*s", BYTES_FMT(line));
    }
    buf_release(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_there),
        cmocka_unit_test(values_arrive),
        cmocka_unit_test(each_wrong_value_has_its_words),
        cmocka_unit_test(listeners_are_checked),
        cmocka_unit_test(all_faults_are_listed),
        cmocka_unit_test(files_that_are_no_values),
        cmocka_unit_test(values_keep_their_kinds),
        cmocka_unit_test(the_control_socket_is_found_in_a_broken_file),
        cmocka_unit_test(what_needs_a_restart_is_named),
        cmocka_unit_test(the_reference_is_up_to_date),
        cmocka_unit_test(the_shipped_file_has_every_key),
    };
    return cmocka_run_group_tests_name("relay/conf", tests, make_folder, drop_folder);
}
