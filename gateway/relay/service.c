// SPDX-License-Identifier: MIT
#include "relay/service.h"

#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

void service_ready(const char *status) { sd_notifyf(0, "READY=1\nSTATUS=%s", status); }

void service_reloading(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void service_stopping(void) { sd_notify(0, "STOPPING=1\nSTATUS=finishing what is in flight"); }

int64_t service_watchdog_ms(void) {
    uint64_t us;
    return sd_watchdog_enabled(0, &us) > 0 ? (int64_t)(us / 2000) : 0;
}

void service_alive(void) { sd_notify(0, "WATCHDOG=1"); }

void service_raise_limits(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == files.rlim_max) return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

bool service_become(const char *user, struct err *err) {
    if (!user || geteuid() != 0) return true;
    const struct passwd *pw = getpwnam(user);
    if (!pw) return err_set(err, "user: there is no user '%s' on this system", user);
    if (initgroups(user, pw->pw_gid) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
        setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
        return err_errno(err, "user: cannot become '%s'", user);
    return setuid(0) != 0 || err_set(err, "user: still root after becoming '%s'", user);
}
