// SPDX-License-Identifier: MIT
#include "relay/users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH "$6$saltsalt$0123456789abcdefghij"

static struct users *read_text(const char *text, struct err *err) {
    return users_read(bytes_of(text), "users", err);
}

static void assert_fault(const char *text, const char *words) {
    struct err err = {{0}};
    struct users *u = read_text(text, &err);
    assert_null(u);
    if (!strstr(err.text, words)) fail_msg("'%s' does not say '%s'", err.text, words);
}

static size_t count(const struct users *u) {
    struct bytes name, facts;
    size_t at = 0, n = 0;
    while (users_next(u, &at, &name, &facts)) n++;
    return n;
}

static void assert_facts(const struct users *u, const char *name, const char *want) {
    struct bytes facts = {0};
    assert_non_null(users_hash(u, bytes_of(name), &facts));
    assert_int_equal(facts.len, strlen(want));
    assert_memory_equal(facts.at, want, facts.len);
}

static void reads_what_is_written(void **state) {
    (void)state;
    struct users *u =
        read_text("# people\n\n  \nann:" HASH "\r\n"
                  "bob@example.org:" HASH ":from=*@example.org,b@example.net team=\"mail room\"  quota=5\n"
                  "mül:!locked:x=\n"
                  "last:*:note=\"\"",
                  NULL);
    assert_non_null(u);
    assert_int_equal(count(u), 4);
    assert_string_equal(users_hash(u, BYTES("ann"), NULL), HASH);
    assert_facts(u, "ann", "{}");
    assert_facts(u, "bob@example.org",
                 "{\"from\":\"*@example.org,b@example.net\",\"team\":\"mail room\",\"quota\":\"5\"}");
    assert_facts(u, "mül", "{\"x\":\"\"}");
    assert_facts(u, "last", "{\"note\":\"\"}");
    struct bytes untouched = BYTES("x");
    assert_null(users_hash(u, BYTES("Ann"), &untouched));
    assert_null(users_hash(u, BYTES("ann\0"), NULL));
    assert_null(users_hash(u, BYTES(""), NULL));
    assert_int_equal(untouched.len, 1);
    users_free(&u);
    assert_null(u);
    users_free(&u);
}

static void faults_name_the_line(void **state) {
    (void)state;
    assert_fault("a:" HASH "\n\na:" HASH "\n", "users:3: a: is on line 1 already");
    assert_fault("ann:secret\n", "users:1: ann: what follows the name is not a password hash");
    assert_fault("ann\n", "not a password hash");
    assert_fault("ann:\n", "not a password hash");
    assert_fault("ann:$6$x\n", "not a password hash");
    assert_fault("ann:$1$saltsalt$0123456789abcdefghijkl\n", "not a password hash"); // MD5 is not good enough
    assert_fault(":" HASH "\n", "is not a user name");
    assert_fault("a b:" HASH "\n", "is not a user name");
    assert_fault("a\xff:" HASH "\n", "is not UTF-8");
    assert_fault("ann:" HASH ":k=v\tw=x\n", "control character");
    assert_fault("ann:" HASH ":from\n", "'from' is not key=value");
    assert_fault("ann:" HASH ":from to=x\n", "'from' is not key=value");
    assert_fault("ann:" HASH ":a.b=c\n", "'a.b' is not a key");
    assert_fault("ann:" HASH ":=c\n", "'' is not a key");
    assert_fault("ann:" HASH ":a=\"c\n", "closing '\"' is missing");
    assert_fault("ann:" HASH ":a=\"c\"d=e\n", "a space must follow");
    assert_fault("ann:" HASH ":a=b a=c\n", "a: given twice");
    assert_fault("x\ny\n\nz\n", "users:1: x: what follows");
    assert_fault("x\ny\n\nz\n", "(and 2 more such lines)");
}

static void long_things_are_cut_not_overrun(void **state) {
    (void)state;
    struct buf text = {0};
    for (int i = 0; i < 5000; i++)
        buf_byte(&text, 'n');
    buf_addz(&text, ":" HASH "\nok:");
    for (int i = 0; i < 5000; i++)
        buf_byte(&text, 'h');
    struct err err;
    assert_null(users_read(buf_bytes(&text), "users", &err));
    assert_true(strlen(err.text) < 300);
    buf_release(&text);
}

// ---- files
// -------------------------------------------------------------------------------------------------

static char folder[] = "/tmp/users-test-XXXXXX";
static char path[64];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/users-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/users", folder);
    return 0;
}

static int drop_folder(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder); // fails where a temporary file was left behind
}

static void write_file(const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void assert_file(const char *text) {
    char got[4096];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(got, 1, sizeof got - 1, f);
    fclose(f);
    got[n] = 0;
    assert_string_equal(got, text);
}

static void no_file_is_a_fault_and_no_path_is_empty(void **state) {
    (void)state;
    struct err err;
    assert_null(users_load(path, &err));
    assert_non_null(strstr(err.text, "No such file"));
    assert_null(users_load(folder, &err));
    struct users *u = users_load(NULL, &err);
    assert_int_equal(count(u), 0);
    users_free(&u);
}

static void puts_change_one_line(void **state) {
    (void)state;
    assert_true(users_put(path, BYTES("ann"), BYTES(HASH), NULL, NULL));
    assert_file("ann:" HASH "\n");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    write_file("# people\nann:" HASH ":from=*@x\n\nbroken line\nbob:" HASH); // no LF at the end
    chmod(path, 0600);
    assert_true(users_put(path, BYTES("ann"), BYTES("!new"), NULL, NULL));
    assert_file("# people\nann:!new:from=*@x\n\nbroken line\nbob:" HASH "\n");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(users_put(path, BYTES("bob"), BYTES("!new"), "a=1 b=\"x y\"", NULL));
    assert_true(users_put(path, BYTES("cy"), BYTES("!new"), "a=1", NULL));
    assert_file("# people\nann:!new:from=*@x\n\nbroken line\nbob:!new:a=1 b=\"x y\"\ncy:!new:a=1\n");
    bool found;
    assert_true(users_remove(path, BYTES("ann"), &found, NULL));
    assert_true(found);
    assert_true(users_remove(path, BYTES("ann"), &found, NULL));
    assert_false(found);
    assert_file("# people\n\nbroken line\nbob:!new:a=1 b=\"x y\"\ncy:!new:a=1\n");
}

static void puts_refuse_what_would_not_read_back(void **state) {
    (void)state;
    struct err err;
    assert_false(users_put(path, BYTES("a:b"), BYTES(HASH), NULL, &err));
    assert_false(users_put(path, BYTES("#a"), BYTES(HASH), NULL, &err));
    assert_false(users_put(path, BYTES("a"), BYTES("plain"), NULL, &err));
    assert_false(users_put(path, BYTES("a"), BYTES(HASH), "x=1\nroot:!", &err));
    assert_false(users_put(path, BYTES("a"), BYTES(HASH), "no pair", &err));
    assert_int_equal(access(path, F_OK), -1);
    write_file("");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_written),
        cmocka_unit_test(faults_name_the_line),
        cmocka_unit_test(long_things_are_cut_not_overrun),
        cmocka_unit_test_setup_teardown(no_file_is_a_fault_and_no_path_is_empty, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(puts_change_one_line, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(puts_refuse_what_would_not_read_back, make_folder, drop_folder),
    };
    return cmocka_run_group_tests_name("relay/users", tests, NULL, NULL);
}
