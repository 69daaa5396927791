// SPDX-License-Identifier: MIT
#include "relay/conf.h"

#include "base/bug.h"
#include "base/nearest.h"
#include "mail/address.h"
#include "policy/generation.h"
#include "relay/conf_check.h"
#include "relay/conf_key.h"
#include "relay/conf_value.h"
#include "script/json.h"
#include "script/place.h"
#include "script/values.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 1 << 20 };

const char *const listener_kind_name[] = {"submission", "submissions", "relay", "lmtp"};

struct load {
    struct conf *conf;
    void (*fault)(void *arg, const char *text);
    void *arg;
    size_t faults;
    struct buf text; // of the file
};

static void say(struct load *l, const char *key, const char *words) {
    struct buf text = {0};
    l->faults++;
    size_t line = place_line(buf_bytes(&l->text), key);
    buf_addz(&text, l->conf->file);
    if (line) buf_format(&text, ":%zu", line);
    buf_format(&text, ": %s%s%s", key, key[0] ? ": " : "", words);
    if (l->fault) l->fault(l->arg, buf_z(&text));
    buf_release(&text);
}

static void say_checked(void *arg, const char *key, const char *words) {
    say(arg, key, words);
}

// ---- keys ---------------------------------------------------------------------------------------

// The value of "limits.recipients": NULL where it is not given.
static const struct json *find_value(const struct json *map, const char *name) {
    for (struct bytes rest = bytes_of(name); map && rest.len;) {
        char step[64];
        struct bytes part = bytes_cut(&rest, '.');
        bug_if(part.len >= sizeof step);
        snprintf(step, sizeof step, "%.*s", BYTES_FMT(part));
        map = json_kind(map) == JSON_MAP ? json_get(map, step) : NULL;
    }
    return map;
}

static void join(char out[128], const char *path, const char *key) {
    snprintf(out, 128, "%s%s%.60s", path, path[0] && key[0] != '[' ? "." : "", key);
}

static void read_key(struct load *l, const struct conf_place *place, const char *path,
                     const struct conf_key *key, const struct json *value) {
    struct err words;
    char name[128];
    if (!value) {
        conf_value_unset(place, key);
    } else if (!conf_value_read(place, key, value, &words)) {
        conf_value_unset(place, key); // so that what is checked later makes sense
        join(name, path, key->name);
        say(l, name, words.text);
    }
}

// 1: a key. 2: a table that holds keys. 0: neither.
static int what_is(const struct conf_key *keys, const char *name) {
    size_t len = strlen(name);
    int what = 0;
    for (const struct conf_key *k = keys; k->name; k++) {
        if (strcmp(k->name, name) == 0) return 1;
        if (strncmp(k->name, name, len) == 0 && k->name[len] == '.') what = 2;
    }
    return what;
}

// The right name in another table, or the nearest in this one. `section` is "" or "limits".
static void hint_at(struct load *l, const struct conf_key *keys, const char *section, const char *wrong,
                    struct buf *out) {
    struct nearest near = nearest_to(bytes_of(wrong));
    size_t len = strlen(section);
    for (const struct conf_key *k = keys; k->name; k++) {
        const char *last = strrchr(k->name, '.');
        if (strcmp(last ? last + 1 : k->name, wrong) == 0) {
            buf_format(out, " (did you mean '%s'?)", k->name);
            return;
        }
        if (len && (strncmp(k->name, section, len) != 0 || k->name[len] != '.')) continue;
        struct bytes rest = bytes_of(k->name + (len ? len + 1 : 0));
        nearest_offer(&near, arena_z(&l->conf->arena, bytes_cut(&rest, '.')));
    }
    nearest_hint(&near, out);
}

static void find_unknown(struct load *l, const char *path, const struct conf_key *keys, const char *section,
                         const struct json *map) {
    void *at = NULL;
    struct bytes name;
    const struct json *value;
    while (json_next(map, &at, &name, &value)) {
        char key[128], full[160], shown[256];
        snprintf(key, sizeof key, "%.*s", BYTES_FMT(bytes_first(name, 100)));
        snprintf(full, sizeof full, "%s%s%s", section, section[0] ? "." : "", key);
        snprintf(shown, sizeof shown, "%s%s%s", path, path[0] ? "." : "", full);
        int what = what_is(keys, full);
        if (what == 2 && json_kind(value) == JSON_MAP) {
            find_unknown(l, path, keys, full, value);
        } else if (what == 2) {
            say(l, shown, "must be a table of keys: { ... }");
        } else if (what == 0) {
            struct buf words = {0};
            buf_addz(&words, "unknown key");
            hint_at(l, keys, section, key, &words);
            say(l, shown, buf_z(&words));
            buf_release(&words);
        }
    }
}

