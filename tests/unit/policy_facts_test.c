// SPDX-License-Identifier: MIT
// facts: which outcomes are for good.
#include "policy/facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void permanent_is_about_the_mail(void **state) {
    (void)state;
    static const struct {
        int code;
        const char *stage;
        bool local, permanent;
    } cases[] = {
        {550, "rcpt", false, true},     {550, "mail", false, true},     {554, "data", false, true},
        {552, "content", false, true},  {552, "mail", true, true},      {550, "dns", true, true},
        {451, "rcpt", false, false},    {421, "content", false, false}, {554, "greeting", false, false},
        {521, "greeting", false, true}, {550, "ehlo", false, false},    {535, "auth", false, false},
        {530, "mail", false, false},    {554, "tls", true, false},      {451, "connect", true, false},
        {521, "connect", true, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome_facts o = {.reply = reply_make(cases[i].code, NULL, "x"),
                                  .stage = bytes_of(cases[i].stage),
                                  .local = cases[i].local};
        if (outcome_is_permanent(&o) != cases[i].permanent)
            fail_msg("%d at %s: expected %s", cases[i].code, cases[i].stage,
                     cases[i].permanent ? "permanent" : "temporary");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(permanent_is_about_the_mail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
