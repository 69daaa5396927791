// SPDX-License-Identifier: MIT
#include "base/clock.h"
#include "cli/ask.h"
#include "cli/show.h"
#include "cli/tool.h"
#include "cli/top_view.h"
#include "cli/verbs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

enum { EVERY_MS = 1000, FAULTS_EVERY = 10, CTRL_C = 3, CTRL_D = 4 };

// ---- what is shown

static bool take_status(void *arg, const struct json *row, struct bytes text) {
    (void)row;
    top_take_status(arg, text);
    return true;
}

static bool take_lane(void *arg, const struct json *row, struct bytes text) {
    (void)text;
    top_take_lane(arg, row);
    return true;
}

static bool take_limit(void *arg, const struct json *row, struct bytes text) {
    (void)text;
    top_take_limit(arg, row);
    return true;
}

static bool take_fault(void *arg, const struct json *row, struct bytes text) {
    (void)text;
    top_take_fault(arg, row);
    return true;
}

static int look(struct ask *ask, struct top_view *v, bool faults_too) {
    top_begin(v, clock_monotonic_us());
    int code = ask_run(ask, BYTES("{\"verb\":\"status\"}\n"), 30, take_status, v, NULL);
    if (code == EX_OK) code = ask_run(ask, BYTES("{\"verb\":\"lane\"}\n"), 30, take_lane, v, NULL);
    if (code == EX_OK) code = ask_run(ask, BYTES("{\"verb\":\"limit\"}\n"), 30, take_limit, v, NULL);
    if (code != EX_OK || !faults_too) return code;
    top_forget_faults(v);
    return ask_run(ask, BYTES("{\"verb\":\"log\",\"n\":3,\"type\":\"fault\"}\n"), 30, take_fault, v, NULL);
}

// ---- once

static int print_once(struct ask *ask, struct top_view *v) {
    struct buf out = {0};
    int code = look(ask, v, true);
    if (code == EX_OK) {
        poll(NULL, 0, EVERY_MS); // rates are of this second
        code = look(ask, v, false);
    }
    if (code == EX_OK) {
        top_draw(v, show_terminal_width(), 0, &out);
        printf("%s", buf_z(&out));
    }
    buf_release(&out);
    return code;
}

// ---- live

struct screen {
    struct termios was;
    int signals;
};

static bool screen_open(struct screen *s) {
    struct termios raw;
    sigset_t set;
    if (tcgetattr(STDIN_FILENO, &s->was) != 0) return false;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    raw = s->was;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG); // Ctrl-C comes as a key: the terminal is put right before we go
    raw.c_cc[VMIN] = raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs("\033[?1049h\033[?25l", stdout); // another screen, no cursor
    return s->signals >= 0;
}

static void screen_close(struct screen *s) {
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &s->was);
    if (s->signals >= 0) close(s->signals);
}

static void draw(struct top_view *v) {
    struct winsize size = {.ws_col = 80, .ws_row = 24};
    struct buf text = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_col || !size.ws_row) size = (struct winsize){.ws_col = 80, .ws_row = 24};
    top_draw(v, size.ws_col, size.ws_row - 1, &text);
    struct bytes rest = buf_bytes(&text);
    fputs("\033[H", stdout);
    while (rest.len) {
        struct bytes line = bytes_cut(&rest, '\n');
        printf("%.*s\033[K\n", BYTES_FMT(line));
    }
    fputs("\033[J", stdout);
    fflush(stdout);
    buf_release(&text);
}

enum heard { HEARD_NOTHING, HEARD_RESIZED, HEARD_LEAVE };

static enum heard hear_signal(int fd) {
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof info) != (ssize_t)sizeof info) return HEARD_NOTHING;
    return info.ssi_signo == SIGWINCH ? HEARD_RESIZED : HEARD_LEAVE;
}

static enum heard hear_key(void) {
    char key;
    if (read(STDIN_FILENO, &key, 1) != 1) return HEARD_LEAVE; // the terminal has gone
    return key == 'q' || key == 'Q' || key == CTRL_C || key == CTRL_D ? HEARD_LEAVE : HEARD_NOTHING;
}

// Until the second is over; a new size is drawn at once. True: leave.
static bool wait_a_second(struct screen *s, struct top_view *v) {
    int64_t end_us = clock_monotonic_us() + EVERY_MS * 1000;
    for (int64_t left; (left = (end_us - clock_monotonic_us()) / 1000) > 0;) {
        struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = s->signals, .events = POLLIN}};
        enum heard heard = HEARD_NOTHING;
        if (poll(fds, 2, (int)left) < 0 && errno != EINTR) return true;
        if (fds[1].revents) heard = hear_signal(s->signals);
        if (fds[0].revents && heard != HEARD_LEAVE && hear_key() == HEARD_LEAVE) heard = HEARD_LEAVE;
        if (heard == HEARD_LEAVE) return true;
        if (heard == HEARD_RESIZED) draw(v);
    }
    return false;
}

static int show_live(const struct call *call, struct ask *ask, struct top_view *v) {
    struct screen screen;
    int code = look(ask, v, true);
    if (code != EX_OK) return code;
    if (!screen_open(&screen)) return tool_fail(call, EX_OSERR, "this terminal cannot be used; try --once");
    for (int n = 1; code == EX_OK; n++) {
        draw(v);
        if (wait_a_second(&screen, v)) break;
        code = look(ask, v, n % FAULTS_EVERY == 0);
    }
    screen_close(&screen);
    return code == EX_OK ? code : tool_fail(call, code, "the gateway has gone");
}

int verb_top(const struct call *call) {
    int code = EX_OK;
    struct top_view view = {0};
    struct ask *ask = ask_open(call, &code);
    if (!ask) return code;
    bool live = !call_has(call, "once") && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO);
    code = live ? show_live(call, ask, &view) : print_once(ask, &view);
    top_release(&view);
    ask_close(&ask);
    return code;
}