// ---- listeners ----------------------------------------------------------------------------------

static void name_listener(struct load *l, struct conf_listener *listener) {
    int number = 1;
    for (const struct conf_listener *other = l->conf->listeners; other < listener; other++)
        number += other->kind == listener->kind;
    listener->name = arena_format(&l->conf->arena, "%s-%d", listener_kind_name[listener->kind], number).at;
}

static void read_listener(struct load *l, size_t i, const struct json *value) {
    struct conf_listener *listener = &l->conf->listeners[i];
    struct conf_place place = {&l->conf->arena, l->conf->base, listener};
    char path[64];
    snprintf(path, sizeof path, "listeners[%zu]", i + 1);
    if (json_kind(value) != JSON_MAP) {
        say(l, path,
            "is not a table (it should read { kind = \"submission\", address = \"127.0.0.1:2587\" })");
        return;
    }
    const struct conf_key *kind = &conf_listener_keys[0];
    if (!json_get(value, "kind")) say(l, path, "has no kind (say submission, submissions, relay or lmtp)");
    if (!json_get(value, "address")) say(l, path, "has no address (say \"127.0.0.1:2587\", for example)");
    read_key(l, &place, path, kind, json_get(value, "kind"));
    listener->auth_required = listener->kind == LISTENER_SUBMISSION || listener->kind == LISTENER_SUBMISSIONS;
    listener->tls_required = listener->kind == LISTENER_SUBMISSION;
    for (const struct conf_key *key = kind + 1; key->name; key++)
        read_key(l, &place, path, key, json_get(value, key->name));
    if (!listener->name) name_listener(l, listener);
    find_unknown(l, path, conf_listener_keys, "", value);
}

static void read_listeners(struct load *l, const struct json *value) {
    struct conf *conf = l->conf;
    bool empty = !value || (json_kind(value) == JSON_MAP && json_count(value) == 0);
    if (!empty && json_kind(value) != JSON_LIST) {
        say(l, "listeners",
            "is not a list of tables (it should read { { kind = \"submission\", address = \"127.0.0.1:2587\" "
            "} })");
        empty = true;
    }
    conf->listener_count = empty ? 0 : json_count(value);
    conf->listeners = arena_alloc(&conf->arena, conf->listener_count * sizeof *conf->listeners);
    for (size_t i = 0; i < conf->listener_count; i++)
        read_listener(l, i, json_item(value, i));
}

// ---- the file -----------------------------------------------------------------------------------

static bool read_file(const char *file, struct buf *out, struct err *err) {
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(err, "%s", strerror(errno));
    bool good = true;
    for (ssize_t n = 1; good && n != 0;) {
        buf_reserve(out, 65536);
        n = read(fd, out->at + out->len, 65536);
        if (n > 0)
            out->len += (size_t)n;
        else if (n < 0 && errno != EINTR)
            good = err_set(err, "%s", strerror(errno));
        if (out->len > FILE_MAX_BYTES) good = err_set(err, "is over 1 MiB: no configuration");
    }
    close(fd);
    return good;
}

static struct json *parse_file(struct load *l) {
    struct buf values = {0};
    struct err err;
    struct json *root = NULL;
    if (!read_file(l->conf->file, &l->text, &err)) {
        say(l, "", err.text);
    } else if (!values_read(buf_bytes(&l->text), l->conf->file, &values, &err)) {
        l->faults++; // names the file by itself
        if (l->fault) l->fault(l->arg, err.text);
    } else {
        root = json_parse(buf_bytes(&values), &err);
        if (!root) say(l, "", err.text);
    }
    buf_release(&values);
    return root;
}

static const char *find_base(struct arena *arena, const char *file) {
    char *absolute = realpath(file, NULL);
    if (!absolute) return ".";
    *strrchr(absolute, '/') = 0;
    char *last = strrchr(absolute, '/');
    if (last && strcmp(last, "/conf") == 0) *last = 0;
    const char *base = arena_z(arena, bytes_of(absolute));
    free(absolute);
    return base;
}

// The host's name with its domain: from itself, or the line of /etc/hosts that has it. Never from DNS: a
// check must not wait.
static const char *find_hostname(struct arena *arena) {
    char own[256] = "localhost", line[1024];
    if (gethostname(own, sizeof own - 1) != 0) strcpy(own, "localhost");
    if (!strchr(own, '.')) {
        FILE *hosts = fopen("/etc/hosts", "re");
        while (hosts && fgets(line, sizeof line, hosts)) {
            char *save = NULL, *full = NULL;
            line[strcspn(line, "#")] = 0;
            for (char *word = strtok_r(line, " \t\r\n", &save); word;
                 word = strtok_r(NULL, " \t\r\n", &save)) {
                if (!full && strchr(word, '.') && strncmp(word, own, strlen(own)) == 0 &&
                    word[strlen(own)] == '.')
                    full = word;
            }
            if (full && strlen(full) < sizeof own) strcpy(own, full);
            if (full) break;
        }
        if (hosts) fclose(hosts);
    }
    return arena_z(arena, domain_is_valid(bytes_of(own)) ? bytes_of(own) : BYTES("localhost"));
}

