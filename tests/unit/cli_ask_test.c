// SPDX-License-Identifier: MIT
// The asking side of the control socket against gateways that behave, break off or talk nonsense.
#include "cli/ask.h"

#include "cli/verbs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

static char folder[64], path[96];
static int listening = -1, saved_stderr = -1;
static const char *script; // what the gateway answers before it closes
static char asked[256];    // what it heard

static int open_gateway(void **state) {
    (void)state;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strcpy(folder, "/tmp/ask-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/socket", folder);
    strcpy(at.sun_path, path);
    listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listening, (struct sockaddr *)&at, sizeof at) != 0 || listen(listening, 4) != 0) return -1;
    int null =
        open("/dev/null", O_WRONLY | O_CLOEXEC); // the faults are said there; the codes are what is tested
    saved_stderr = dup(STDERR_FILENO);
    dup2(null, STDERR_FILENO);
    close(null);
    return 0;
}

static int close_gateway(void **state) {
    (void)state;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(listening);
    unlink(path);
    return rmdir(folder);
}

static void *answer_once(void *arg) {
    (void)arg;
    int fd = accept(listening, NULL, NULL);
    size_t used = 0;
    ssize_t n;
    while (used + 1 < sizeof asked && (n = read(fd, asked + used, sizeof asked - 1 - used)) > 0) {
        used += (size_t)n;
        if (asked[used - 1] == '\n') break;
    }
    asked[used] = 0;
    for (const char *p = script; *p; p++) // byte by byte: lines come as the wire cuts them
        if (send(fd, p, 1, MSG_NOSIGNAL) != 1) break;
    shutdown(fd, SHUT_WR);
    char rest;
    while (read(fd, &rest, 1) > 0)
        continue; // until the asker is gone
    close(fd);
    return NULL;
}

struct seen {
    int rows, stop_at;
    char last[128];
};

static bool see(void *arg, const struct json *row, struct bytes text) {
    struct seen *s = arg;
    assert_non_null(row);
    snprintf(s->last, sizeof s->last, "%.*s", BYTES_FMT(text));
    return ++s->rows != s->stop_at;
}

static int run(const char *answers, struct seen *seen, struct json **done) {
    char *argv[] = {"tidegate", "--socket", path, "status"};
    struct call call;
    struct err err;
    pthread_t gateway;
    int code = EX_OK;
    script = answers;
    assert_int_equal(options_parse(&verbs_tool, 4, argv, &call, &err), OPTIONS_RUN);
    assert_int_equal(pthread_create(&gateway, NULL, answer_once, NULL), 0);
    struct ask *ask = ask_open(&call, &code);
    assert_non_null(ask);
    code = ask_run(ask, BYTES("{\"verb\":\"status\"}\n"), 1, see, seen, done);
    ask_close(&ask);
    pthread_join(gateway, NULL);
    return code;
}

static void rows_and_the_end_arrive(void **state) {
    (void)state;
    struct seen seen = {0};
    struct json *done;
    int64_t count = 0;
    assert_int_equal(
        run("{\"row\":{\"b\":1,\"a\":2}}\n{\"row\":[]}\n{\"done\":true,\"count\":2}\n", &seen, &done), EX_OK);
    assert_string_equal(asked, "{\"verb\":\"status\"}\n");
    assert_int_equal(seen.rows, 2);
    assert_string_equal(seen.last, "[]");
    assert_true(json_int(json_get(done, "count"), &count));
    assert_int_equal(count, 2);
    json_free(&done);
    seen = (struct seen){.stop_at = 1};
    assert_int_equal(run("{\"row\":{\"b\":1,\"a\":2}}\n{\"row\":{}}\n{\"done\":true}\n", &seen, NULL), EX_OK);
    assert_int_equal(seen.rows, 1);
    assert_string_equal(seen.last, "{\"b\":1,\"a\":2}"); // as it was written, not sorted anew
}

static void what_goes_wrong_has_its_code(void **state) {
    (void)state;
    static const struct {
        const char *answers;
        int code;
    } cases[] = {
        {"{\"error\":\"no\",\"code\":78}\n", 78},
        {"{\"error\":\"no\",\"code\":0}\n", EX_SOFTWARE}, // an error is never "done"
        {"{\"error\":\"no\",\"code\":4000}\n", EX_SOFTWARE},
        {"{\"error\":5}\n", EX_SOFTWARE},
        {"{}\n", EX_SOFTWARE},
        {"hello\n", EX_SOFTWARE},
        {"\n", EX_SOFTWARE},
        {"", EX_UNAVAILABLE},
        {"{\"row\":{}}\n", EX_UNAVAILABLE},
        {"{\"row\":{}}\n{\"done\":tr", EX_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen seen = {0};
        struct json *done;
        int code = run(cases[i].answers, &seen, &done);
        if (code != cases[i].code) fail_msg("'%s' gave %d", cases[i].answers, code);
        assert_null(done);
    }
}

static void nobody_there(void **state) {
    (void)state;
    char nowhere[128], endless[256];
    int code = EX_OK;
    snprintf(nowhere, sizeof nowhere, "%s/nobody", folder);
    memset(endless, 'x', sizeof endless - 1);
    endless[sizeof endless - 1] = 0;
    char *argv[] = {"tidegate", "--socket", nowhere, "status"};
    struct call call;
    struct err err;
    assert_int_equal(options_parse(&verbs_tool, 4, argv, &call, &err), OPTIONS_RUN);
    assert_null(ask_open(&call, &code));
    assert_int_equal(code, EX_UNAVAILABLE);
    char *too_long[] = {"tidegate", "--socket", endless, "status"};
    assert_int_equal(options_parse(&verbs_tool, 4, too_long, &call, &err), OPTIONS_RUN);
    assert_null(ask_open(&call, &code));
    assert_int_equal(code, EX_CONFIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_the_end_arrive),
        cmocka_unit_test(what_goes_wrong_has_its_code),
        cmocka_unit_test(nobody_there),
    };
    return cmocka_run_group_tests_name("cli/ask", tests, open_gateway, close_gateway);
}
