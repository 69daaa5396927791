// SPDX-License-Identifier: MIT
// completion: a script for bash or zsh made from the table of verbs, so that it knows every verb, option and choice
// there is. The tables in it are the same for both; what reads the line and offers the words is each shell's own.

#include "cli/tool.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <sysexits.h>

static void put_words(struct buf *out, const struct verb *verb) {
    for (const struct verb *v = verb->verbs; v && v->name; v++)
        buf_format(out, "%s ", v->name);
    const struct option_row *const *const both[] = {verb->options,
                                                    verb == &verbs_tool ? NULL : verbs_tool.options};
    for (int i = 0; i < 2; i++)
        for (int g = 0; both[i] && both[i][g]; g++)
            for (const struct option_row *row = both[i][g]; row->name; row++)
                buf_format(out, "--%s ", row->name);
    buf_addz(out, "--help");
}

// One case for each verb: the words that may follow it.
static void put_verb_case(struct buf *out, const char *path, const struct verb *verb) {
    buf_format(out, "    '%s') choices='", path);
    put_words(out, verb);
    buf_addz(out, "' ;;\n");
    for (const struct verb *v = verb->verbs; v && v->name; v++) {
        struct buf longer = {0};
        buf_format(&longer, "%s%s%s", path, path[0] ? " " : "", v->name);
        put_verb_case(out, buf_z(&longer), v);
        buf_release(&longer);
    }
}

static void put_choices(struct buf *out, const char *choices) {
    for (struct bytes rest = bytes_of(choices); rest.len;) {
        struct bytes one = bytes_cut(&rest, '|');
        buf_format(out, "%.*s ", BYTES_FMT(one));
    }
}

// What the value of an option may be. The tool's own options may follow any verb.
static void put_value_case(struct buf *out, const char *path, const struct option_row *row, bool anywhere) {
    if (anywhere)
        buf_format(out, "    *' --%s') value=1", row->name);
    else
        buf_format(out, "    '%s --%s') value=1", path, row->name);
    if (row->kind == OPTION_FILE) buf_addz(out, " files=1");
    if (row->kind == OPTION_CHOICE) {
        buf_addz(out, " choices='");
        put_choices(out, row->argument);
        buf_byte(out, '\'');
    }
    buf_addz(out, " ;;\n");
}

static void put_value_cases(struct buf *out, const char *path, const struct verb *verb) {
    for (int g = 0; verb->options && verb->options[g]; g++)
        for (const struct option_row *row = verb->options[g]; row->name; row++)
            if (row->kind != OPTION_FLAG) put_value_case(out, path, row, verb == &verbs_tool);
    for (const struct verb *v = verb->verbs; v && v->name; v++) {
        struct buf longer = {0};
        buf_format(&longer, "%s%s%s", path, path[0] ? " " : "", v->name);
        put_value_cases(out, buf_z(&longer), v);
        buf_release(&longer);
    }
}

// From the words before (the shell's `word`, one by one) the path of verbs.
static void put_path_case(struct buf *out) {
    buf_addz(out, "    case \"${path:+$path }$word\" in\n      ");
    const char *bar = "";
    for (const struct verb *v = verbs_tool.verbs; v->name; v++, bar = "|") {
        buf_format(out, "%s'%s'", bar, v->name);
        for (const struct verb *w = v->verbs; w && w->name; w++)
            buf_format(out, "|'%s %s'", v->name, w->name);
    }
    buf_addz(out, ") path=\"${path:+$path }$word\" ;;\n"
                  "    esac\n");
}

// Sets value, files and choices from the path and the word before the cursor.
static void put_tables(struct buf *out) {
    buf_addz(out, "  case \"$path $prev\" in\n");
    put_value_cases(out, "", &verbs_tool);
    buf_addz(out, "  esac\n"
                  "  if [[ -z $value ]]; then case \"$path\" in\n");
    put_verb_case(out, "", &verbs_tool);
    buf_addz(out, "  esac; fi\n");
}

static void put_bash(struct buf *out) {
    buf_addz(out, "# bash completion of tidegate, made by `tidegate completion bash`\n"
                  "_tidegate() {\n"
                  "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path= choices= "
                  "value= files= i word\n"
                  "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
                  "    word=${COMP_WORDS[i]}\n");
    put_path_case(out);
    buf_addz(out, "  done\n");
    put_tables(out);
    buf_addz(out, "  if [[ -n $files ]]; then COMPREPLY=($(compgen -f -- \"$cur\"))\n"
                  "  else COMPREPLY=($(compgen -W \"$choices\" -- \"$cur\")); fi\n"
                  "}\n"
                  "complete -F _tidegate tidegate build/tidegate ./build/tidegate\n");
}

// `path` is tied to $PATH in zsh, unless a function has hidden that (-h). A file of $fpath is its function's body.
static void put_zsh(struct buf *out) {
    buf_addz(out, "#compdef tidegate\n"
                  "# zsh completion of tidegate, made by `tidegate completion zsh`\n"
                  "_tidegate() {\n"
                  "  local -h path=\n"
                  "  local prev=$words[CURRENT-1] choices= value= files= word\n"
                  "  for word in \"${(@)words[2,CURRENT-1]}\"; do\n");
    put_path_case(out);
    buf_addz(out, "  done\n");
    put_tables(out);
    buf_addz(out, "  if [[ -n $files ]]; then _files\n"
                  "  else compadd -- ${=choices}; fi\n"
                  "}\n"
                  "if [[ $funcstack[1] = _tidegate ]]; then _tidegate \"$@\"; else compdef _tidegate tidegate; fi\n");
}

int verb_completion(const struct call *call) {
    bool zsh = strcmp(call->arguments[0], "zsh") == 0;
    if (!zsh && strcmp(call->arguments[0], "bash") != 0)
        return tool_fail(call, EX_USAGE, "'%s' is not a shell it can speak for (bash, zsh)", call->arguments[0]);
    struct buf out = {0};
    if (zsh) put_zsh(&out);
    else put_bash(&out);
    fwrite(out.at, 1, out.len, stdout);
    buf_release(&out);
    return EX_OK;
}
