// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/dot.h"

#include <stdio.h>
#include <stdlib.h>

struct outcome {
    struct buf content;
    bool ended;
    size_t used;
    struct dot_reader r;
};

// Reads `in` in pieces whose sizes next_size gives; keeps what a piece leaves in front of the next.
static struct outcome read_in_pieces(struct bytes in, size_t (*next_size)(unsigned *seed), unsigned seed) {
    struct outcome o = {0};
    size_t at = 0;
    while (at < in.len && !o.ended) {
        size_t n = next_size(&seed);
        char *copy = bytes_dupz(bytes_first(bytes_skip(in, at), n)); // so that a read past the piece is seen
        struct bytes piece = bytes_first(bytes_range(copy, n), in.len - at);
        size_t had = piece.len;
        while (piece.len && !o.ended) buf_add(&o.content, dot_read(&o.r, &piece, &o.ended));
        o.used += had - piece.len;
        at += had;
        free(copy);
    }
    return o;
}

static size_t all(unsigned *seed) { (void)seed; return SIZE_MAX / 2; }
static size_t one(unsigned *seed) { (void)seed; return 1; }
static size_t some(unsigned *seed) {
    *seed = *seed * 1103515245u + 12345u;
    return 1 + (*seed >> 16) % 7;
}

// What RFC 5321 4.5.2 says, one byte at a time and as plainly as possible: the oracle.
static struct outcome read_plainly(struct bytes in) {
    struct outcome o = {0};
    size_t line = 0; // bytes of the raw line so far
    for (size_t i = 0; i < in.len && !o.ended; i++) {
        char c = in.at[i];
        o.used++;
        buf_byte(&o.content, c);
        line++;
        if (c != '\n' || line < 2 || in.at[i - 1] != '\r') continue;
        char *start = o.content.at + o.content.len - line;
        if (line == 3 && start[0] == '.') {
            o.ended = true;
            o.content.len -= 3;
        } else if (start[0] == '.') {
            memmove(start, start + 1, line - 1);
            o.content.len--;
        }
        line = 0;
    }
    if (!o.ended && line && o.content.at[o.content.len - line] == '.') { // the unfinished line
        char *start = o.content.at + o.content.len - line;
        bool held = line == 2 && start[1] == '\r';
        memmove(start, start + 1, line - 1);
        o.content.len -= held ? 2 : 1;
    }
    return o;
}

static void compare(struct bytes in, size_t (*size)(unsigned *), unsigned seed) {
    struct outcome plain = read_plainly(in), whole = read_in_pieces(in, all, 0), o = read_in_pieces(in, size, seed);
    assert_int_equal(o.ended, plain.ended);
    assert_int_equal(o.used, plain.used);
    assert_int_equal(o.content.len, plain.content.len);
    if (plain.content.len) assert_memory_equal(o.content.at, plain.content.at, plain.content.len);
    assert_int_equal(o.r.bare, whole.r.bare);
    assert_int_equal(o.r.nul, whole.r.nul);
    assert_int_equal(o.r.eight, whole.r.eight);
    assert_int_equal(o.r.longest, whole.r.longest);
    buf_release(&plain.content);
    buf_release(&whole.content);
    buf_release(&o.content);
}

static void agrees_with_the_plain_reading(void **state) {
    (void)state;
    static const char letters[] = "\r\n..a\r\n.\r\n\0\xc3x";
    unsigned seed = 1;
    for (int round = 0; round < 20000; round++) {
        char in[40];
        size_t n = 0;
        for (size_t len = 1 + (size_t)round % sizeof in; n < len; n++) {
            seed = seed * 1103515245u + 12345u;
            in[n] = letters[(seed >> 16) % (sizeof letters - 1)];
        }
        compare(bytes_range(in, n), all, 0);
        compare(bytes_range(in, n), one, 0);
        compare(bytes_range(in, n), some, seed);
    }
}

struct read_case {
    struct bytes in, content;
    bool ended, bare;
    size_t left;
};
#define CASE(in, content, ended, bare, left) {{in, sizeof(in) - 1}, {content, sizeof(content) - 1}, ended, bare, left}

static const struct read_case read_cases[] = {
    CASE(".\r\n", "", true, false, 0),
    CASE(".\r\nQUIT\r\n", "", true, false, 6),
    CASE("a\r\n.\r\nQ", "a\r\n", true, false, 1),
    CASE("..\r\n.\r\n", ".\r\n", true, false, 0),
    CASE(".a\r\n.\r\n", "a\r\n", true, false, 0),
    CASE("a.\r\n.\r\n", "a.\r\n", true, false, 0),
    CASE("\r\n.\r\n", "\r\n", true, false, 0),
    CASE("a\r\n.", "a\r\n", false, false, 0),
    CASE("a\r\n.\r", "a\r\n", false, false, 0),
    // What some servers take for the end of the data, and must not be (smuggling).
    CASE("a\n.\n", "a\n.\n", false, true, 0),
    CASE("a\n.\r\n", "a\n.\r\n", false, true, 0),
    CASE("a\r.\r\n", "a\r.\r\n", false, true, 0),
    CASE("a\r.\r", "a\r.\r", false, true, 0),
    CASE("a\r\n.\n", "a\r\n\n", false, true, 0),
    CASE("a\r\n.\rb", "a\r\n\rb", false, true, 0),
    CASE("a\r\n.\r.\r\n", "a\r\n\r.\r\n", false, true, 0),
    CASE("a\r\n.\r\r\n", "a\r\n\r\r\n", false, true, 0),
    CASE("a\r\r\n.\r\n", "a\r\r\n", true, true, 0),
    CASE("a\n\r\n.\r\n", "a\n\r\n", true, true, 0),
    CASE("a\r\n\0.\r\n", "a\r\n\0.\r\n", false, false, 0),
    CASE("a\r\0\n.\r\n", "a\r\0\n.\r\n", false, true, 0),
};

