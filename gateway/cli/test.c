// SPDX-License-Identifier: MIT
#include "cli/lookout.h"
#include "cli/test_report.h"
#include "cli/tool.h"
#include "cli/verbs.h"
#include "relay/lab_ledger.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

enum { STORY_MAX = 1 << 20, FILES_MAX = 1000, DEPTH_MAX = 8, FAILED = 1 };

struct testing {
    const struct call *call;
    const struct conf *conf;
    struct test_report report;
    struct coverage *coverage; // NULL: nobody asked
    struct arena arena;
    char **files; // paths of stories
    size_t count;
};

// ---- which files

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_file(struct testing *t, const char *path) {
    if (t->count >= FILES_MAX) return;
    if (!t->files) t->files = must_alloc(FILES_MAX * sizeof *t->files);
    t->files[t->count++] = arena_z(&t->arena, bytes_of(path));
}

static void find_stories(struct testing *t, const char *folder, int depth) {
    DIR *d = depth < DEPTH_MAX ? opendir(folder) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[4096];
        struct stat st;
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            find_stories(t, path, depth + 1);
        else if (bytes_ends_nocase(bytes_of(path), BYTES(".story.lua")))
            add_file(t, path);
    }
    if (d) closedir(d);
}

static void choose_files(struct testing *t) {
    for (int i = 0; i < t->call->argument_count; i++)
        add_file(t, t->call->arguments[i]);
    if (t->call->argument_count) return;
    find_stories(t, t->conf->scripts, 0);
    if (t->count) qsort(t->files, t->count, sizeof *t->files, by_text);
}

static bool read_file(const char *path, struct buf *text, struct err *err) {
    FILE *f = fopen(path, "re");
    if (!f) return err_errno(err, "%s", path);
    buf_reserve(text, STORY_MAX + 1);
    text->len = fread(text->at, 1, STORY_MAX + 1, f);
    bool good = !ferror(f) || err_errno(err, "%s", path);
    fclose(f);
    return good && (text->len <= STORY_MAX || err_set(err, "%s: larger than %d KiB", path, STORY_MAX >> 10));
}

// What results call it: within the scripts folder as `require` would name it, elsewhere as it was given.
static const char *name_of(const struct testing *t, const char *path) {
    struct bytes folder = bytes_of(t->conf->scripts);
    bool inside = bytes_starts(bytes_of(path), folder) && path[folder.len] == '/';
    return inside ? path + folder.len + 1 : path;
}

// ---- one round

static void on_told(void *arg, const struct story_result *result) {
    struct testing *t = arg;
    test_report_story(&t->report, result);
}

static void on_line(void *arg, const char *file, int line) {
    struct testing *t = arg;
    coverage_mark(t->coverage, file, line);
}

static int tell_file(struct testing *t, const char *path, struct story_options *options) {
    struct buf text = {0};
    struct err err;
    int code = EX_OK;
    const char *name = name_of(t, path);
    t->report.file = bytes_of(name);
    if (!read_file(path, &text, &err))
        code = tool_fail(t->call, EX_NOINPUT, "%s", err.text);
    else if (!story_run(name, buf_bytes(&text), options, &err))
        test_report_file(&t->report, err.text);
    buf_release(&text);
    return code;
}

static int tell_files(struct testing *t, struct bundle *bundle) {
    const struct conf *conf = t->conf;
    struct generation_options usual;
    conf_script_options(conf, &usual);
    struct lab_ledger *ledger = lab_ledger_new();
    struct story_options options = {.bundle = bundle,
                                    .usual = &usual,
                                    .limits = lab_ledger_limits(ledger),
                                    .on_line = t->coverage ? on_line : NULL,
                                    .only = call_text(t->call, "only"),
                                    .told = on_told,
                                    .arg = t};
    int code = EX_OK;
    for (size_t i = 0; !code && i < t->count; i++)
        code = tell_file(t, t->files[i], &options);
    lab_ledger_free(&ledger);
    return code;
}

