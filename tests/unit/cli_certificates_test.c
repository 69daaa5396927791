// SPDX-License-Identifier: MIT
#include "cli/certificates.h"

#include "net_pem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <time.h>

static char dir[] = "/tmp/tidegate-certificates-XXXXXX";
static struct pem_pair root, ann, both, old, bare;

static void add_warning(void *arg, const char *text) { buf_format(arg, "%s\n", text); }

static struct tls_pair pair_of(const struct pem_pair *p) { return (struct tls_pair){p->certificate_path, p->key_path}; }

static void expect(const struct conf *conf, int64_t now_s, const char *want) {
    struct buf said = {0};
    certificates_look(conf, now_s, add_warning, &said);
    assert_string_equal(buf_z(&said), want);
    buf_release(&said);
}

static void what_is_well_is_not_spoken_of(void **state) {
    (void)state;
    struct tls_pair one[] = {pair_of(&both)};
    expect(&(struct conf){0}, time(NULL), "");
    expect(&(struct conf){.certificate = ann.certificate_path}, time(NULL), "");
    expect(&(struct conf){.certificate = bare.certificate_path, .certificates = one, .certificate_count = 1}, time(NULL), "");
}

static void what_clients_will_not_like(void **state) {
    (void)state;
    char want[1000];
    struct tls_pair list[] = {pair_of(&both), pair_of(&old), pair_of(&bare)};
    // The listener shares the list: nothing is said twice.
    struct conf_listener listener = {.certificate = ann.certificate_path};
    struct conf conf = {.certificate = ann.certificate_path, .certificates = list, .certificate_count = 3, .listeners = &listener, .listener_count = 1};
    snprintf(want, sizeof want,
             "%s: a.example is in %s, too: who connects to that name is shown that one\n"
             "%s: expired 2 days ago: clients refuse to connect\n"
             "%s: has no name of a host in it: nobody is ever shown it\n",
             both.certificate_path, ann.certificate_path, old.certificate_path, bare.certificate_path);
    expect(&conf, time(NULL), want);
    snprintf(want, sizeof want, "%s: expires in 4 days\n", ann.certificate_path);
    expect(&(struct conf){.certificate = ann.certificate_path}, time(NULL) + 5 * 86400 + 3600, want);
    snprintf(want, sizeof want, "%s: is not good before 10 days from now\n", ann.certificate_path);
    expect(&(struct conf){.certificate = ann.certificate_path}, time(NULL) - 40 * 86400, want);
}

static void a_list_of_its_own_stands_alone(void **state) {
    (void)state;
    struct tls_pair common[] = {pair_of(&ann)}, own[] = {pair_of(&both)};
    struct conf_listener listener = {.certificates = own, .certificate_count = 1};
    expect(&(struct conf){.certificate = bare.certificate_path, .certificates = common, .certificate_count = 1, .listeners = &listener, .listener_count = 1},
           time(NULL), "");
}

int main(void) {
    bug_if(!mkdtemp(dir));
    pem_make(&root, dir, "root", "a root", NULL, NULL, 100);
    pem_make(&ann, dir, "ann", "a.example", "DNS:a.example", &root, 10);
    pem_make(&both, dir, "both", "b.example", "DNS:b.example,DNS:a.example", &root, 10);
    pem_make(&old, dir, "old", "old.example", "DNS:old.example", &root, -2);
    pem_make(&bare, dir, "bare", "nobody", "IP:192.0.2.1", &root, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_well_is_not_spoken_of), cmocka_unit_test(what_clients_will_not_like),
                                       cmocka_unit_test(a_list_of_its_own_stands_alone)};
    int failed = cmocka_run_group_tests_name("cli/certificates", tests, NULL, NULL);
    struct pem_pair *const all[] = {&root, &ann, &both, &old, &bare};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) pem_release(all[i]);
    rmdir(dir);
    return failed;
}
