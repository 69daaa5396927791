// SPDX-License-Identifier: MIT
// lab_web: the web of a lab: it answers what it was taught, and remembers what it was asked.
//
// Belongs to its lab and thread. What is taught is copied. A request that nobody taught an answer for gets one that says so: a story
// never reaches the real web.
#pragma once

#include "net/fetch.h"
#include "script/json.h"

struct lab_web;
struct lab_web *lab_web_new(void);
void lab_web_free(struct lab_web **web);
void lab_web_clear(struct lab_web *web);
// request: "GET https://api.example.com/x". answers: {"status":200,"headers":{},"body":""}, a text (why there
// is none for now), or a list of these, of which each is given once and the last from then on.
must_use bool lab_web_teach(struct lab_web *web, struct bytes request, const struct json *answers,
                            struct err *err);
// The requests since the last clear of them: JSON objects with commas between.
struct bytes lab_web_asked(const struct lab_web *web);
void lab_web_forget_asked(struct lab_web *web);
// For fetch_options.instead; web is the arg.
void lab_web_answer(void *web, const struct fetch_request *request, struct arena *arena,
                    struct fetch_answer *out);
