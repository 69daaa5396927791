// SPDX-License-Identifier: MIT
// micro_marshal: facts as JSON text to a Lua table and back, as each decision needs them.
#include "micro.h"
#include "script/lua.h"
#include "script/marshal.h"
#include "script/vm.h"

static const char SESSION[] =
    "{\"id\":\"c-1\",\"listener\":\"relay\",\"kind\":\"relay\",\"client_ip\":\"127.0.0.1\",\"client_port\":"
    "40000,"
    "\"local_ip\":\"127.0.0.1\",\"local_port\":2525,\"helo\":\"load.example\",\"tls_version\":\"TLSv1.3\","
    "\"tls_cipher\":\"TLS_AES_256_GCM_SHA384\",\"user\":\"shop\",\"user_facts\":{\"team\":\"web\",\"tier\":"
    "\"2\"},"
    "\"trusted_network\":true}";

struct work {
    lua_State *l;
    struct buf out;
};

static void push(void *arg) {
    struct work *w = arg;
    struct err err;
    bug_if(!marshal_push(w->l, bytes_of(SESSION), &err));
    lua_pop(w->l, 1);
}

static void write_back(void *arg) {
    struct work *w = arg;
    struct err err;
    buf_reset(&w->out);
    bug_if(!marshal_write(w->l, -1, &w->out, &err));
}

static int run(lua_State *l) {
    struct work w = {.l = l};
    struct err err;
    micro_run("marshal", "session facts, JSON to Lua", sizeof SESSION - 1, push, &w);
    bug_if(!marshal_push(l, bytes_of(SESSION), &err));
    micro_run("marshal", "session facts, Lua to JSON", sizeof SESSION - 1, write_back, &w);
    buf_release(&w.out);
    return 0;
}

int main(void) {
    struct err err = {""};
    struct clock clock = {0};
    struct log log = {.fd = 2, .level = LOG_WARN, .clock = &clock};
    struct vm *vm = vm_new(&(struct vm_options){.memory_max = 64 << 20, .clock = &clock, .log = &log}, &err);
    bool done = vm && vm_protect(vm, run, NULL, &err);
    if (!done) fprintf(stderr, "%s\n", err.text);
    vm_free(&vm);
    return done ? 0 : 1;
}
