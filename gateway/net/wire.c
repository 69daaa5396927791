// SPDX-License-Identifier: MIT
#include "net/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

// Without a port of its own the source takes one at connect(2), and the same one can serve many destinations.
static void prepare(int fd, const struct addr *source) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (source && source->len && addr_port(source) == 0)
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
}

int wire_dial(const struct addr *source, const struct addr *peer, struct err *err) {
    char text[ADDR_TEXT];
    addr_text(peer, text);
    int fd = socket(addr_family(peer), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        err_errno(err, "connect to %s: socket", text);
        return -1;
    }
    if (addr_family(peer) != AF_UNIX) prepare(fd, source);
    if (source && source->len && bind(fd, (const struct sockaddr *)&source->sa, source->len) != 0) {
        char from[ADDR_TEXT];
        addr_ip_text(source, from);
        err_errno(err, "connect to %s from %s", text, from);
    } else if (connect(fd, (const struct sockaddr *)&peer->sa, peer->len) != 0 && errno != EINPROGRESS) {
        err_errno(err, "connect to %s", text);
    } else
        return fd;
    close(fd);
    return -1;
}

bool wire_is_connected(int fd, const struct addr *peer, struct err *err) {
    int code = 0;
    socklen_t len = sizeof code;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0) code = errno;
    if (code == 0) return true;
    char text[ADDR_TEXT];
    addr_text(peer, text);
    errno = code;
    return err_errno(err, "connect to %s", text);
}

enum tls_result wire_send(int fd, struct tls_session *tls, struct bytes what, size_t *put, struct err *err) {
    *put = 0;
    if (tls) return tls_write(tls, what, put, err);
    ssize_t sent = send(fd, what.at, what.len, MSG_NOSIGNAL);
    if (sent >= 0) {
        *put = (size_t)sent;
        return *put == what.len ? TLS_DONE : TLS_WANT_WRITE;
    }
    if (errno == EAGAIN || errno == EINTR) return TLS_WANT_WRITE;
    bool ended = errno == EPIPE || errno == ECONNRESET;
    err_errno(err, "write");
    return ended ? TLS_CLOSED : TLS_FAILED;
}

enum tls_result wire_receive(int fd, struct tls_session *tls, char *into, size_t size, size_t *got,
                             struct err *err) {
    *got = 0;
    if (!tls) {
        ssize_t n = recv(fd, into, size, 0);
        if (n > 0) *got = (size_t)n;
        if (n >= 0) return n ? TLS_DONE : TLS_CLOSED;
        if (errno == EAGAIN || errno == EINTR) return TLS_WANT_READ;
        err_errno(err, "read");
        return TLS_FAILED;
    }
    enum tls_result result;
    do { // a record after the other, as long as no system call is needed to see whether there is one
        size_t n;
        result = tls_read(tls, into + *got, size - *got, &n, err);
        *got += n;
    } while (result == TLS_DONE && *got < size && tls_has_pending(tls));
    return result;
}
