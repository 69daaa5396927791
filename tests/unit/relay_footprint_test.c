// SPDX-License-Identifier: MIT
// footprint: the memory that control groups leave, and what is told of a store's disk.
#include "relay/footprint.h"

#include "base/folder.h"
#include "relay/gateway.h"
#include "script/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void put(const char *folder, const char *name, const char *text) {
    char path[512];
    mkdir(folder, 0700);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void the_least_of_all_groups_above_counts(void **state) {
    (void)state;
    char root[] = "/tmp/footprint-XXXXXX", path[300], groups[300];
    assert_non_null(mkdtemp(root));
    snprintf(groups, sizeof groups, "%s/cgroup", root);
    assert_true(footprint_memory_limit(groups, root) == UINT64_MAX); // there is no such file
    put(root, "cgroup", "1:name=systemd:/elsewhere\n0::/system.slice/tidegate.service\n");
    assert_true(footprint_memory_limit(groups, root) == UINT64_MAX); // nor does any group have a limit
    snprintf(path, sizeof path, "%s/system.slice", root);
    put(path, "memory.max", "268435456\n");
    assert_int_equal(footprint_memory_limit(groups, root), 256 << 20);
    snprintf(path, sizeof path, "%s/system.slice/tidegate.service", root);
    put(path, "memory.max", "max\n");
    assert_int_equal(footprint_memory_limit(groups, root), 256 << 20);
    put(path, "memory.max", "134217728\n");
    assert_int_equal(footprint_memory_limit(groups, root), 128 << 20);
    put(root, "cgroup", "0::/\n");
    assert_true(footprint_memory_limit(groups, root) == UINT64_MAX);
    put(root, "memory.max", "67108864\n"); // the root that a container sees
    assert_int_equal(footprint_memory_limit(groups, root), 64 << 20);
    char command[300];
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

static int64_t number(const struct json *row, const char *object, const char *name) {
    int64_t n = -1;
    if (!json_int(json_get(json_get(row, object), name), &n)) fail_msg("there is no %s.%s", object, name);
    return n;
}

static void what_is_taken_and_left_is_told(void **state) {
    (void)state;
    char folder[] = "/tmp/footprint-XXXXXX";
    struct err err;
    assert_non_null(mkdtemp(folder));
    struct conf conf = {.store = folder, .store_reserve = 1 << 20, .store_ceiling = 1 << 30, .journal_max = 100};
    conf.limits = (struct conf_limits){.connections = 10, .connections_out = 5, .memory_in_flight = 1 << 20};
    struct site site = {.conf = &conf};
    struct gateway g = {.site = &site, .loop = loop_new(&err)};
    char events[300];
    snprintf(events, sizeof events, "%s/events", folder);
    g.events = events_open(events, &g.log, &err);
    struct store_options options = {.path = folder, .clock = &g.clock, .log = &g.log};
    g.store = store_open(&options, &err);
    assert_true(g.loop && g.events && g.store);
    atomic_store(&g.clock.frozen_ms, INT64_C(1700000000000));

    struct footprint *f = footprint_new(&g);
    struct buf out = {0};
    for (int round = 0; round < 2; round++) {
        struct jsonl j = jsonl_begin(&out);
        footprint_show(f, &j);
        jsonl_end(&j);
        struct json *row = json_parse(bytes_trim(buf_bytes(&out)), &err);
        assert_non_null(row);
        assert_true(number(row, "disk", "free_bytes") <= number(row, "disk", "whole_bytes"));
        assert_true(number(row, "disk", "database_bytes") > 0);
        assert_int_equal(number(row, "disk", "journal_entries"), 0);
        assert_int_equal(number(row, "disk", "journal_most"), 100);
        assert_int_equal(number(row, "disk", "reserve_bytes"), 1 << 20);
        assert_true(number(row, "memory", "resident_bytes") > 1 << 20);
        assert_true(number(row, "memory", "peak_bytes") > 1 << 20);
        assert_true(number(row, "memory", "most_bytes") > number(row, "memory", "resident_bytes"));
        assert_int_equal(number(row, "limits", "connections_out"), 5);
        assert_true(number(row, "limits", "files_open") >= 3 && number(row, "limits", "files_open") < number(row, "limits", "files"));
        // The ceiling has come down to what is taken, a quarter of an hour later: nothing is left.
        assert_int_equal(json_get(json_get(row, "disk"), "lasts_s") != NULL, round == 1);
        if (round == 1) assert_int_equal(number(row, "disk", "lasts_s"), 0);
        conf.store_ceiling = 1;
        atomic_fetch_add(&g.clock.frozen_ms, 900000);
        json_free(&row);
        buf_reset(&out);
    }
    buf_release(&out);
    footprint_free(&f);
    assert_null(f);
    footprint_free(&f);
    store_close(&g.store);
    events_close(&g.events);
    loop_free(&g.loop);
    char command[300];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_of_all_groups_above_counts),
        cmocka_unit_test(what_is_taken_and_left_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
