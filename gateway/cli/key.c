// SPDX-License-Identifier: MIT
#include "base/folder.h"
#include "cli/tool.h"
#include "cli/verbs.h"
#include "mail/address.h"
#include "mail/sign.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

// The key is for whoever the folder is for: in /etc/tidegate/dkim that is the group of the gateway.
static bool write_new(const char *path, struct bytes pem, struct err *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST ? err_set(err, "%s: is there already; keys are not overwritten", path)
                               : err_errno(err, "%s", path);
    char *folder = bytes_dupz(bytes_of(path));
    struct stat st;
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    bool shared = stat(slash ? folder : ".", &st) == 0 && fchown(fd, (uid_t)-1, st.st_gid) == 0;
    bool good = fchmod(fd, shared ? 0640 : 0600) == 0 && write(fd, pem.at, pem.len) == (ssize_t)pem.len &&
                fsync(fd) == 0;
    if (!good) err_errno(err, "%s", path), unlink(path);
    close(fd);
    free(folder);
    return good;
}

static void print_record(const struct call *call, const char *file, const struct sign_key *key) {
    struct buf record = {0};
    sign_public_record(key, &record);
    if (call_has(call, "json")) {
        printf("{\"name\":\"%s._domainkey.%s\",\"record\":\"%s\"}\n", sign_key_selector(key),
               sign_key_domain(key), buf_z(&record));
    } else {
        fprintf(stderr, "%s; publish this, then name the key in an identity:\n", file);
        printf("%s._domainkey.%s. TXT", sign_key_selector(key), sign_key_domain(key));
        for (struct bytes rest = buf_bytes(&record); rest.len;
             rest = bytes_skip(rest, rest.len < 255 ? rest.len : 255))
            printf(" \"%.*s\"", BYTES_FMT(bytes_first(rest, 255)));
        printf("\n");
    }
    buf_release(&record);
}

static int show(const struct call *call, const char *file, struct bytes pem) {
    struct err err;
    struct sign_key *key = sign_key_load(call_text(call, "domain"), call_text(call, "selector"), pem, &err);
    if (!key) return tool_fail(call, EX_DATAERR, "%s: %s", file, err.text);
    print_record(call, file, key);
    sign_key_free(&key);
    return EX_OK;
}

// Both are asked for by all verbs of keys.
static int check_names(const struct call *call) {
    const char *domain = call_text(call, "domain"), *selector = call_text(call, "selector");
    if (!domain || !domain_is_valid(bytes_of(domain)))
        return tool_fail(call, EX_USAGE, "--domain says for which domain the key signs");
    if (!selector || !domain_is_valid(bytes_of(selector)))
        return tool_fail(call, EX_USAGE,
                         "--selector is the key's name in DNS: letters and digits, such as s2026");
    return EX_OK;
}

int verb_key_new(const struct call *call) {
    int code = check_names(call);
    const char *file = call_text(call, "output"), *kind = call_text(call, "kind");
    if (code) return code;
    if (!file) return tool_fail(call, EX_USAGE, "--output says into which file the private key goes");
    struct buf pem = {0};
    struct err err;
    bool ed25519 = kind && strcmp(kind, "ed25519") == 0;
    bool made = sign_key_make(ed25519 ? 0 : kind && strcmp(kind, "rsa4096") == 0 ? 4096 : 2048, &pem, &err);
    if (!made || !folder_make_parents(file, &err) || !write_new(file, buf_bytes(&pem), &err))
        code = tool_fail(call, made ? EX_CANTCREAT : EX_SOFTWARE, "%s", err.text);
    else
        code = show(call, file, buf_bytes(&pem));
    if (pem.at) explicit_bzero(pem.at, pem.cap);
    buf_release(&pem);
    return code;
}

int verb_key_show(const struct call *call) {
    char text[16384];
    int code = check_names(call);
    if (code) return code;
    FILE *in = fopen(call->arguments[0], "re");
    if (!in) return tool_fail(call, EX_NOINPUT, "%s: %m", call->arguments[0]);
    size_t n = fread(text, 1, sizeof text, in);
    fclose(in);
    code = show(call, call->arguments[0], bytes_range(text, n));
    explicit_bzero(text, sizeof text);
    return code;
}