static struct conf *conf_new(const char *file) {
    struct conf *conf = must_alloc(sizeof *conf);
    conf->file = arena_z(&conf->arena, bytes_of(file));
    conf->base = find_base(&conf->arena, file);
    return conf;
}

static void read_all(struct load *l, const struct json *root) {
    struct conf *conf = l->conf;
    struct conf_place place = {&conf->arena, conf->base, conf};
    for (const struct conf_key *key = conf_keys; key->name; key++)
        if (key->kind != CONF_LISTENERS) read_key(l, &place, "", key, find_value(root, key->name));
    if (!conf->hostname) conf->hostname = find_hostname(&conf->arena);
    conf->journal_fields = kept_fields_of(bytes_of(conf->journal_headers), &conf->arena);
    read_listeners(l, json_get(root, "listeners"));
    find_unknown(l, "", conf_keys, "", root);
}

static struct conf *load(const char *file, bool check, void (*fault)(void *arg, const char *text), void *arg) {
    struct conf *conf = conf_new(file);
    struct load l = {.conf = conf, .fault = fault, .arg = arg};
    struct json *root = parse_file(&l);
    if (root) read_all(&l, root);
    if (root && check) conf_check(conf, say_checked, &l);
    json_free(&root);
    buf_release(&l.text);
    if (l.faults) conf_free(&conf);
    return conf;
}

struct conf *conf_load(const char *file, void (*fault)(void *arg, const char *text), void *arg) {
    return load(file, true, fault, arg);
}

struct conf *conf_read(const char *file, void (*fault)(void *arg, const char *text), void *arg) {
    return load(file, false, fault, arg);
}

void conf_free(struct conf **conf) {
    struct conf *gone = *conf;
    *conf = NULL;
    if (!gone) return;
    arena_release(&gone->arena);
    free(gone);
}

void conf_script_options(const struct conf *conf, struct generation_options *out) {
    *out = (struct generation_options){.memory_max = conf->limits.script_memory, .steps_max = (uint64_t)conf->limits.hook_steps,
                                       .time_max_ms = (int64_t)conf->limits.hook_time_s * 1000, .key_dir = conf->base,
                                       .hostname = conf->hostname, .http_hosts = conf->http_hosts};
}

// Whatever can be had of the file, faults or not.
static struct conf *peek(const char *file) {
    struct conf *conf = conf_new(file);
    struct load l = {.conf = conf};
    struct json *root = parse_file(&l);
    read_all(&l, root);
    json_free(&root);
    buf_release(&l.text);
    return conf;
}

void conf_peek_control(const char *file, struct buf *out) {
    struct conf *conf = peek(file);
    buf_addz(out, conf->control);
    conf_free(&conf);
}

bool conf_peek_users(const char *file, struct buf *out) {
    struct conf *conf = peek(file);
    bool has = conf->users != NULL;
    if (has) buf_addz(out, conf->users);
    conf_free(&conf);
    return has;
}

const char *conf_find(void) {
    const char *said = getenv("TIDEGATE_CONF");
    if (said && said[0]) return said;
    static const char *const places[] = {"conf/tidegate.lua", "/etc/tidegate/tidegate.lua"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (access(places[i], F_OK) == 0) return places[i];
    return NULL;
}

// ---- what a reload cannot do --------------------------------------------------------------------

static bool same_listeners(const struct conf *a, const struct conf *b) {
    if (a->listener_count != b->listener_count) return false;
    for (size_t i = 0; i < a->listener_count; i++) {
        const struct conf_listener *x = &a->listeners[i], *y = &b->listeners[i];
        char here[ADDR_TEXT], there[ADDR_TEXT];
        addr_text(&x->address, here);
        addr_text(&y->address, there);
        if (x->kind != y->kind || strcmp(x->name, y->name) != 0 || strcmp(here, there) != 0) return false;
    }
    return true;
}

void conf_fixed_changes(const struct conf *was, const struct conf *now,
                        void (*changed)(void *arg, const char *name), void *arg) {
    for (const struct conf_key *key = conf_keys; key->name; key++) {
        if (!key->fixed) continue;
        bool same = key->kind == CONF_LISTENERS ? same_listeners(was, now) : conf_value_same(key, was, now);
        if (!same) changed(arg, key->name);
    }
}
