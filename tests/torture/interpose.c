// SPDX-License-Identifier: MIT
// interpose: stands between tidegate and the kernel (LD_PRELOAD), to write down what is done to the files of
// one folder, or to make the k-th such call die or fail.
//
//   TIDEGATE_WATCH=DIR        the folder (absolute, no links in it) whose files are watched, with all below
//   it TIDEGATE_WATCH_LOG=FILE   every change and sync of them in the order they happened, and each "Ok:
//   queued as" said to a client
//                             among them: what powercut.py replays. Layout: struct record, then its names and
//                             data.
//   TIDEGATE_FAULT=CLASSES:K:WHAT[:TIMES]   what the K-th call of the classes named meets, and TIMES-1 more
//   after it
//       CLASSES  w writes, s syncs, n names (create, rename, unlink, mkdir), t truncate and fallocate, r
//       reads: all of watched files
//                k socket calls, o whatever makes a descriptor, a allocations: those of the whole process
//       WHAT     kill (before the call), half (a write does its first half, then kill), short (it does half
//       and says so),
//                or the name of an error: EIO ENOSPC EINTR EMFILE ENOMEM ECONNRESET EAGAIN
//   TIDEGATE_CLOCK=FILE       is mapped: by how many seconds (int64_t) the wall clock is wrong, from now on
//   TIDEGATE_FAULT_TOLD=FILE  is mapped: how many calls there were, and which one met the fault (struct told)
//
// Everything is done below one lock, so that the log's order is the order of events. Only a program called
// tidegate is watched.
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTORS = 1 << 16, PATH_BYTES = 4096 };
enum { WATCHED = 1, DURABLE = 2 }; // DURABLE: opened with O_DSYNC or O_SYNC

struct record {
    uint8_t kind; // C create M mkdir W write Y the write before is durable T truncate A allocate S sync R
                  // rename U unlink L link K told a client
    uint8_t pad;
    uint16_t name_len, other_len, pad2;
    uint64_t file, offset, length; // file: the inode's number
};

struct told {
    uint64_t calls, met;
    char name[32]; // of the call that met the fault
};

static struct {
    bool on;
    char folder[PATH_BYTES];
    size_t folder_len;
    int log;
    char classes[16];
    uint64_t at, times;
    enum { NOTHING, KILL, HALF, SHORT, ERROR } what;
    int error;
    struct told *told;
    const volatile int64_t *clock;
    uint8_t of[DESCRIPTORS];
    pthread_mutex_t lock;
} g = {.log = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
static struct told untold;

// ---- settings
// ----------------------------------------------------------------------------------------------------

static int error_of(const char *name) {
    static const struct {
        const char *name;
        int error;
    } known[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EINTR", EINTR},           {"EMFILE", EMFILE},
                 {"ENOMEM", ENOMEM}, {"EAGAIN", EAGAIN}, {"ECONNRESET", ECONNRESET}, {"EACCES", EACCES}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].error;
    return 0;
}

static void read_fault(const char *text) {
    char what[16] = "";
    unsigned long long at = 0, times = 1;
    if (!text) return;
    if (sscanf(text, "%15[a-z]:%llu:%15[a-zA-Z]:%llu", g.classes, &at, what, &times) < 3) abort();
    g.at = at;
    g.times = times;
    g.what = strcmp(what, "kill") == 0    ? KILL
             : strcmp(what, "half") == 0  ? HALF
             : strcmp(what, "short") == 0 ? SHORT
                                          : ERROR;
    g.error = g.what == ERROR ? error_of(what) : 0;
    if (g.what == ERROR && !g.error) abort();
}

// ---- faults
// ------------------------------------------------------------------------------------------------------

static _Noreturn void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

// What this call is to meet; a kill is not come back from.
static int meet(char class, const char *name) {
    if (!g.on || !strchr(g.classes, class)) return NOTHING;
    uint64_t number = __atomic_add_fetch(&g.told->calls, 1, __ATOMIC_RELAXED);
    if (!g.what || number < g.at || number >= g.at + g.times) return NOTHING;
    if (__atomic_add_fetch(&g.told->met, 1, __ATOMIC_RELAXED) == 1)
        snprintf(g.told->name, sizeof g.told->name, "%s", name);
    bool halves = class == 'w' || strcmp(name, "send") == 0;
    if (g.what == KILL || (g.what == HALF && !halves)) die();
    if (g.what == SHORT && !halves) return NOTHING;
    return (int)g.what;
}

static bool fails(char class, const char *name) {
    if (meet(class, name) != ERROR) return false;
    errno = g.error;
    return true;
}

// ---- the log
// -----------------------------------------------------------------------------------------------------

static void put(struct record r, const char *name, const char *other, const struct iovec *iov, int count,
                size_t bytes) {
    struct iovec all[3] = {{&r, sizeof r},
                           {(void *)(uintptr_t)name, name ? strlen(name) : 0},
                           {(void *)(uintptr_t)other, other ? strlen(other) : 0}};
    if (g.log < 0) return;
    r.name_len = (uint16_t)all[1].iov_len;
    r.other_len = (uint16_t)all[2].iov_len;
    if (iov) r.length = bytes;
    if (syscall(SYS_writev, g.log, all, 3) < 0) abort();
    for (int i = 0; iov && i < count && bytes; i++) {
        size_t part = iov[i].iov_len < bytes ? iov[i].iov_len : bytes;
        if (part && syscall(SYS_write, g.log, iov[i].iov_base, part) != (long)part) abort();
        bytes -= part;
    }
}

static uint64_t file_of(int fd) {
    struct stat stat;
    return syscall(SYS_fstat, fd, &stat) == 0 ? stat.st_ino : 0;
}

static bool is_watched(int fd) {
    return g.on && fd >= 0 && fd < DESCRIPTORS && g.of[fd];
}

static void lock(void) {
    int was = errno;
    pthread_mutex_lock(&g.lock);
    errno = was;
}

static void unlock(void) {
    int was = errno;
    pthread_mutex_unlock(&g.lock);
    errno = was;
}

// The path relative to the folder; NULL where it is not below it.
static const char *below(int dir, const char *path, char out[2 * PATH_BYTES]) {
    if (!g.on) return NULL;
    if (path[0] == '/')
        snprintf(out, 2 * PATH_BYTES, "%s", path);
    else {
        char link[64], at[PATH_BYTES];
        ssize_t n;
        if (dir == AT_FDCWD)
            n = getcwd(at, sizeof at) ? (ssize_t)strlen(at) : -1;
        else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
            n = readlink(link, at, sizeof at - 1);
        }
        if (n < 0) return NULL;
        snprintf(out, 2 * PATH_BYTES, "%.*s/%s", (int)n, at, path);
    }
    if (strncmp(out, g.folder, g.folder_len) != 0) return NULL;
    if (out[g.folder_len] && out[g.folder_len] != '/') return NULL;
    return out + g.folder_len + (out[g.folder_len] == '/');
}

