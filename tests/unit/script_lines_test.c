// SPDX-License-Identifier: MIT
#include "script/lines.h"
#include "vm_kit.h"

// "1 3 5" of the lines with code.
static const char *code_of(const char *text, char *out, size_t size) {
    bool *lines;
    struct err err = {""};
    size_t count = lines_with_code(bytes_of(text), &lines, &err), at = 0;
    if (!count) fail_msg("%s", err.text);
    out[0] = 0;
    for (size_t i = 1; i < count && at < size; i++)
        if (lines[i]) at += (size_t)snprintf(out + at, size - at, "%s%zu", at ? " " : "", i);
    free(lines);
    return out;
}

static void assert_code(const char *text, const char *expected) {
    char out[400];
    assert_string_equal(code_of(text, out, sizeof out), expected);
}

static void code_is_told_from_the_rest(void **state) {
    (void)state;
    assert_code("-- nothing\n\n", "");
    assert_code("local x = 1\n-- words\n\nx = x + 1\n", "1 4");
    assert_code("local t = {\n  a = 1,\n  -- b\n  c = 2,\n}\nreturn t\n", "1 2 4 6");
    assert_code("if x then\n  y()\nelse\n  z()\nend\n", "1 2 4");
}

static void functions_nobody_calls_are_seen(void **state) {
    (void)state;
    // `end` of a function that returned before is no line of code; making the function is, at its last line.
    assert_code("local function f(a, ...)\n  local function g()\n    return 1\n  end\n  return g\nend\n",
                "3 4 5 6");
    assert_code("return function(...)\n  local a = ...\n  return a\nend\n", "2 3 4");
}

// Steps of more than 127 lines, and more than 128 instructions, have their line written out in the debug
// information.
static void far_lines_are_found(void **state) {
    (void)state;
    struct buf text = {0};
    char out[4000];
    buf_addz(&text, "local x = 1\n");
    for (int i = 0; i < 300; i++)
        buf_byte(&text, '\n');
    buf_addz(&text, "x = 2\n");
    assert_string_equal(code_of(buf_z(&text), out, sizeof out), "1 302");
    buf_reset(&text);
    for (int i = 0; i < 400; i++)
        buf_addz(&text, "x = y\n");
    code_of(buf_z(&text), out, sizeof out);
    assert_non_null(strstr(out, "397 398 399 400"));
    assert_non_null(strstr(out, " 128 129 130 "));
    buf_release(&text);
}

static void constants_of_all_kinds_are_passed_over(void **state) {
    (void)state;
    assert_code("local long = '0123456789012345678901234567890123456789012345678901234567890123456789'\n"
                "local t = { 1.5, 12345678901234, true, false, nil, 'short', 1e300, -1 }\n"
                "local f = function() return long .. t end\n",
                "1 2 3");
}

static void what_is_no_lua_is_refused(void **state) {
    (void)state;
    bool *lines;
    struct err err = {""};
    assert_int_equal(lines_with_code(BYTES("local = 1"), &lines, &err), 0);
    assert_non_null(strstr(err.text, "text:1:"));
    assert_null(lines);
    assert_int_equal(lines_with_code(BYTES("\033Lua"), &lines, &err), 0);
}

// ---- what runs is among it

static bool ran[100];
static void on_line(void *arg, const char *file, int line) {
    assert_ptr_equal(arg, ran);
    assert_string_equal(file, "policy.lua");
    assert_in_range(line, 1, 99);
    ran[line] = true;
}

static void lines_that_run_are_told_and_have_code(void **state) {
    (void)state;
    static const char text[] = "local t = {}\n"
                               "for i = 1, 3 do\n"
                               "  t[i] = function(...)\n"
                               "    local a, b = ...\n"
                               "    if a then return b end\n"
                               "    return nil\n"
                               "  end\n"
                               "end\n"
                               "local co = coroutine.wrap(function()\n"
                               "  coroutine.yield(1)\n"
                               "end)\n"
                               "co() pcall(t[1], 1)\n"
                               "local function never()\n"
                               "  error('x')\n"
                               "end\n"
                               "return t\n";
    struct kit k;
    kit_open(&k, 8 << 20, 100000);
    vm_free(&k.vm);
    struct err err = {""};
    k.vm = vm_new(&(struct vm_options){.memory_max = 8 << 20,
                                       .clock = &kit_clock,
                                       .log = &kit_log,
                                       .on_line = on_line,
                                       .on_line_arg = ran},
                  &err);
    assert_non_null(k.vm);
    memset(ran, 0, sizeof ran);
    assert_int_equal(kit_run(&k, text), VM_DONE);
    bool *lines;
    size_t count = lines_with_code(bytes_of(text), &lines, &err);
    for (size_t i = 1; i < count; i++)
        if (ran[i] && !lines[i]) fail_msg("line %zu ran and has no code", i);
    assert_true(ran[10] && ran[4] && ran[5]); // in a coroutine, and below pcall
    assert_true(lines[6] && !ran[6]);
    assert_true(lines[14] && !ran[14]);
    free(lines);
    // The budget holds as ever.
    vm_budget_init(&k.budget, 100000);
    assert_int_equal(kit_run(&k, "while true do end"), VM_FAULT);
    kit_close(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_is_told_from_the_rest),
        cmocka_unit_test(functions_nobody_calls_are_seen),
        cmocka_unit_test(far_lines_are_found),
        cmocka_unit_test(constants_of_all_kinds_are_passed_over),
        cmocka_unit_test(what_is_no_lua_is_refused),
        cmocka_unit_test(lines_that_run_are_told_and_have_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
