// SPDX-License-Identifier: MIT
// Each way out of a script's budget, and that it is shut: every one of these ends, and soon.
#include "vm_kit.h"

#include <time.h>

enum { MEMORY = 32 << 20, STEPS = 3000000, SECONDS = 20 }; // the last for slow, instrumented, shared machines

static struct kit k;

static int set_up(void **state) {
    (void)state;
    kit_open(&k, MEMORY, STEPS);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    kit_close(&k);
    return 0;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// The run is killed, in bounded time, and the state is fit for another run.
static void dies(const char *text) {
    double begin = now();
    vm_budget_init(&k.budget, STEPS);
    enum vm_end end = kit_run(&k, text);
    if (end != VM_FAULT) fail_msg("%s: ended well with %s", text, k.result);
    if (!k.budget.killed) fail_msg("%s: was not killed, but: %s", text, k.fault.first);
    if (now() - begin > SECONDS) fail_msg("%s: took %.1f s", text, now() - begin);
    vm_budget_init(&k.budget, STEPS);
    if (kit_run(&k, "return 'fit'") != VM_DONE) fail_msg("%s: and then: %s", text, k.fault.first);
    assert_string_equal(k.result, "fit");
}

// Raises an error with these words, in bounded time; or `words` NULL: any end but a success that returns "out".
static void refused(const char *text, const char *words) {
    double begin = now();
    vm_budget_init(&k.budget, STEPS);
    if (kit_run(&k, text) != VM_FAULT) fail_msg("%s: ended well with %s", text, k.result);
    if (words && !strstr(k.fault.first, words))
        fail_msg("%s: expected '%s', got '%s'", text, words, k.fault.first);
    if (now() - begin > SECONDS) fail_msg("%s: took %.1f s", text, now() - begin);
}

static void gives(const char *text, const char *result) {
    double begin = now();
    vm_budget_init(&k.budget, STEPS);
    if (kit_run(&k, text) != VM_DONE) fail_msg("%s: %s", text, k.fault.first);
    if (strcmp(k.result, result) != 0) fail_msg("%s: expected '%s', got '%s'", text, result, k.result);
    if (now() - begin > SECONDS) fail_msg("%s: took %.1f s", text, now() - begin);
}

// ---- libraries.md 6.2, line by line

static void loops_end(void **state) {
    (void)state;
    dies("while true do end");
    dies("local function f() return f() end f()");
    dies("for i = 1, math.huge do local x = i end");
    dies("goto a ::a:: goto a");
}

static void pcall_does_not_save_a_loop(void **state) {
    (void)state;
    dies("local function loop() while true do end end\nwhile true do pcall(loop) end");
    dies("while true do pcall(pcall, function() while true do end end) end");
    dies("while true do pcall(error) end");
    dies("local function f() pcall(f) pcall(f) end f()");
    dies("while true do pcall(string.rep, 'x', 1e9) end");
    dies("while true do pcall(tostring) end");
}

static void coroutines_share_the_budget(void **state) {
    (void)state;
    dies("local function loop() while true do end end\nwhile true do pcall(coroutine.wrap(loop)) end");
    dies("while true do coroutine.resume(coroutine.create(function() while true do end end)) end");
    dies("local function f() return coroutine.wrap(f)() end while true do pcall(f) end");
    dies("local co co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do "
         "co() end");
    dies("local function nest() coroutine.wrap(function() pcall(nest) while true do end end)() end while "
         "true do pcall(nest) end");
}

static void finalizers_and_closers_are_not_to_be_had(void **state) {
    (void)state;
    refused("setmetatable({}, { __gc = function() while true do end end })", "__gc is not available");
    refused("setmetatable({}, { __close = function() while true do end end })", "__close is not available");
    // A field that comes later: __gc is not looked at again, and __close runs with the budget or not at all.
    gives("local mt = {} local t = setmetatable({}, mt) mt.__gc = function() while true do end end t = nil\n"
          "for i = 1, 20000 do local x = { i } end return 'fine'",
          "fine");
    dies("local mt = {} local t = setmetatable({}, mt) mt.__close = function() while true do end end\n"
         "local x <close> = t");
    dies("local mt = {} local t = setmetatable({}, mt) mt.__close = function() while true do end end\n"
         "local function f() local x <close> = t while true do end end\n"
         "while true do pcall(f) end");
    dies("local mt = {} local t = setmetatable({}, mt) mt.__close = function() while true do end end\n"
         "while true do coroutine.wrap(function() local x <close> = t while true do end end)() end");
}

static void handlers_do_not_escape(void **state) {
    (void)state;
    dies("xpcall(error, function() while true do end end)");
    dies("while true do xpcall(error, function() while true do end end) end");
    dies("while true do xpcall(function() while true do end end, function() while true do end end) end");
    dies("local function h() error('again') end while true do xpcall(error, h) end");
    dies("return tostring(setmetatable({}, { __tostring = function() while true do end end }))");
    dies("table.sort({ 1, 2, 3 }, function() while true do end end)");
    dies("string.gsub('x', 'x', function() while true do end end)");
    dies("return setmetatable({}, { __index = function(t, key) while true do end end }).x");
    dies("for x in function() return 1 end do end");
    dies("return setmetatable({}, { __eq = function() while true do end end }) == setmetatable({}, {})\n"
         "or setmetatable({}, { __lt = function() while true do end end }) < {}");
    refused("error(setmetatable({}, { __tostring = function() while true do end end }))",
            "the error is no text");
}

static void string_rep_is_bounded(void **state) {
    (void)state;
    gives("return #string.rep('', 1e18)", "0");
    gives("return #string.rep('', 1e18, '')", "0");
    refused("return string.rep('x', 1e18)", "string.rep: the result would be too long");
    refused("return ('ab'):rep(1 << 62, 'cd')", "string.rep: the result would be too long");
    dies("while true do local s = string.rep('x', 4000000) end");
    dies("local s = 'x' while true do s = s .. s end");
    gives("return string.rep('ab', 3, ',')", "ab,ab,ab");
    gives("return string.rep('ab', -1) .. string.rep('ab', 0) .. string.rep('ab', 1, ',')", "ab");
}

static void patterns_are_counted(void **state) {
    (void)state;
    refused(
        "return ('a'):rep(300):find(('.-'):rep(6)..'b')",
        "string.find: pattern '.-.-.-.-.-.-b' takes too many steps on this text of 300 bytes (use re.find)");
    refused("return ('a'):rep(200000):find('a-b')", "takes too many steps");
    refused("return ('a'):rep(200000):match('a*b')", "takes too many steps");
    refused("return ('a'):rep(100000):gsub('a*b', '')", "takes too many steps");
    refused("for x in ('a'):rep(100000):gmatch('a*b') do end", "takes too many steps");
    refused("return ('('):rep(100000):find('%b()')", "takes too many steps");
    refused("return ('a'):rep(300):find(('a?'):rep(190) .. ('a'):rep(200) .. 'b')", NULL);
    refused("return ('x'):find(('(x?)'):rep(33))", NULL);
    refused("return ('x'):rep(400):find(('x?'):rep(400))", "too complex");
    dies("while true do pcall(string.find, ('a'):rep(300), ('.-'):rep(6)..'b') end");
    gives("return ('a'):rep(2000000):find('b', 1, true)", "nil");
    gives("return (('a'):rep(1000000):find(('a'):rep(500000) .. 'b', 1, true))", "nil");
}

static void memory_has_a_ceiling(void **state) {
    (void)state;
    dies("local t = {} while true do t[#t + 1] = {} end");
    dies("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end");
    dies("while true do pcall(function() local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end "
         "end) end");
    dies("local s = string.rep('x', 1000) while true do s = s:gsub('x', 'xx') end");
    dies("local t = {} while true do t = { t, t, ('y'):rep(10000) .. tostring(t) } end");
    dies("local f = string.format while true do f(('%99s'):rep(1000), table.unpack({}, 1, 1000)) end");
    dies("local t = {} for i = 1, 5e6 do t[i] = i end return #table.concat(t, ('x'):rep(10000))");
    dies("local function f() return 1 + f() end while true do pcall(f) end");
    assert_true(vm_memory(k.vm) <= MEMORY);
}

static void table_functions_are_bounded(void **state) {
    (void)state;
    dies("return table.concat({}, '', 1, 1 << 62)");
    dies("return table.move({}, 1, 1 << 62, 2)");
    dies("return table.unpack({}, 1, 1 << 62)");
    refused("return table.unpack({}, 1, 2000000)", "too many results");
    refused("return table.concat(setmetatable({}, { __index = type }), '', 1, 1e9)",
            "a table with __index is not possible here");
    refused("return table.sort(setmetatable({}, { __len = function() return 1e9 end }))",
            "a table with __len is not possible here");
    refused("return table.insert(setmetatable({}, { __newindex = rawset }), 1)",
            "a table with __newindex is not possible here");
    refused("return table.move({}, 1, 2, 1, setmetatable({}, { __newindex = rawset }))",
            "a table with __newindex is not possible here");
    dies("local t = {} for i = 1, 100000 do t[i] = i end while true do table.insert(t, 1, 0) end");
    dies("local t = {} for i = 1, 100000 do t[i] = i end while true do table.remove(t, 1) end");
    dies("local t = {} for i = 1, 100000 do t[i] = -i end while true do table.sort(t) end");
    gives("local t = { 3, 1, 2 } table.sort(t) table.insert(t, 4) table.insert(t, 1, 0) table.remove(t) "
          "return table.concat(t, ',', 1, 3)",
          "0,1,2");
    gives("return select('#', table.unpack({ 1, nil, 3 }, 1, 3))", "3");
}

static void long_texts_are_charged(void **state) {
    (void)state;
    dies("local s = (' '):rep(4000000) while true do tonumber(s) end");
    dies("local s = ('x'):rep(4000000) while true do s:upper() end");
    dies("local s = ('x'):rep(4000000) while true do s:find('y', 1, true) end");
    dies("local s = ('x'):rep(4000000) while true do utf8.len(s) end");
    dies("local s = ('x'):rep(1000000) while true do s:byte(1, 200000) end");
    dies("local s = ('x = 1 '):rep(100000) while true do load(s) end");
}

// ---- what is not there

static void the_world_is_out_of_reach(void **state) {
    (void)state;
    static const char *const gone[] = {"io",       "debug",          "package", "dofile",
                                       "loadfile", "collectgarbage", "_G",      "print"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        char text[60], words[80];
        snprintf(text, sizeof text, "return %s", gone[i]);
        snprintf(words, sizeof words, "'%s' is not available", gone[i]);
        refused(text, words);
    }
    gives("return tostring(os.execute) .. tostring(os.getenv) .. tostring(os.exit) .. tostring(os.remove) .. "
          "tostring(os.tmpname)",
          "nilnilnilnilnil");
    gives("return tostring(string.dump) .. tostring(string.pack) .. tostring(coroutine.close) .. "
          "tostring(coroutine.running)",
          "nilnilnilnil");
    gives("return select(2, load('\\27Lua'))", "attempt to load a binary chunk (mode is 't')");
    gives("return load('return 6 * 7')()", "42");
    gives("return load('return x', 'n', 't', { x = 5 })()", "5");
    gives("return select(2, load('x ='))", "(load):1: unexpected symbol near <eof>");
    refused("load('y = 1')()", "global 'y' cannot be set");
    gives("return select(2, load('error(1)', '@policy.lua'))", "nil");
}

static void globals_and_libraries_stay_as_they_are(void **state) {
    (void)state;
    refused("x = 1", "policy.lua:1: global 'x' cannot be set: scripts have no globals (write 'local x')");
    refused("function f() end",
            "global 'f' cannot be set: scripts have no globals (write 'local function f')");
    refused("return y", "policy.lua:1: global 'y' is not there");
    refused("return route", "write 'local route = require \"route\"'");
    refused("rawset(_ENV, 'x', 1)", "rawset: this table is protected");
    refused("setmetatable(_ENV, nil)", "setmetatable: this metatable is protected");
    refused("string.find = nil", "this table is not the script's to change");
    refused("rawset(string, 'find', 1)", "rawset: this table is protected");
    refused("table.insert(string, 1)", "is not possible here");
    refused("getmetatable('').__index = {}", "attempt to index a boolean value");
    gives("local _ENV = { x = 1 } x = 2 return x", "2"); // a table of one's own is no global
    gives("return getmetatable(_ENV) == false and getmetatable(string) == false", "true");
}

static void time_is_the_gateways(void **state) {
    (void)state;
    gives("return os.time()", "1763821804");
    gives("return os.date('!%Y-%m-%d %H:%M:%S')", "2025-11-22 14:30:04");
    gives("return os.date('!%Y', 0)", "1970");
    gives("return os.date('!%S', 3.9) .. os.date('!%S', -0.5)", "0359");
    gives("return os.time{ year = 2000, month = 1, day = 1, hour = 12 } - os.time{ year = 2000, month = 1, "
          "day = 1, hour = 11 }",
          "3600");
    refused("return os.date(('%c'):rep(200))", "format too long");
    refused("return os.date('%Ez')", "invalid conversion");
}

static void pcall_and_xpcall_are_what_they_were(void **state) {
    (void)state;
    gives("local t = table.pack(pcall(error, 'x', 0)) return t.n .. tostring(t[1]) .. t[2]", "2falsex");
    gives("local t = table.pack(pcall(function(...) return ... end, 1, nil, nil)) return t.n", "4");
    gives("local t = table.pack(xpcall(function(...) return ... end, error, 1, nil)) return t.n", "3");
    gives("local ok, e = xpcall(error, function(e) return { e } end, 'x') return tostring(ok) .. e[1]",
          "falsex");
    gives("local ok, e = xpcall(error, function(e) error('h', 0) end, 'x') return tostring(ok) .. e",
          "falseh");
    gives("local ok, e = pcall(nil) return tostring(ok) .. e", "falseattempt to call a nil value");
    refused("pcall()", "bad argument #1 to 'pcall' (value expected)");
    refused("xpcall(error)", "bad argument #2 to 'xpcall'");
    gives("local co = coroutine.wrap(function() local ok, x = pcall(coroutine.yield, 1) return x end)\n"
          "return co() + co(5)",
          "6");
    gives(
        "local co = coroutine.wrap(function() local ok, x = xpcall(coroutine.yield, error, 1) return x end)\n"
        "return co() + co(5)",
        "6");
    gives("local co = coroutine.wrap(function() local ok, x = xpcall(function() coroutine.yield(1) "
          "error('e', 0) end, function(e) return e .. '!' end) return x end)\n"
          "co() return co()",
          "e!");
}

static void coroutines_are_what_they_were(void **state) {
    (void)state;
    gives("local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) return c, 'end' end)\n"
          "local t = { coroutine.status(co) }\n"
          "local function add(...) for i = 1, select('#', ...) do t[#t + 1] = tostring((select(i, ...))) end "
          "end\n"
          "add(coroutine.resume(co, 1, 2)) add(coroutine.resume(co, 9)) add(coroutine.status(co)) "
          "add(coroutine.resume(co))\n"
          "return table.concat(t, ' ')",
          "suspended true 3 true 9 end dead false cannot resume dead coroutine");
    gives("local co co = coroutine.create(function() return coroutine.resume(co) end)\n"
          "local _, ok, e = coroutine.resume(co) return tostring(ok) .. e",
          "falsecannot resume non-suspended coroutine");
    gives("local outer, seen outer = coroutine.create(function()\n"
          "  local inner = coroutine.wrap(function() seen = coroutine.status(outer) end) inner() end)\n"
          "coroutine.resume(outer) return seen",
          "normal");
    gives("local ok, e = pcall(coroutine.wrap(function() error('x', 0) end)) return e", "x");
    gives("local co = coroutine.wrap(function() return 1 end) co() local ok, e = pcall(co) return e",
          "cannot resume dead coroutine");
    gives("return tostring(coroutine.isyieldable()) .. coroutine.wrap(function() return "
          "tostring(coroutine.isyieldable()) end)()",
          "falsetrue");
    refused("coroutine.yield(1)", "coroutine.yield: not in a coroutine");
    refused("coroutine.resume(1)", "coroutine expected");
}

static void a_spent_budget_stays_spent(void **state) {
    (void)state;
    vm_budget_init(&k.budget, STEPS);
    assert_int_equal(kit_run(&k, "while true do end"), VM_FAULT);
    assert_int_equal(k.budget.killed, VM_STEPS);
    assert_string_equal(k.fault.first, "policy.lua:1: stopped: its budget of 3000000 steps is used up");
    // The same budget once more: over at the first look.
    assert_int_equal(kit_run(&k, "local n = 0 for i = 1, 1000 do n = n + i end return n"), VM_FAULT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(loops_end),
        TEST(pcall_does_not_save_a_loop),
        TEST(coroutines_share_the_budget),
        TEST(finalizers_and_closers_are_not_to_be_had),
        TEST(handlers_do_not_escape),
        TEST(string_rep_is_bounded),
        TEST(patterns_are_counted),
        TEST(memory_has_a_ceiling),
        TEST(table_functions_are_bounded),
        TEST(long_texts_are_charged),
        TEST(the_world_is_out_of_reach),
        TEST(globals_and_libraries_stay_as_they_are),
        TEST(time_is_the_gateways),
        TEST(pcall_and_xpcall_are_what_they_were),
        TEST(coroutines_are_what_they_were),
        TEST(a_spent_budget_stays_spent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
