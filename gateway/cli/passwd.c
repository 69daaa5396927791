// SPDX-License-Identifier: MIT
#include "relay/password.h"

#include "cli/tool.h"
#include "cli/verbs.h"
#include "relay/users.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

static bool read_stdin(struct buf *out) {
    char line[1024];
    if (!fgets(line, sizeof line, stdin)) return false;
    line[strcspn(line, "\r\n")] = 0;
    buf_addz(out, line);
    explicit_bzero(line, sizeof line);
    return true;
}

// False: said why.
static bool get_password(const struct call *call, struct buf *out, int *code) {
    struct buf again = {0};
    bool good;
    if (!isatty(STDIN_FILENO)) {
        good = read_stdin(out);
        if (!good) *code = tool_fail(call, EX_DATAERR, "no password on stdin");
    } else {
        good = tool_ask_password("New password: ", out) && tool_ask_password("Once more: ", &again);
        if (!good)
            *code = tool_fail(call, EX_DATAERR, "no password was given");
        else if (!bytes_equal(buf_bytes(out), buf_bytes(&again)))
            *code = tool_fail(call, EX_DATAERR, "the two are not the same"), good = false;
    }
    if (good && out->len == 0)
        *code = tool_fail(call, EX_DATAERR, "an empty password would let anyone in"), good = false;
    if (again.at) explicit_bzero(again.at, again.cap);
    buf_release(&again);
    return good;
}

static void join_facts(const struct call *call, struct buf *out) {
    const char *pair;
    for (int i = 0; (pair = call_nth(call, "set", i)); i++) {
        struct bytes rest = bytes_of(pair);
        struct bytes key = bytes_cut(&rest, '=');
        bool quote = bytes_find(rest, ' ') >= 0;
        buf_format(out, "%s%.*s=%s%.*s%s", i ? " " : "", BYTES_FMT(key), quote ? "\"" : "", BYTES_FMT(rest),
                   quote ? "\"" : "");
    }
}

static bool make_hash(const struct call *call, struct buf *hash, int *code) {
    if (call_has(call, "lock")) {
        buf_addz(hash, "!");
        return true;
    }
    struct buf password = {0};
    struct err err;
    bool good = get_password(call, &password, code);
    if (good && !password_hash(buf_bytes(&password), hash, &err)) {
        *code = tool_fail(call, EX_DATAERR, "%s", err.text);
        good = false;
    }
    if (password.at) explicit_bzero(password.at, password.cap);
    buf_release(&password);
    return good;
}

static int put_user(const struct call *call, const char *file) {
    const char *name = call->arguments[0];
    struct buf hash = {0}, facts = {0};
    struct err err;
    int code = EX_OK;
    if (!users_name_is_valid(bytes_of(name)))
        return tool_fail(call, EX_DATAERR,
                         "'%s' cannot be a user's name (no spaces, no ':', no '#' at the front)", name);
    join_facts(call, &facts);
    if (make_hash(call, &hash, &code)) {
        const char *keys = call_has(call, "set") ? buf_z(&facts) : NULL;
        if (!users_put(file, bytes_of(name), buf_bytes(&hash), keys, &err))
            code = tool_fail(call, EX_CANTCREAT, "%s", err.text);
        else
            printf("%s: %s is %s; `tidegate reload` brings it in\n", file, name,
                   call_has(call, "lock") ? "locked" : "set");
    }
    buf_release(&hash);
    buf_release(&facts);
    return code;
}

static int remove_user(const struct call *call, const char *file) {
    struct err err;
    bool found;
    if (!users_remove(file, bytes_of(call->arguments[0]), &found, &err))
        return tool_fail(call, EX_CANTCREAT, "%s", err.text);
    if (!found) return tool_fail(call, EX_DATAERR, "%s: there is no %s", file, call->arguments[0]);
    printf("%s: %s is deleted; `tidegate reload` brings it in\n", file, call->arguments[0]);
    return EX_OK;
}

int verb_passwd(const struct call *call) {
    struct buf path = {0};
    int code = EX_OK;
    if (call_has(call, "users")) {
        buf_addz(&path, call_text(call, "users"));
    } else {
        const char *file = tool_conf_file(call, &code);
        if (file && !conf_peek_users(file, &path))
            code = tool_fail(call, EX_CONFIG, "%s has no `users` (say --users FILE)", file);
    }
    if (code == EX_OK)
        code = call_has(call, "delete") ? remove_user(call, buf_z(&path)) : put_user(call, buf_z(&path));
    buf_release(&path);
    return code;
}
