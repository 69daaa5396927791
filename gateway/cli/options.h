// SPDX-License-Identifier: MIT
// options: verbs and their options as rows, and how a command line is read by them.
//
// A verb is a row of a table: its name, one line of help, its options (in groups, so that verbs can share
// them), and either a function or verbs of its own (`queue list`). Help, completion and parsing are all made
// from these rows.
//
// The command line: options of GNU style (--name VALUE, --name=VALUE, -n VALUE, -nVALUE, flags joined: -vy),
// anywhere behind their verb; the tool's own options also before it; "--" ends them. Values are checked by
// kind here, so that a verb's function sees only good ones. Nothing is copied: a call lends from argv.
#pragma once

#include "base/bytes.h"
#include "base/err.h"

enum option_kind {
    OPTION_FLAG,
    OPTION_TEXT,
    OPTION_FILE,     // a text; completion offers files
    OPTION_NUMBER,   // 0 or more
    OPTION_DURATION, // "90s", "2h": seconds
    OPTION_CHOICE,   // one of `argument`, which lists them: "starttls|implicit|none"
    OPTION_PAIR,     // key=value
};

struct option_row { // a group ends with a row whose name is NULL
    const char *name;
    char letter; // 0: it has none
    enum option_kind kind;
    const char *argument; // what stands for the value in help: "ADDRESS"
    const char *help;
    bool many; // may be given more than once
};

struct call;

struct verb { // a list of verbs ends with a row whose name is NULL
    const char *name;
    const char *summary;                     // one line
    const char *arguments;                   // "ID..."; "" for none
    int least, most;                         // how many of them; most -1: any number
    const struct option_row *const *options; // groups, NULL at the end; NULL: none
    const struct verb *verbs;                // its own
    int (*run)(const struct call *call);     // gives the exit code; beside `verbs`: what it does where none of them is said
    const char *about;                       // paragraphs of the help page
    const char *examples;                    // lines "command    # what for"
    const int *exits;                        // exit codes besides 0 and 64; 0 at the end; NULL: none
};

enum { CALL_VALUES = 256 };

struct call {
    const struct verb *verb;
    char path[64]; // "queue list"
    struct {
        const struct option_row *row;
        const char *text;
        int64_t number;
    } values[CALL_VALUES];
    int value_count;
    const char **arguments; // the first argument_count of argv are reordered to stand here
    int argument_count;
};

enum options_result {
    OPTIONS_RUN,  // call.verb->run(call)
    OPTIONS_HELP, // help of call.verb was asked for
    OPTIONS_BAD,  // err says what is wrong and what would be right
};
// `tool` is the verb above all verbs. argv[0] is skipped. argv is reordered, its texts stay as they are.
enum options_result options_parse(const struct verb *tool, int argc, char **argv, struct call *call,
                                  struct err *err);

bool call_has(const struct call *call, const char *name);
const char *call_text(const struct call *call, const char *name); // the last one given; NULL: not given
int64_t call_number(const struct call *call, const char *name, int64_t unset); // NUMBER, DURATION
const char *call_nth(const struct call *call, const char *name,
                     int n); // the n-th given; NULL: there are fewer

const struct verb *verb_find(const struct verb *verbs, const char *name); // NULL: none
