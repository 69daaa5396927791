// SPDX-License-Identifier: MIT
// story_inside: what story and bind_story share: the file that is being told. For these two rooms only.
#pragma once

#include "policy/story.h"
#include "policy/wall.h"

struct told_story {
    struct bytes title, told_at;
    int body; // registry reference
};

struct telling {
    const struct story_options *options;
    struct lab *lab;
    struct generation *book; // the Lua state of the file
    const char *name;
    struct bytes text;
    struct arena arena;
    struct told_story *stories;
    size_t count;
    bool loading; // stories may be named
    struct told_story *current;
    bool failed; // the current one
    struct buf failure, failed_at, trace;
    struct buf facts, decision; // scratch: a Lua error leaves by longjmp
};

void story_bind(lua_State *l, struct telling *t); // core.story, for require
