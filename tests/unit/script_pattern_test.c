// SPDX-License-Identifier: MIT
#include "script/pattern.h"

#include "vm_kit.h"

static struct pattern p;

// The first match as "start-end capture capture", offsets from 0; "no"; or the fault.
static const char *search(const char *subject, const char *text) {
    static char out[500];
    size_t start, end;
    p = (struct pattern){.subject = bytes_of(subject), .text = bytes_of(text), .steps = 100000};
    enum pattern_result r = pattern_search(&p, 0, &start, &end);
    if (r == PATTERN_NO) return "no";
    if (r == PATTERN_DEAR) return "dear";
    if (r == PATTERN_BAD) return p.fault;
    size_t at = (size_t)snprintf(out, sizeof out, "%zu-%zu", start, end);
    for (int i = 0; i < p.count; i++) {
        const struct pattern_capture *c = &p.captures[i];
        if (c->len == PATTERN_POSITION)
            at += (size_t)snprintf(out + at, sizeof out - at, " @%td", c->at - p.subject.at);
        else
            at += (size_t)snprintf(out + at, sizeof out - at, " %.*s", (int)c->len, c->at);
    }
    return out;
}

static void matches_as_the_manual_says(void **state) {
    (void)state;
    assert_string_equal(search("hello world", "o w"), "4-7");
    assert_string_equal(search("hello", "l+"), "2-4");
    assert_string_equal(search("hello", "l-o"), "2-5");
    assert_string_equal(search("hello", "x*"), "0-0");
    assert_string_equal(search("", ""), "0-0");
    assert_string_equal(search("", "."), "no");
    assert_string_equal(search("key = value", "(%w+)%s*=%s*(%w+)"), "0-11 key value");
    assert_string_equal(search("  trim  ", "%s*(.-)%s*$"), "0-8 trim");
    assert_string_equal(search("f(a(b)c)d", "%b()"), "1-8");
    assert_string_equal(search("THE (quick) fox", "%f[%a]%a+"), "0-3");
    assert_string_equal(search("THE (quick) fox", "%f[%l]%l+%f[%L]"), "5-10");
    assert_string_equal(search("say 'it' and \"that\"", "([\"'])(.-)%1"), "4-8 ' it");
    assert_string_equal(search("abc", "()b()"), "1-2 @1 @2");
    assert_string_equal(search("a.b", "%."), "1-2");
    assert_string_equal(search("a-]b", "[%]-]+"), "1-3");
    assert_string_equal(search("a]b", "[]]"), "1-2");
    assert_string_equal(search("a]b", "[^]]+$"), "2-3");
    assert_string_equal(search("a^b", "[x^]"), "1-2");
    assert_string_equal(search("a-z", "[a%-z]+"), "0-3");
    assert_string_equal(search("az-", "[-a]+"), "0-1");
    assert_string_equal(search("0x1F", "0[xX](%x+)"), "0-4 1F");
    assert_string_equal(search("colour color", "colou?r c"), "0-8");
    assert_string_equal(search("a$", "a$"), "no");
    assert_string_equal(search("a$b", "a$b"), "0-3");
    assert_string_equal(search("\xff\xfe", "[\xf0-\xff]+"), "0-2");
    assert_string_equal(search("nested ((x))", "%((%((.-)%))%)"), "7-12 (x) x");
    assert_string_equal(search("A", "%u%U?"), "0-1");
    assert_string_equal(search("tab\there", "%c"), "3-4");
}

static void malformed_patterns_are_named(void **state) {
    (void)state;
    assert_string_equal(search("a", "%"), "ends with '%'");
    assert_string_equal(search("a", "a%"), "ends with '%'");
    assert_string_equal(search("a", "["), "has a '[' without its ']'");
    assert_string_equal(search("a", "[]"), "has a '[' without its ']'");
    assert_string_equal(search("a", "[^"), "has a '[' without its ']'");
    assert_string_equal(search("a", "[%"), "has a '[' without its ']'");
    assert_string_equal(search("a", "[a%]"), "has a '[' without its ']'");
    assert_string_equal(search("a", "(a"), "has a '(' without its ')'");
    assert_string_equal(search("a", "a)"), "has a ')' without its '('");
    assert_string_equal(search("a", "%1"), "refers to a capture that is not there");
    assert_string_equal(search("a", "(a%1)"), "refers to a capture that is not there");
    assert_string_equal(search("a", "%0"), "refers to a capture that is not there");
    assert_string_equal(search("a", "%b"), "needs two characters behind '%b'");
    assert_string_equal(search("a", "%bx"), "needs two characters behind '%b'");
    assert_string_equal(search("a", "%f"), "needs a '[' behind '%f'");
    assert_string_equal(search("a", "%fa"), "needs a '[' behind '%f'");
    char many[200] = "";
    for (int i = 0; i < 33; i++)
        strcat(many, "()");
    assert_string_equal(search("a", many), "has too many captures");
}

