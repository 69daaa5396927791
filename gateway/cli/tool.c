// SPDX-License-Identifier: MIT
#include "cli/tool.h"

#include "cli/show.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

int tool_fail(const struct call *call, int code, const char *format, ...) {
    struct buf words = {0}, line = {0};
    va_list args;
    va_start(args, format);
    buf_formatv(&words, format, args);
    va_end(args);
    buf_format(&line, "tidegate%s%s: ", call->path[0] ? " " : "", call->path);
    show_clean(&line, buf_bytes(&words));
    fflush(stdout);
    fprintf(stderr, "%s\n", buf_z(&line));
    buf_release(&words);
    buf_release(&line);
    return code;
}

const char *tool_conf_file(const struct call *call, int *code) {
    const char *file = call_text(call, "conf");
    if (!file) file = conf_find();
    if (!file)
        *code = tool_fail(
            call, EX_CONFIG,
            "no configuration: there is neither conf/tidegate.lua here nor /etc/tidegate/tidegate.lua "
            "(say --conf FILE, or set TIDEGATE_CONF)");
    return file;
}

static void print_fault(void *arg, const char *text) {
    (void)arg;
    struct buf line = {0};
    show_clean(&line, bytes_of(text));
    fprintf(stderr, "%s\n", buf_z(&line));
    buf_release(&line);
}

struct conf *tool_conf(const struct call *call, int *code) {
    const char *file = tool_conf_file(call, code);
    if (!file) return NULL;
    struct conf *conf = conf_load(file, print_fault, NULL);
    if (!conf) *code = EX_CONFIG;
    return conf;
}

struct conf *tool_conf_values(const struct call *call, int *code) {
    const char *file = tool_conf_file(call, code);
    if (!file) return NULL;
    struct conf *conf = conf_read(file, print_fault, NULL);
    if (!conf) *code = EX_CONFIG;
    return conf;
}

bool tool_socket(const struct call *call, struct buf *path, int *code) {
    const char *said = call_text(call, "socket");
    if (!said) said = getenv("TIDEGATE_SOCKET");
    if (said && said[0]) {
        buf_addz(path, said);
        return true;
    }
    const char *file = tool_conf_file(call, code);
    if (!file) return false;
    if (access(file, R_OK) != 0) {
        bool rights = errno == EACCES;
        *code = tool_fail(call, rights ? EX_NOPERM : EX_CONFIG, "%s: %s (it says where the gateway's control socket is; %s)", file, strerror(errno),
                          rights ? "be root or in its group, or say --socket PATH" : "name another with --conf, or say --socket PATH");
        return false;
    }
    conf_peek_control(file, path);
    return true;
}

// ---- the terminal -------------------------------------------------------------------------------

static bool read_line(int fd, struct buf *out) {
    char c;
    for (;;) {
        ssize_t n = read(fd, &c, 1);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return out->len > 0;
        if (c == '\n') return true;
        if (out->len < 4096) buf_byte(out, c);
    }
}

bool tool_ask_password(const char *prompt, struct buf *out) {
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (fd < 0) return false;
    struct termios was, silent;
    bool terminal = tcgetattr(fd, &was) == 0;
    if (terminal) {
        silent = was;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(fd, TCSAFLUSH, &silent);
        dprintf(fd, "%s", prompt);
        terminal = read_line(fd, out);
        dprintf(fd, "\n");
        tcsetattr(fd, TCSAFLUSH, &was);
    }
    close(fd);
    return terminal;
}

bool tool_confirm(const char *question) {
    fprintf(stderr, "%s [y/N] ", question);
    fflush(stderr);
    struct buf answer = {0};
    read_line(STDIN_FILENO, &answer);
    struct bytes said = bytes_trim(buf_bytes(&answer));
    bool yes = bytes_equal_nocase(said, BYTES("y")) || bytes_equal_nocase(said, BYTES("yes"));
    buf_release(&answer);
    return yes;
}