// The scripts must load by themselves: a story is no place to hear of it.
static bool load(const struct conf *conf, struct bundle *bundle, struct err *err) {
    struct clock clock = {0};
    struct log log;
    log_open(&log, LOG_FAULT, &clock);
    struct generation_options options;
    conf_script_options(conf, &options);
    options.clock = &clock;
    options.log = &log;
    struct generation *g = generation_new(bundle, &options, err);
    if (!g) return false;
    generation_free(&g);
    return true;
}

static int finish(struct testing *t) {
    const char *junit = call_text(t->call, "junit");
    struct err err;
    if (t->coverage) test_report_coverage(&t->report, t->coverage);
    if (!t->count && !t->report.json) printf("no *.story.lua in %s\n", t->conf->scripts);
    test_report_end(&t->report);
    // Whoever names a story and tells none would take silence for a pass.
    if (t->count && call_has(t->call, "only") && !t->report.passed && !t->report.failed)
        return tool_fail(t->call, EX_NOINPUT, "no story has '%s' in its title", call_text(t->call, "only"));
    if (junit && !test_report_write_junit(&t->report, junit, &err))
        return tool_fail(t->call, EX_CANTCREAT, "%s", err.text);
    return t->report.failed ? FAILED : EX_OK;
}

static int tell_all(const struct call *call, const struct conf *conf) {
    struct testing t = {
        .call = call,
        .conf = conf,
        .report = {.out = stdout, .json = call_has(call, "json"), .junit = call_has(call, "junit")}};
    struct err err;
    struct bundle *bundle = bundle_read(conf->scripts, conf->stdlib, &err);
    if (!bundle || !load(conf, bundle, &err)) {
        if (bundle) bundle_free(&bundle);
        return tool_fail(call, EX_CONFIG, "%s", err.text);
    }
    if (call_has(call, "coverage")) t.coverage = coverage_new(bundle);
    choose_files(&t);
    int code = tell_files(&t, bundle);
    if (!code) code = finish(&t);
    coverage_free(&t.coverage);
    bundle_free(&bundle);
    test_report_release(&t.report);
    free(t.files);
    arena_release(&t.arena);
    return code;
}

// ---- again and again

static bool add_folder_of(struct lookout *l, const char *file, struct err *err) {
    const char *slash = strrchr(file, '/');
    char folder[4096];
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file) : 1, slash ? file : ".");
    return lookout_add(l, *folder ? folder : "/", err);
}

static bool wait_for_change(const struct call *call, const struct conf *conf, struct err *err) {
    struct lookout *l = lookout_new(err);
    struct buf name = {0};
    bool ok = l && lookout_add(l, conf->scripts, err) && lookout_add(l, conf->stdlib, err);
    for (int i = 0; ok && i < call->argument_count; i++)
        ok = add_folder_of(l, call->arguments[i], err);
    ok = ok && lookout_wait(l, &name, err);
    if (ok && !call_has(call, "json")) {
        time_t now = time(NULL);
        struct tm tm;
        char when[16] = "";
        if (localtime_r(&now, &tm)) strftime(when, sizeof when, "%H:%M:%S", &tm);
        printf("\n-- %s: %s has changed\n", when, buf_z(&name));
    }
    lookout_free(&l);
    buf_release(&name);
    return ok;
}

int verb_test(const struct call *call) {
    int code = EX_OK;
    // Times in stories mean the same on every machine.
    setenv("TZ", "UTC", 1);
    tzset();
    for (;;) {
        struct conf *conf = tool_conf_values(call, &code);
        if (!conf) return code;
        if (call_has(call, "scripts")) conf->scripts = call_text(call, "scripts");
        code = tell_all(call, conf);
        struct err err;
        bool again = call_has(call, "watch");
        if (again && !wait_for_change(call, conf, &err))
            code = tool_fail(call, EX_UNAVAILABLE, "%s", err.text);
        again = again && code != EX_UNAVAILABLE;
        conf_free(&conf);
        if (!again) return code;
    }
}
