// SPDX-License-Identifier: MIT
#include "net/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { REST_MS = 100 };

struct listener {
    int fd;
    struct watch *watch;
    struct timer *rest; // made when it is first needed
    struct loop *loop;
    void (*accepted)(void *arg, int fd, const struct addr *peer);
    void *arg;
    const struct log *log;
    bool starved; // and said so
    bool calling, freed;
};

// A socket file that nobody answers at was left by a process that did not end well.
static bool unlink_stale(const struct addr *address, struct err *err) {
    const char *path = ((const struct sockaddr_un *)&address->sa)->sun_path;
    struct stat st;
    if (lstat(path, &st) != 0) return errno == ENOENT || err_errno(err, "%s", path);
    if (!S_ISSOCK(st.st_mode)) return err_set(err, "%s: is there and is not a socket", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return err_errno(err, "socket");
    bool answered = connect(fd, (const struct sockaddr *)&address->sa, address->len) == 0 || errno == EAGAIN;
    bool stale = !answered && errno == ECONNREFUSED;
    close(fd);
    if (answered) return err_set(err, "%s: another process listens there", path);
    if (!stale) return err_set(err, "%s: cannot tell whether a process listens there", path);
    return unlink(path) == 0 || err_errno(err, "%s", path);
}

// Before bind: what is set here is inherited by the connections, which saves a system call for each.
static void prepare(int fd, int family) {
    int on = 1;
    if (family == AF_UNIX) {
        fchmod(fd, 0660); // the mode that bind gives the file (less umask), with no moment in between
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
}

// What the operator can do about it.
static const char *remedy(int code) {
    switch (code) {
        case EADDRINUSE: return " (something listens there already: `ss -ltnp` names it)";
        case EADDRNOTAVAIL: return " (this machine has no such address: `ip address` lists those it has)";
        case EACCES: return " (ports below 1024 want root, or CAP_NET_BIND_SERVICE)";
        default: return "";
    }
}

int listener_open(const struct addr *address, int backlog, struct err *err) {
    char text[ADDR_TEXT];
    addr_text(address, text);
    int family = addr_family(address);
    if (family == AF_UNIX && !unlink_stale(address, err)) return -1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        err_errno(err, "listen on %s: socket", text);
        return -1;
    }
    prepare(fd, family);
    if (bind(fd, (const struct sockaddr *)&address->sa, address->len) == 0 && listen(fd, backlog) == 0)
        return fd;
    err_set(err, "listen on %s: %s%s", text, strerror(errno), family == AF_UNIX ? "" : remedy(errno));
    close(fd);
    return -1;
}

static void on_rested(void *arg) {
    struct listener *l = arg;
    watch_want(l->watch, WATCH_READ);
}

// Accepting goes on when something has been closed; until then the kernel keeps the clients in its backlog.
static void rest(struct listener *l) {
    if (!l->starved && l->log) log_warn(l->log, "cannot accept a connection: %s; they wait", strerror(errno));
    l->starved = true;
    if (!l->rest) l->rest = timer_new(l->loop, on_rested, l);
    watch_want(l->watch, 0);
    timer_set(l->rest, REST_MS);
}

// One connection a turn: so the workers that share the descriptor share the load.
static void on_readable(void *arg, int what) {
    (void)what;
    struct listener *l = arg;
    struct addr peer = {.len = sizeof peer.sa};
    int fd = accept4(l->fd, (struct sockaddr *)&peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        // Gone while it waited, or a race lost, or (accept(2)) an error of that one connection's network.
        switch (errno) {
        case EAGAIN:
        case EINTR:
        case ECONNABORTED:
        case EPROTO:
        case EPERM:
        case ENETDOWN:
        case ENETUNREACH:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENOPROTOOPT:
        case ENONET:
        case EOPNOTSUPP:
            return;
        default:
            rest(l);
            return;
        }
    }
    l->starved = false;
    l->calling = true;
    l->accepted(l->arg, fd, &peer);
    l->calling = false;
    if (l->freed) free(l);
}

struct listener *listener_new(struct loop *loop, int fd,
                              void (*accepted)(void *arg, int fd, const struct addr *peer), void *arg) {
    struct listener *l = must_alloc(sizeof *l);
    l->fd = fd;
    l->loop = loop;
    l->accepted = accepted;
    l->arg = arg;
    l->watch = watch_new(loop, fd, on_readable, l);
    watch_want(l->watch, WATCH_READ);
    return l;
}

void listener_log(struct listener *l, const struct log *log) {
    l->log = log;
}

void listener_free(struct listener **listener) {
    struct listener *l = *listener;
    if (!l) return;
    *listener = NULL;
    watch_free(&l->watch);
    timer_free(&l->rest);
    l->freed = true;
    if (!l->calling) free(l);
}
