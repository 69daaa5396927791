// SPDX-License-Identifier: MIT
// top_view: what `tidegate top` draws.
#include "cli/top_view.h"

#include "cli/show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void give(struct top_view *v, void (*take)(struct top_view *, const struct json *), const char *text) {
    struct err err;
    struct json *row = json_parse(bytes_of(text), &err);
    assert_non_null(row);
    take(v, row);
    json_free(&row);
}

static void status(struct top_view *v, int accepted, int delivered) {
    char text[400];
    snprintf(text, sizeof text,
             "{\"hostname\":\"out.example\",\"uptime_s\":90,\"policy\":\"abc\",\"accepted\":%d,\"delivered\":%d,\"recipients\":7,\"due\":1,"
             "\"parked\":6,\"held\":0,\"in_memory\":2,\"connections\":3,\"connections_out\":4,\"memory_rss\":1048576,\"pauses\":1}",
             accepted, delivered);
    top_take_status(v, bytes_of(text));
}

static void lane(struct top_view *v, const char *key, int attempts, int waiting) {
    char text[400];
    snprintf(text, sizeof text,
             "{\"lane\":\"%s\",\"state\":\"resting\",\"waiting\":%d,\"parked\":true,\"connections\":1,\"attempts\":%d,\"why\":\"4.7.0 \\u001b[2J slow\"}",
             key, waiting, attempts);
    give(v, top_take_lane, text);
}

static void frame(struct top_view *v, int64_t at_us, int accepted, int busy) {
    top_begin(v, at_us);
    status(v, accepted, accepted / 2);
    lane(v, "quiet", 5, 900);
    lane(v, "busy", busy, 1);
    give(v, top_take_limit, "{\"key\":\"half\",\"window_s\":60,\"used\":5,\"cap\":10}");
    give(v, top_take_limit, "{\"key\":\"full\",\"window_s\":86400,\"used\":99,\"cap\":100}");
    give(v, top_take_limit, "{\"key\":\"unused\",\"window_s\":60,\"used\":0,\"cap\":10}");
}

static void rates_lanes_and_limits(void **state) {
    (void)state;
    struct top_view v = {0};
    struct buf out = {0};
    frame(&v, 1000000, 100, 50);
    top_draw(&v, 100, 30, &out);
    assert_non_null(strstr(buf_z(&out), "in 0/s")); // there is nothing to compare with
    frame(&v, 3000000, 350, 90);
    give(&v, top_take_fault, "{\"time\":\"2026-11-22T10:00:00.000Z\",\"hook\":\"route\",\"where\":\"policy.lua:4\",\"because\":\"boom\"}");
    buf_reset(&out);
    top_draw(&v, 100, 30, &out);
    const char *text = buf_z(&out);
    assert_non_null(strstr(text, "tidegate out.example, up 1m 30s, policy abc, 1 PAUSED"));
    assert_non_null(strstr(text, "in 125/s"));
    assert_non_null(strstr(text, "out 62/s"));
    assert_non_null(strstr(text, "7: 1 due, 6 parked"));
    const char *busy = strstr(text, "\nbusy"), *quiet = strstr(text, "\nquiet");
    assert_true(busy && quiet && busy < quiet); // who sends stands first
    assert_non_null(strstr(busy, " 20 "));      // 40 in two seconds
    const char *full = strstr(text, "\nfull"), *half = strstr(text, "\nhalf");
    assert_true(full && half && full < half && !strstr(text, "unused"));
    assert_non_null(strstr(text, "route policy.lua:4 boom"));
    assert_null(strchr(text, 27)); // what a peer said moves no cursor
    top_release(&v);
    buf_release(&out);
}

static void it_fits_the_window(void **state) {
    (void)state;
    struct top_view v = {0};
    struct buf out = {0};
    char key[200];
    frame(&v, 1000000, 1, 1);
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "identity%d|direct:a-rather-long-domain-%d.example:25|opportunistic", i, i);
        lane(&v, key, 0, i);
    }
    static const int sizes[][2] = {{40, 10}, {80, 24}, {200, 60}, {20, 5}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        buf_reset(&out);
        top_draw(&v, sizes[i][0], sizes[i][1], &out);
        struct bytes rest = buf_bytes(&out);
        int lines = 0;
        while (rest.len) {
            assert_true(show_columns(bytes_cut(&rest, '\n')) <= (size_t)sizes[i][0]);
            lines++;
        }
        assert_true(lines <= sizes[i][1]);
    }
    buf_reset(&out);
    top_draw(&v, 0, 0, &out);
    assert_non_null(strstr(buf_z(&out), "and 462 more lanes"));
    top_release(&v);
    buf_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rates_lanes_and_limits), cmocka_unit_test(it_fits_the_window)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
