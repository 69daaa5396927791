// SPDX-License-Identifier: MIT
#include "net/listener.h"

#include "net_ends.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct host {
    struct loop *loop;
    struct listener *listener;
    int count, until;
    bool frees;
    char peer[ADDR_TEXT];
};

static void on_accepted(void *arg, int fd, const struct addr *peer) {
    struct host *h = arg;
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    if (addr_family(peer) != AF_UNIX) {
        int on = 0;
        socklen_t len = sizeof on;
        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
        assert_true(on);
    }
    addr_ip_text(peer, h->peer);
    close(fd);
    if (h->frees) listener_free(&h->listener);
    if (++h->count >= h->until) loop_stop(h->loop);
}

static int dial_to(const struct addr *at) {
    int fd = socket(addr_family(at), SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at->sa, at->len), 0);
    return fd;
}

static struct addr bound(int fd) {
    struct addr at = {.len = sizeof at.sa};
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at.sa, &at.len), 0);
    return at;
}

static int open_at(const char *text) {
    struct addr at;
    struct err err = {""};
    assert_true(addr_parse(bytes_of(text), &at, NULL));
    int fd = listener_open(&at, 100, &err);
    if (fd < 0) fail_msg("%s", err.text);
    return fd;
}

static void accepts(void **state) {
    static const char *const rows[][2] = {{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}};
    for (int i = 0; i < 2; i++) {
        struct host h = {.loop = *state, .until = 3};
        int fd = open_at(rows[i][0]), clients[3];
        struct addr at = bound(fd);
        h.listener = listener_new(*state, fd, on_accepted, &h);
        for (int k = 0; k < 3; k++)
            clients[k] = dial_to(&at);
        assert_int_equal(h.count, 0);
        run(*state);
        assert_int_equal(h.count, 3);
        assert_string_equal(h.peer, rows[i][1]);
        for (int k = 0; k < 3; k++)
            close(clients[k]);
        listener_free(&h.listener);
        listener_free(&h.listener);
        close(fd);
    }
}

static void freed_inside(void **state) {
    struct host h = {.loop = *state, .until = 1, .frees = true};
    int fd = open_at("127.0.0.1:0");
    struct addr at = bound(fd);
    h.listener = listener_new(*state, fd, on_accepted, &h);
    int one = dial_to(&at), two = dial_to(&at);
    run(*state);
    run_for(*state, 3);
    assert_int_equal(h.count, 1);
    close(one);
    close(two);
    close(fd);
}

static void unix_socket(void **state) {
    char dir[] = "/tmp/listener-XXXXXX", text[80];
    const char *path = text + 5;
    struct stat st;
    struct err err = {""};
    assert_non_null(mkdtemp(dir));
    snprintf(text, sizeof text, "unix:%s/s", dir);
    mode_t umask_was = umask(022);
    int fd = open_at(text);
    umask(umask_was);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    struct addr at = bound(fd);
    struct host h = {.loop = *state, .until = 1};
    h.listener = listener_new(*state, fd, on_accepted, &h);
    int client = dial_to(&at);
    run(*state);
    close(client);
    assert_int_equal(listener_open(&at, 5, &err), -1); // it is answered at
    assert_non_null(strstr(err.text, "another process"));
    listener_free(&h.listener);
    close(fd); // the file stays, stale
    fd = open_at(text);
    close(fd);
    unlink(path);
    close(open(path, O_CREAT | O_WRONLY, 0600)); // no socket: not ours to remove
    assert_int_equal(listener_open(&at, 5, &err), -1);
    assert_non_null(strstr(err.text, "not a socket"));
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    rmdir(dir);
    assert_int_equal(listener_open(&at, 5, &err), -1); // nor is there a folder now
    assert_non_null(strstr(err.text, path));
}

static void cannot_listen(void **state) {
    (void)state;
    struct err err = {""};
    int fd = open_at("127.0.0.1:0");
    struct addr at = bound(fd), none = {0};
    char text[ADDR_TEXT];
    addr_text(&at, text);
    assert_int_equal(listener_open(&at, 5, &err), -1);
    assert_non_null(strstr(err.text, text));
    assert_non_null(strstr(err.text, "in use (something listens there already"));
    assert_int_equal(listener_open(&none, 5, &err), -1);
    assert_true(addr_parse(BYTES("192.0.2.1:2525"), &none, &err));
    assert_int_equal(listener_open(&none, 5, &err), -1);
    assert_non_null(strstr(err.text, "(this machine has no such address"));
    close(fd);
}

static void count_lines(int fd, int expected) {
    char text[4096];
    ssize_t n = read(fd, text, sizeof text);
    int lines = 0;
    for (ssize_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    assert_int_equal(lines, expected);
}

static void out_of_descriptors(void **state) {
    struct rlimit was, tight;
    int pipe_fds[2];
    assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
    struct clock clock = {0};
    struct log log = {.fd = pipe_fds[1], .level = LOG_WARN, .clock = &clock};
    struct host h = {.loop = *state, .until = 1};
    int fd = open_at("127.0.0.1:0");
    struct addr at = bound(fd);
    h.listener = listener_new(*state, fd, on_accepted, &h);
    listener_log(h.listener, &log);
    int client = dial_to(&at);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    tight = was;
    tight.rlim_cur = 3; // every number below is taken
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    uint64_t turns = loop_turns(*state);
    run_for(*state, 250); // more than two rests
    assert_int_equal(h.count, 0);
    assert_true(loop_turns(*state) < turns + 20); // it rests, and does not spin
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    run(*state);
    assert_int_equal(h.count, 1);
    count_lines(pipe_fds[0], 1);
    close(client);
    listener_free(&h.listener);
    close(fd);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void client_gone_while_it_waited(void **state) {
    const struct linger hard = {.l_onoff = 1};
    struct host h = {.loop = *state, .until = 1};
    int fd = open_at("127.0.0.1:0");
    struct addr at = bound(fd);
    for (int i = 0; i < 3; i++) {
        int client = dial_to(&at);
        setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(client);
    }
    int last = dial_to(&at);
    h.listener = listener_new(*state, fd, on_accepted, &h);
    h.until = 4; // Linux hands out reset connections too
    run(*state);
    close(last);
    listener_free(&h.listener);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        on_loop(accepts),       on_loop(freed_inside),       on_loop(unix_socket),
        on_loop(cannot_listen), on_loop(out_of_descriptors), on_loop(client_gone_while_it_waited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
