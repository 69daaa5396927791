// SPDX-License-Identifier: MIT
// story: files of stories, which say what a policy ought to do, told one by one. [script/vm]
//
// A file is Lua with the shipped library, the operator's modules and `require "story"` (stdlib/story.lua) at
// hand; it runs once and names its stories. Each is then told in a fresh lab (lab.h): the policy is asked
// through the very hooks that live mail asks, in a Lua state of its own. One thread.
#pragma once

#include "policy/lab.h"

struct story_result { // lent for the callback
    struct bytes title;
    struct bytes told_at; // "policy.story.lua:12"
    bool passed;
    struct bytes failed_at; // the line of the story, "" when it is not known
    struct bytes failure;   // lines of text; the first says it in short
    struct bytes trace;     // JSON list: the decisions up to there, oldest first; "" when there are none
    int64_t took_us;
};

struct story_options {
    struct bundle *bundle; // the policy
    const struct generation_options *usual;
    struct lab_limits limits; // lab.h
    void (*on_line)(void *arg, const char *file, int line); // of the policy; NULL: nobody counts
    const char *only;                                       // stories whose title has this in it; NULL: all
    void (*told)(void *arg, const struct story_result *result);
    void *arg;
};
// `name` is what results call the file. False: the file does not load; nothing was told.
must_use bool story_run(const char *name, struct bytes text, const struct story_options *options,
                        struct err *err);