// ---- opening and closing
// -----------------------------------------------------------------------------------------

static int open_watched(int dir, const char *path, int flags, mode_t mode, const char *name) {
    struct stat stat;
    bool was = syscall(SYS_newfstatat, dir, path, &stat, 0) == 0;
    if (!was && flags & O_CREAT && fails('n', "create")) return -1;
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    if (fd < 0 || fd >= DESCRIPTORS) return fd;
    g.of[fd] = WATCHED | (flags & (O_DSYNC | O_SYNC) ? DURABLE : 0);
    if (!was)
        put((struct record){.kind = 'C', .file = file_of(fd)}, name, NULL, NULL, 0, 0);
    else if (flags & O_TRUNC)
        put((struct record){.kind = 'T', .file = file_of(fd)}, NULL, NULL, NULL, 0, 0);
    return fd;
}

int openat(int dir, const char *path, int flags, ...) {
    char full[2 * PATH_BYTES];
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (fails('o', "open")) return -1;
    const char *name = below(dir, path, full);
    if (!name) return (int)syscall(SYS_openat, dir, path, flags, mode);
    lock();
    int fd = open_watched(dir, path, flags, mode, name);
    unlock();
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return openat(AT_FDCWD, path, flags, mode);
}

int close(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS) g.of[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

// ---- writing
// -----------------------------------------------------------------------------------------------------

static size_t bytes_in(const struct iovec *iov, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

// The first half, as far as it is whole parts or lies in the first one.
static int halve(const struct iovec *iov, int count, struct iovec *out) {
    size_t half = bytes_in(iov, count) / 2;
    int n = 0;
    for (; n < count && n < 1024 && half; n++) {
        out[n] = iov[n];
        if (out[n].iov_len > half) out[n].iov_len = half;
        half -= out[n].iov_len;
    }
    return n;
}

static ssize_t write_at(int fd, const struct iovec *iov, int count, off_t at, bool has_at, const char *name) {
    static struct iovec part[1024];
    int met = meet('w', name);
    if (met == ERROR) {
        errno = g.error;
        return -1;
    }
    if (met) {
        count = halve(iov, count, part);
        iov = part;
    }
    if (!has_at) at = fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    ssize_t n = has_at ? syscall(SYS_pwritev, fd, iov, count, at, 0) : syscall(SYS_writev, fd, iov, count);
    if (n > 0) {
        struct record r = {.kind = 'W', .file = file_of(fd), .offset = (uint64_t)at};
        put(r, NULL, NULL, iov, count, (size_t)n);
        if (g.of[fd] & DURABLE) put((struct record){.kind = 'Y', .file = r.file}, NULL, NULL, NULL, 0, 0);
    }
    if (met == HALF) die();
    return n;
}

static ssize_t watched_write(int fd, const struct iovec *iov, int count, off_t at, bool has_at,
                             const char *name) {
    lock();
    ssize_t n = write_at(fd, iov, count, at, has_at, name);
    unlock();
    return n;
}

ssize_t write(int fd, const void *what, size_t size) {
    struct iovec iov = {(void *)(uintptr_t)what, size};
    return is_watched(fd) ? watched_write(fd, &iov, 1, 0, false, "write")
                          : syscall(SYS_write, fd, what, size);
}

ssize_t writev(int fd, const struct iovec *iov, int count) {
    return is_watched(fd) ? watched_write(fd, iov, count, 0, false, "writev")
                          : syscall(SYS_writev, fd, iov, count);
}

ssize_t pwrite(int fd, const void *what, size_t size, off_t at) {
    struct iovec iov = {(void *)(uintptr_t)what, size};
    return is_watched(fd) ? watched_write(fd, &iov, 1, at, true, "pwrite")
                          : syscall(SYS_pwrite64, fd, what, size, at);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at) {
    return is_watched(fd) ? watched_write(fd, iov, count, at, true, "pwritev")
                          : syscall(SYS_pwritev, fd, iov, count, at, 0);
}

ssize_t pread(int fd, void *into, size_t size, off_t at) {
    if (is_watched(fd) && fails('r', "pread")) return -1;
    return syscall(SYS_pread64, fd, into, size, at);
}

// ---- syncs and sizes
// ---------------------------------------------------------------------------------------------

// One of ours on a watched descriptor, logged when it has worked.
#define WATCHED_CALL(class, name, call, ...)                                                                 \
    do {                                                                                                     \
        if (!is_watched(fd)) return (int)(call);                                                             \
        lock();                                                                                              \
        int done = fails(class, name) ? -1 : (int)(call);                                                    \
        if (done == 0) put((struct record){__VA_ARGS__}, NULL, NULL, NULL, 0, 0);                            \
        unlock();                                                                                            \
        return done;                                                                                         \
    } while (0)

int fsync(int fd) {
    WATCHED_CALL('s', "fsync", syscall(SYS_fsync, fd), .kind = 'S', .file = file_of(fd));
}

int fdatasync(int fd) {
    WATCHED_CALL('s', "fdatasync", syscall(SYS_fdatasync, fd), .kind = 'S', .file = file_of(fd));
}

int ftruncate(int fd, off_t length) {
    WATCHED_CALL('t', "ftruncate", syscall(SYS_ftruncate, fd, length), .kind = 'T', .file = file_of(fd),
                 .length = (uint64_t)length);
}

int fallocate(int fd, int mode, off_t at, off_t length) {
    WATCHED_CALL('t', "fallocate", syscall(SYS_fallocate, fd, mode, at, length), .kind = 'A',
                 .file = file_of(fd), .offset = (uint64_t)at,
                 .length = mode & FALLOC_FL_KEEP_SIZE ? 0 : (uint64_t)length);
}

// ---- names
// -------------------------------------------------------------------------------------------------------

static uint64_t file_named(int dir, const char *path) {
    struct stat stat;
    return syscall(SYS_newfstatat, dir, path, &stat, AT_SYMLINK_NOFOLLOW) == 0 ? stat.st_ino : 0;
}

int mkdirat(int dir, const char *path, mode_t mode) {
    char full[2 * PATH_BYTES];
    const char *name = below(dir, path, full);
    if (!name) return (int)syscall(SYS_mkdirat, dir, path, mode);
    lock();
    int done = fails('n', "mkdir") ? -1 : (int)syscall(SYS_mkdirat, dir, path, mode);
    if (done == 0) put((struct record){.kind = 'M', .file = file_named(dir, path)}, name, NULL, NULL, 0, 0);
    unlock();
    return done;
}

int mkdir(const char *path, mode_t mode) {
    return mkdirat(AT_FDCWD, path, mode);
}

int unlinkat(int dir, const char *path, int flags) {
    char full[2 * PATH_BYTES];
    const char *name = below(dir, path, full);
    if (!name) return (int)syscall(SYS_unlinkat, dir, path, flags);
    lock();
    int done = fails('n', "unlink") ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
    if (done == 0) put((struct record){.kind = 'U'}, name, NULL, NULL, 0, 0);
    unlock();
    return done;
}

int unlink(const char *path) {
    return unlinkat(AT_FDCWD, path, 0);
}

static int two_names(char kind, const char *call, long number, const char *from, const char *to) {
    char full[2 * PATH_BYTES], full_to[2 * PATH_BYTES];
    const char *name = below(AT_FDCWD, from, full), *other = below(AT_FDCWD, to, full_to);
    if (!name || !other) return (int)syscall(number, from, to);
    lock();
    int done = fails('n', call) ? -1 : (int)syscall(number, from, to);
    if (done == 0) put((struct record){.kind = (uint8_t)kind}, name, other, NULL, 0, 0);
    unlock();
    return done;
}

int rename(const char *from, const char *to) {
    return two_names('R', "rename", SYS_rename, from, to);
}

int link(const char *from, const char *to) {
    return two_names('L', "link", SYS_link, from, to);
}

// ---- sockets
// -----------------------------------------------------------------------------------------------------

// Before it is said: from here on it is a promise.
static void note_promises(const char *what, size_t size) {
    static const char words[] = "Ok: queued as ";
    enum { WORDS = sizeof words - 1, ID = 16 };
    for (const char *at = what, *end = what + size; (at = memmem(at, (size_t)(end - at), words, WORDS));
         at += WORDS) {
        if (end - at < WORDS + ID) return;
        struct iovec id = {(void *)(uintptr_t)(at + WORDS), ID};
        put((struct record){.kind = 'K'}, NULL, NULL, &id, 1, ID);
    }
}

ssize_t send(int fd, const void *what, size_t size, int flags) {
    int met = meet('k', "send");
    if (met == ERROR) {
        errno = g.error;
        return -1;
    }
    if (met) size = size / 2 ? size / 2 : size;
    if (g.on && g.log >= 0 && size > 20) {
        lock();
        note_promises(what, size);
        unlock();
    }
    ssize_t n = syscall(SYS_sendto, fd, what, size, flags, NULL, 0);
    if (met == HALF) die();
    return n;
}

ssize_t recv(int fd, void *into, size_t size, int flags) {
    return fails('k', "recv") ? -1 : syscall(SYS_recvfrom, fd, into, size, flags, NULL, NULL);
}

ssize_t __recv_chk(int fd, void *into, size_t size, size_t room, int flags); // what a fortified program calls
ssize_t __recv_chk(int fd, void *into, size_t size, size_t room, int flags) {
    if (size > room) abort();
    return recv(fd, into, size, flags);
}

int socket(int domain, int type, int protocol) {
    return fails('o', "socket") || fails('k', "socket") ? -1
                                                        : (int)syscall(SYS_socket, domain, type, protocol);
}

int connect(int fd, const struct sockaddr *to, socklen_t len) {
    return fails('k', "connect") ? -1 : (int)syscall(SYS_connect, fd, to, len);
}

int accept4(int fd, struct sockaddr *from, socklen_t *len, int flags) {
    return fails('o', "accept") || fails('k', "accept") ? -1
                                                        : (int)syscall(SYS_accept4, fd, from, len, flags);
}

// ---- time
// ----------------------------------------------------------------------------------------------------

int clock_gettime(clockid_t which, struct timespec *out) {
    int done = (int)syscall(SYS_clock_gettime, which, out);
    if (done == 0 && g.clock && which == CLOCK_REALTIME) out->tv_sec += *g.clock;
    return done;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

// ---- memory
// ------------------------------------------------------------------------------------------------------

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *was, size_t size);

void *malloc(size_t size) {
    return fails('a', "malloc") ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    return fails('a', "calloc") ? NULL : __libc_calloc(count, size);
}

void *realloc(void *was, size_t size) {
    return fails('a', "realloc") ? NULL : __libc_realloc(was, size);
}

// ---- start
// ---------------------------------------------------------------------------------------------------

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("TIDEGATE_WATCH"), *log = getenv("TIDEGATE_WATCH_LOG"),
               *told = getenv("TIDEGATE_FAULT_TOLD");
    g.told = &untold;
    if (!folder || strcmp(program_invocation_short_name, "tidegate") != 0) return;
    snprintf(g.folder, sizeof g.folder, "%s", folder);
    g.folder_len = strlen(g.folder);
    if (log) g.log = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (told) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, told, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || syscall(SYS_ftruncate, fd, sizeof *g.told) != 0) abort();
        g.told = mmap(NULL, sizeof *g.told, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (g.told == MAP_FAILED) abort();
    }
    const char *clock = getenv("TIDEGATE_CLOCK");
    if (clock) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, clock, O_RDONLY | O_CLOEXEC);
        g.clock = mmap(NULL, sizeof *g.clock, PROT_READ, MAP_SHARED, fd, 0);
        if (fd < 0 || g.clock == MAP_FAILED) abort();
    }
    read_fault(getenv("TIDEGATE_FAULT"));
    struct stat stat;
    if (syscall(SYS_newfstatat, AT_FDCWD, folder, &stat, 0) == 0)
        put((struct record){.kind = 'M', .file = stat.st_ino}, NULL, NULL, NULL, 0, 0); // the folder itself
    g.on = true;
}
