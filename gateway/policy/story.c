// SPDX-License-Identifier: MIT
#include "policy/story.h"

#include "policy/story_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// ---- the file's own Lua state

static int load_file(lua_State *l) {
    struct telling *t = lua_touserdata(l, 1);
    char chunk[300];
    story_bind(l, t);
    snprintf(chunk, sizeof chunk, "@%s", t->name);
    if (luaL_loadbufferx(l, t->text.at, t->text.len, chunk, "t") != LUA_OK) return lua_error(l);
    lua_call(l, 0, 0);
    return 0;
}

static int tell_body(lua_State *l) {
    struct telling *t = lua_touserdata(l, 1);
    lua_rawgeti(l, LUA_REGISTRYINDEX, t->current->body);
    lua_call(l, 0, 0);
    return 0;
}

// ---- one story

static void tell(struct telling *t, struct told_story *s) {
    struct vm_fault fault;
    int64_t begun = clock_monotonic_us();
    lab_reset(t->lab);
    t->current = s;
    t->failed = false;
    buf_reset(&t->trace);
    buf_reset(&t->failed_at);
    bool ended = generation_load(t->book, tell_body, t, &fault);
    if (!ended) { // out of its budget, or the kit itself is at fault
        buf_reset(&t->failure);
        buf_addz(&t->failure, fault.trace.len ? buf_z(&fault.trace) : fault.first);
    }
    buf_release(&fault.trace);
    struct story_result result = {.title = s->title,
                                  .told_at = s->told_at,
                                  .passed = ended && !t->failed,
                                  .failed_at = buf_bytes(&t->failed_at),
                                  .failure = buf_bytes(&t->failure),
                                  .trace = buf_bytes(&t->trace),
                                  .took_us = clock_monotonic_us() - begun};
    t->options->told(t->options->arg, &result);
}

// ---- a file

static bool is_wanted(const struct telling *t, const struct told_story *s) {
    return !t->options->only || bytes_search(s->title, bytes_of(t->options->only)) >= 0;
}

static bool open_book(struct telling *t, struct log *log, struct err *err) {
    struct generation_options o = *t->options->usual;
    struct vm_fault fault;
    o.loop = lab_loop(t->lab);
    o.dns = NULL;
    o.clock = lab_clock(t->lab);
    o.log = log;
    o.witness = NULL;
    log->level = LOG_FAULT; // the policy is loaded here too, so that stories may use its modules; it has its
                            // say elsewhere
    t->book = generation_new(t->options->bundle, &o, err);
    if (!t->book) return false;
    log->level = LOG_INFO;
    t->loading = true;
    bool good = generation_load(t->book, load_file, t, &fault);
    t->loading = false;
    buf_release(&fault.trace);
    return good || err_set(err, "%s", fault.first);
}

static void close_book(struct telling *t) {
    if (t->book) generation_free(&t->book);
    lab_free(&t->lab);
    arena_release(&t->arena);
    free(t->stories);
    struct buf *bufs[] = {&t->failure, &t->failed_at, &t->trace, &t->facts, &t->decision};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        buf_release(bufs[i]);
}

bool story_run(const char *name, struct bytes text, const struct story_options *options, struct err *err) {
    struct telling t = {.options = options, .name = name, .text = text};
    struct lab_options lab = {.usual = options->usual, .limits = options->limits, .on_line = options->on_line, .arg = options->arg};
    struct log log;
    t.lab = lab_new(&lab, err);
    if (!t.lab) return false;
    log_open(&log, LOG_INFO, lab_clock(t.lab));
    bool good = open_book(&t, &log, err);
    for (size_t i = 0; good && i < t.count; i++)
        if (is_wanted(&t, &t.stories[i])) tell(&t, &t.stories[i]);
    close_book(&t);
    return good;
}