static void gives_up_in_time(void **state) {
    (void)state;
    char subject[301];
    memset(subject, 'a', 300);
    subject[300] = 0;
    assert_string_equal(search(subject, ".-.-.-.-.-.-b"), "dear");
    assert_string_equal(search(subject, "a*a*a*a*b"), "dear");
    assert_true(p.steps > -1000);
    assert_string_equal(search(subject + 150, "a*b"), "no"); // squares are all right
}

static void plain_or_not(void **state) {
    (void)state;
    assert_true(pattern_is_plain(BYTES("")));
    assert_true(pattern_is_plain(BYTES("a b@c_\0x")));
    const char special[] = "^$*+?.([%-";
    for (size_t i = 0; i < sizeof special - 1; i++)
        assert_false(pattern_is_plain(bytes_range(special + i, 1)));
}

// The table functions on top, which differ from the matcher in what they do around it.
static void lua_functions_do_as_lua(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"return table.concat({ ('hello'):find('l') }, ' ')", "3 3"},
        {"return table.concat({ ('hello'):find('(l)(l)') }, ' ')", "3 4 l l"},
        {"return tostring(('hello'):find('xyz'))", "nil"},
        {"return table.concat({ ('hello'):find('', 6) }, ' ')", "6 5"},
        {"return tostring(('hello'):find('', 7))", "nil"},
        {"return table.concat({ ('hello'):find('l', -2) }, ' ')", "4 4"},
        {"return table.concat({ ('hello'):find('h', -99) }, ' ')", "1 1"},
        {"return table.concat({ ('a+b'):find('+', 1, true) }, ' ')", "2 2"},
        {"return table.concat({ ('a.b'):find('.b', 2, true) }, ' ')", "2 3"},
        {"return ('hello'):match('^(h)') .. tostring(('hello'):match('^e'))", "hnil"},
        {"return ('hello'):match('^l', 3) .. ('2026-11'):match('%d+', 5)", "l11"},
        {"return tostring(('x'):match('()', 2))", "2"},
        {"local t = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do t[#t + 1] = k .. v end return "
         "table.concat(t, ' ')",
         "a1 b2"},
        {"local t = {} for w in ('abc'):gmatch('') do t[#t + 1] = '-' end return #t", "4"},
        {"local t = {} for w in ('abab'):gmatch('b*') do t[#t + 1] = '<' .. w .. '>' end return "
         "table.concat(t)",
         "<><b><b>"},
        {"local t = {} for w in ('hello'):gmatch('l', 4) do t[#t + 1] = w end return #t", "1"},
        {"return (('hello world'):gsub('o', '0'))", "hell0 w0rld"},
        {"return select(2, ('hello world'):gsub('o', '0'))", "2"},
        {"return (('hello world'):gsub('o', '0', 1))", "hell0 world"},
        {"return (('abc'):gsub('', '-'))", "-a-b-c-"},
        {"return (('abc'):gsub('b*', '-'))", "-a-c-"},
        {"return (('hello world'):gsub('(%w+)', '<%1>'))", "<hello> <world>"},
        {"return (('hello'):gsub('l', '%0%0'))", "hellllo"},
        {"return (('hello'):gsub('l', '%%'))", "he%%o"},
        {"return (('abc'):gsub('%w', '%1'))", "abc"},
        {"return (('$name is $x'):gsub('%$(%w+)', { name = 'lua' }))", "lua is $x"},
        {"return (('abc'):gsub('%w', function(c) if c == 'b' then return 1 end end))", "a1c"},
        {"return (('abc'):gsub('^a', 'x'))", "xbc"},
        {"return (('aaa'):gsub('^a', 'x'))", "xaa"},
        {"return (('abc'):gsub('()', '%1'))", "1a2b3c4"},
        {"return select(2, pcall(string.gsub, 'abc', 'b', '%2'))",
         "string.gsub: '%' at 1 of the replacement names no capture"},
        {"return select(2, pcall(string.gsub, 'abc', 'b', '%'))",
         "string.gsub: '%' at 0 of the replacement names no capture"},
        {"return select(2, pcall(string.gsub, 'abc', 'b', function() return {} end))",
         "string.gsub: the replacement is a table, not a text"},
        {"return select(2, pcall(string.find, 'abc', '[b'))",
         "string.find: pattern '[b' has a '[' without its ']'"},
        {"return (('a,b'):gsub(',', 5))", "a5b"},
    };
    struct kit k;
    kit_open(&k, 16 << 20, 5000000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (kit_run(&k, cases[i][0]) != VM_DONE) fail_msg("%s: %s", cases[i][0], k.fault.first);
        if (strcmp(k.result, cases[i][1]) != 0)
            fail_msg("%s: expected '%s', got '%s'", cases[i][0], cases[i][1], k.result);
    }
    kit_close(&k);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_as_the_manual_says), cmocka_unit_test(malformed_patterns_are_named),
        cmocka_unit_test(gives_up_in_time),           cmocka_unit_test(plain_or_not),
        cmocka_unit_test(lua_functions_do_as_lua),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