static void ends_only_at_crlf_dot_crlf(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof read_cases / sizeof *read_cases; i++) {
        const struct read_case *c = &read_cases[i];
        size_t (*sizes[])(unsigned *) = {all, one, some};
        for (size_t k = 0; k < 3; k++) {
            struct outcome o = read_in_pieces(c->in, sizes[k], (unsigned)i);
            assert_int_equal(o.ended, c->ended);
            assert_int_equal(o.r.bare, c->bare);
            assert_int_equal(c->in.len - o.used, c->left);
            assert_int_equal(o.content.len, c->content.len);
            if (c->content.len) assert_memory_equal(o.content.at, c->content.at, c->content.len);
            buf_release(&o.content);
        }
    }
}

static void notes_what_it_saw(void **state) {
    (void)state;
    struct outcome o = read_in_pieces(BYTES("abc\r\n..defg\r\nx\r\n.\r\n"), one, 0);
    assert_int_equal(o.r.longest, 7); // ".defg" and CRLF
    assert_false(o.r.nul || o.r.eight || o.r.bare);
    buf_release(&o.content);
    o = read_in_pieces(BYTES("a long line of text with one such byte: \xff, here.\r\n.\r\n"), all, 0);
    assert_true(o.r.eight && !o.r.nul);
    buf_release(&o.content);
}

static void notes_content_without_dots(void **state) {
    (void)state;
    struct dot_reader r = {0};
    dot_note(&r, BYTES(".\r"));
    dot_note(&r, BYTES("\n..a\r\n"));
    assert_false(dot_note_end(&r));
    assert_false(r.bare);
    assert_int_equal(r.longest, 5);
    dot_note(&r, BYTES("x"));
    assert_true(dot_note_end(&r));
    assert_false(r.bare);
    dot_note(&r, BYTES("\r"));
    assert_true(dot_note_end(&r));
    assert_true(r.bare);
    r = (struct dot_reader){0};
    dot_note(&r, BYTES("x\r"));
    dot_note(&r, BYTES("y\r\n"));
    assert_true(r.bare);
    r = (struct dot_reader){0};
    dot_note(&r, BYTES("x\n"));
    assert_true(r.bare && dot_note_end(&r));
}

static void hands_out_long_runs(void **state) {
    (void)state;
    struct bytes in = BYTES("one\r\ntwo.\r\nthree\r\n..four\r\n"), was = in;
    struct dot_reader r = {0};
    bool ended;
    struct bytes run = dot_read(&r, &in, &ended);
    assert_ptr_equal(run.at, was.at);
    assert_int_equal(run.len, 18); // up to the stuffed dot
    run = dot_read(&r, &in, &ended);
    assert_int_equal(run.len, 7);
}

static void write_in_pieces(struct bytes in, size_t step, struct buf *out) {
    struct dot_writer w = {0};
    for (size_t at = 0; at < in.len; at += step) dot_write(&w, out, bytes_first(bytes_skip(in, at), step));
    dot_end(&w, out);
}

static void stuffs(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", ".\r\n"},
        {"a\r\n", "a\r\n.\r\n"},
        {"a", "a\r\n.\r\n"},
        {".", "..\r\n.\r\n"},
        {".a\r\n.\r\n..b\r\n", "..a\r\n..\r\n...b\r\n.\r\n"},
        {"a.b\r\n", "a.b\r\n.\r\n"},
        {"a\n.\n", "a\n..\n\r\n.\r\n"},  // no end of data for a peer that takes a bare LF for one
        {"a\r.\r", "a\r..\r\r\n.\r\n"},
        {"\r\n", "\r\n.\r\n"},
        {"\n", "\n\r\n.\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 4; step++) {
            struct buf out = {0};
            write_in_pieces(bytes_of(cases[i][0]), step, &out);
            assert_string_equal(buf_z(&out), cases[i][1]);
            buf_release(&out);
        }
}

static void reads_back_what_it_wrote(void **state) {
    (void)state;
    unsigned seed = 7;
    for (int round = 0; round < 3000; round++) {
        struct buf content = {0}, wire = {0};
        for (int lines = round % 7; lines; lines--) {
            seed = seed * 1103515245u + 12345u;
            for (unsigned n = (seed >> 16) % 5; n; n--) buf_byte(&content, (seed >> n) & 1 ? '.' : 'x');
            buf_addz(&content, "\r\n");
        }
        write_in_pieces(buf_bytes(&content), 1 + (size_t)round % 5, &wire);
        struct outcome o = read_in_pieces(buf_bytes(&wire), some, seed);
        assert_true(o.ended && !o.r.bare);
        assert_int_equal(o.used, wire.len);
        assert_int_equal(o.content.len, content.len);
        if (content.len) assert_memory_equal(o.content.at, content.at, content.len);
        buf_release(&o.content);
        buf_release(&content);
        buf_release(&wire);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_plain_reading), cmocka_unit_test(ends_only_at_crlf_dot_crlf),
        cmocka_unit_test(notes_what_it_saw),             cmocka_unit_test(notes_content_without_dots),
        cmocka_unit_test(hands_out_long_runs),           cmocka_unit_test(stuffs),
        cmocka_unit_test(reads_back_what_it_wrote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
