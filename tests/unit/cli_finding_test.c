// SPDX-License-Identifier: MIT
#include "cli/finding.h"

#include "cli/doctor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

// What is printed on stdout meanwhile, through a file: findings are for the terminal.
static char *printed(void (*print)(struct findings *f), struct findings *f) {
    fflush(stdout);
    int was = dup(STDOUT_FILENO);
    FILE *file = tmpfile();
    dup2(fileno(file), STDOUT_FILENO);
    print(f);
    fflush(stdout);
    dup2(was, STDOUT_FILENO);
    close(was);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = calloc(1, (size_t)size + 1);
    assert_int_equal(fread(text, 1, (size_t)size, file), size);
    fclose(file);
    return text;
}

static void add_two(struct findings *f) {
    findings_section(f, "identity acme");
    findings_add(
        f, &(struct finding){FINDING_OK, "ptr", "192.0.2.1", .what = "192.0.2.1 is a.example, and back"});
    findings_add(f, &(struct finding){FINDING_FAIL, "spf", "a.example", "a hostile\x1b[31m record", "refused",
                                      "mend it", "a.example. TXT \"v=spf1 -all\""});
    findings_end(f);
}

static void people_and_programs_read_the_same(void **state) {
    (void)state;
    struct findings f = {0}, g = {.json = true};
    char *people = printed(add_two, &f), *programs = printed(add_two, &g);
    assert_non_null(strstr(people, "\nidentity acme\n  ok    ptr        192.0.2.1 is a.example, and back\n  "
                                   "FAIL  spf        a hostile?[31m record\n"));
    assert_non_null(strstr(
        people,
        "        follows   refused\n        fix       mend it\n          a.example. TXT \"v=spf1 -all\"\n"));
    assert_non_null(strstr(people, "\n1 ok, 0 to look at, 1 wrong\n"));
    assert_null(strchr(people, '\x1b'));
    assert_non_null(
        strstr(programs, "{\"section\":\"identity "
                         "acme\",\"check\":\"ptr\",\"level\":\"ok\",\"about\":\"192.0.2.1\",\"what\":"));
    assert_non_null(strstr(programs, "\"record\":\"a.example. TXT \\\"v=spf1 -all\\\"\"}\n"));
    assert_int_equal(findings_code(&f), 2);
    free(people);
    free(programs);
}

static struct doctor doctor;

static void judge_three(struct findings *f) {
    (void)f;
    findings_section(&doctor.findings, "this machine");
    doctor_judge_clock(&doctor, true, 2000);
    assert_int_equal(findings_code(&doctor.findings), 0);
    doctor_judge_clock(&doctor, true, 16000000);
    doctor_judge_clock(&doctor, false, 0);
}

static void the_clock(void **state) {
    (void)state;
    char *said = printed(judge_three, NULL);
    assert_int_equal(findings_code(&doctor.findings), 1);
    assert_non_null(strstr(said, "ok    clock      the clock is kept in step"));
    assert_non_null(strstr(said, "warn  clock      the clock may be wrong by 16 s"));
    assert_non_null(strstr(said, "warn  clock      nobody keeps the clock in step"));
    arena_release(&doctor.arena);
    free(said);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(people_and_programs_read_the_same),
                                       cmocka_unit_test(the_clock)};
    return cmocka_run_group_tests_name("cli/finding, doctor", tests, NULL, NULL);
}
