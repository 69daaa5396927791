// SPDX-License-Identifier: MIT
#include "vm_kit.h"

static const char *eval(const char *text) {
    static char result[4096];
    struct kit k;
    kit_open(&k, 16 << 20, 5000000);
    if (kit_run(&k, text) != VM_DONE) fail_msg("%s: %s", text, k.fault.first);
    snprintf(result, sizeof result, "%s", k.result);
    kit_close(&k);
    return result;
}

static const char *fault(const char *text) {
    static char result[400];
    struct kit k;
    kit_open(&k, 16 << 20, 5000000);
    if (kit_run(&k, text) != VM_FAULT) fail_msg("%s: no fault but %s", text, k.result);
    snprintf(result, sizeof result, "%s", k.fault.first);
    kit_close(&k);
    return result;
}

static void runs_lua(void **state) {
    (void)state;
    assert_string_equal(eval("local t = {} for i = 1, 10 do t[i] = i * i end return table.concat(t, ',')"),
                        "1,4,9,16,25,36,49,64,81,100");
    assert_string_equal(eval("return select('#', pcall(error, 'x'))"), "2");
    assert_string_equal(eval("return tostring(select(2, pcall(error, 'x')))"), "x");
    assert_string_equal(
        eval("local ok, a, b = pcall(function(...) return ... end, 1, 2) return tostring(ok)..a..b"),
        "true12");
    assert_string_equal(
        eval("local ok, e = xpcall(error, function(e) return 'seen ' .. e end, 'x') return tostring(ok)..e"),
        "falseseen x");
    assert_string_equal(eval("local ok, a, b = xpcall(function(...) return ... end, function() end, 1, 2) "
                             "return tostring(ok)..a..b"),
                        "true12");
}

static void faults_name_the_line(void **state) {
    (void)state;
    assert_string_equal(fault("\n\nlocal x = nil\nreturn x.y"),
                        "policy.lua:4: attempt to index a nil value (local 'x')");
    assert_string_equal(fault("error({})"), "the error is no text but a table");
    assert_string_equal(fault("local x = = 1"), "policy.lua:1: unexpected symbol near '='");
    struct kit k;
    kit_open(&k, 16 << 20, 5000000);
    assert_int_equal(
        kit_run(&k, "local function inner() error('deep') end\nlocal function outer() inner() end\nouter()"),
        VM_FAULT);
    buf_z(&k.fault.trace);
    assert_non_null(strstr(k.fault.trace.at, "policy.lua:1: deep"));
    assert_non_null(strstr(k.fault.trace.at, "policy.lua:2"));
    assert_non_null(strstr(k.fault.trace.at, "policy.lua:3 in the main part"));
    kit_close(&k);
}

// Work that steps do not measure (here: comparing long texts) is stopped by time.
static void time_ends_runs_too(void **state) {
    (void)state;
    struct kit k;
    kit_open(&k, 64 << 20, INT64_C(1) << 40);
    k.budget.stretch_ms = 20;
    k.budget.bytes = INT64_C(1) << 40;
    assert_int_equal(kit_run(&k, "local a, b = ('x'):rep(4000000) .. 'a', ('x'):rep(4000000) .. 'b'\n"
                                 "while true do local c = a < b end"),
                     VM_FAULT);
    assert_int_equal(k.budget.killed, VM_TIME);
    assert_non_null(strstr(k.fault.first, "policy.lua:2: stopped: it ran for more than 20 ms at a stretch"));
    kit_close(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(runs_lua), cmocka_unit_test(faults_name_the_line),
                                       cmocka_unit_test(time_ends_runs_too)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
