// SPDX-License-Identifier: MIT
// verbs: the one table of what `tidegate` can do; help, completion and parsing are made from it.
//
// Each function lives in the file that bears its verb's name, gets a checked call and gives the exit code.
#pragma once

#include "cli/options.h"

extern const struct verb verbs_tool; // the verb above all verbs: its `verbs` are the table

int verb_run(const struct call *call);
int verb_check(const struct call *call);
int verb_test(const struct call *call);
int verb_simulate(const struct call *call);
int verb_replay(const struct call *call);
int verb_explain(const struct call *call);
int verb_classify(const struct call *call);
int verb_send(const struct call *call);
int verb_status(const struct call *call);
int verb_top(const struct call *call);
int verb_lane_list(const struct call *call);
int verb_lane_show(const struct call *call);
int verb_lane_change(const struct call *call);
int verb_identity_show(const struct call *call);
int verb_shelf_list(const struct call *call);
int verb_shelf_get(const struct call *call);
int verb_shelf_set(const struct call *call);
int verb_shelf_delete(const struct call *call);
int verb_warmup(const struct call *call);
int verb_identity(const struct call *call);
int verb_limit(const struct call *call);
int verb_queue_list(const struct call *call);
int verb_queue_show(const struct call *call);
int verb_queue_change(const struct call *call); // hold, release, retry, bounce, delete
int verb_suppression_change(const struct call *call); // add, remove
int verb_suppression_has(const struct call *call);
int verb_suppression_list(const struct call *call);
int verb_suppression_import(const struct call *call);
int verb_suppression_export(const struct call *call);
int verb_reload(const struct call *call);
int verb_rollback(const struct call *call);
int verb_drain(const struct call *call);
int verb_resume(const struct call *call);
int verb_log(const struct call *call);
int verb_doctor(const struct call *call);
int verb_key_new(const struct call *call);
int verb_key_show(const struct call *call);
int verb_passwd(const struct call *call);
int verb_completion(const struct call *call);
int verb_version(const struct call *call);
int verb_help(const struct call *call);
