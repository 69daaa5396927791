// SPDX-License-Identifier: MIT
#include "cli/help.h"

#include "cli/manual.h"
#include "cli/tool.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <sysexits.h>

enum { WIDTH = 92, HELP_COLUMN = 30 };

const char *exit_meaning(int code) {
    switch (code) {
    case EX_OK:
        return "done";
    case 1:
        return "no: a story failed, what was asked for is not there, or something should be looked at";
    case 2:
        return "something is wrong with what was looked at";
    case EX_USAGE:
        return "the command line is wrong, or a confirmation is missing";
    case EX_DATAERR:
        return "refused for good: the message, an address or a file is not as it must be";
    case EX_NOINPUT:
        return "a file that was named cannot be read";
    case EX_UNAVAILABLE:
        return "no gateway or server answers";
    case EX_SOFTWARE:
        return "a mistake in Tidegate itself";
    case EX_OSERR:
        return "the system has none left of something";
    case EX_CANTCREAT:
        return "a file cannot be written";
    case EX_IOERR:
        return "reading or writing failed on the way";
    case EX_TEMPFAIL:
        return "refused for now: try again later";
    case EX_NOPERM:
        return "not allowed: the login was refused, or the file's rights forbid it";
    case EX_CONFIG:
        return "the configuration or the scripts have faults, all listed";
    default:
        return "failed";
    }
}

static void spaces(struct buf *out, size_t n) {
    while (n--)
        buf_byte(out, ' ');
}

void help_wrap(struct buf *out, struct bytes text, size_t indent, size_t width) {
    size_t column = indent;
    bool first = true;
    while (text.len) {
        struct bytes word = bytes_cut(&text, ' ');
        if (word.len == 0) continue;
        if (!first && column + 1 + word.len > width) {
            buf_byte(out, '\n');
            spaces(out, indent);
            column = indent;
        } else if (!first) {
            buf_byte(out, ' ');
            column++;
        }
        buf_add(out, word);
        column += word.len;
        first = false;
    }
    buf_byte(out, '\n');
}

// Paragraphs, with an empty line between; a line that begins with a space is left as it is.
static void put_about(struct buf *out, const char *about) {
    for (struct bytes rest = bytes_of(about); rest.len;) {
        struct bytes line = bytes_cut(&rest, '\n');
        if (line.len == 0) {
            buf_byte(out, '\n');
        } else if (line.at[0] == ' ') {
            buf_format(out, "  %.*s\n", BYTES_FMT(line));
        } else {
            spaces(out, 2);
            help_wrap(out, line, 2, WIDTH);
        }
    }
}

static void put_row(struct buf *out, const char *left, const char *text) {
    size_t used = 2 + strlen(left);
    buf_format(out, "  %s", left);
    if (used + 2 > HELP_COLUMN) {
        buf_byte(out, '\n');
        used = 0;
    }
    spaces(out, HELP_COLUMN - used);
    help_wrap(out, bytes_of(text), HELP_COLUMN, WIDTH);
}

static void put_option(struct buf *out, const struct option_row *row) {
    char letter[8] = "    ";
    if (row->letter) snprintf(letter, sizeof letter, "-%c, ", row->letter);
    struct buf left = {0}, text = {0};
    buf_format(&left, "%s--%s%s%s", letter, row->name, row->argument ? " " : "",
               row->argument ? row->argument : "");
    buf_format(&text, "%s%s", row->help, row->many ? " (may be repeated)" : "");
    put_row(out, buf_z(&left), buf_z(&text));
    buf_release(&left);
    buf_release(&text);
}

static void put_options(struct buf *out, const struct verb *verb) {
    for (size_t g = 0; verb->options && verb->options[g]; g++)
        for (const struct option_row *row = verb->options[g]; row->name; row++)
            put_option(out, row);
}

static void put_verbs(struct buf *out, const struct verb *verbs) {
    for (const struct verb *v = verbs; v->name; v++) {
        struct buf left = {0};
        buf_format(&left, "%s%s%s", v->name, v->arguments[0] ? " " : "", v->arguments);
        put_row(out, buf_z(&left), v->summary);
        buf_release(&left);
    }
}

static void put_exits(struct buf *out, const struct verb *verb) {
    buf_addz(out, "\nEXIT CODES\n");
    put_row(out, "0", exit_meaning(EX_OK));
    put_row(out, "64", exit_meaning(EX_USAGE));
    for (const int *code = verb->exits; code && *code; code++) {
        char number[16];
        snprintf(number, sizeof number, "%d", *code);
        put_row(out, number, exit_meaning(*code));
    }
}

void help_tool(const struct verb *tool, struct buf *out) {
    buf_format(out, "%s: %s\n\nUSAGE\n  %s [OPTION...] VERB [ARGUMENT...]\n\nVERBS\n", tool->name,
               tool->summary, tool->name);
    put_verbs(out, tool->verbs);
    buf_addz(out, "\nOPTIONS OF EVERY VERB\n");
    put_options(out, tool);
    put_row(out, "-h, --help", "this page, or a verb's");
    buf_byte(out, '\n');
    put_about(out, tool->about);
}

void help_verb(const struct verb *tool, const struct verb *verb, const char *path, struct buf *out) {
    buf_format(out, "%s %s: %s\n\nUSAGE\n  %s %s", tool->name, path, verb->summary, tool->name, path);
    if (verb->verbs) buf_addz(out, verb->run ? " [VERB]" : " VERB");
    if (verb->options && verb->options[0]) buf_addz(out, " [OPTION...]");
    if (verb->arguments[0]) buf_format(out, " %s", verb->arguments);
    buf_addz(out, "\n\n");
    put_about(out, verb->about);
    if (verb->verbs) {
        buf_addz(out, "\nVERBS\n");
        put_verbs(out, verb->verbs);
    }
    buf_addz(out, "\nOPTIONS\n");
    put_options(out, verb);
    put_options(out, tool);
    put_row(out, "-h, --help", "this page");
    buf_addz(out, "\nEXAMPLES\n");
    put_about(out, verb->examples);
    put_exits(out, verb);
}

void help_print(const struct call *call) {
    struct buf page = {0};
    if (call->verb == &verbs_tool)
        help_tool(&verbs_tool, &page);
    else
        help_verb(&verbs_tool, call->verb, call->path, &page);
    fwrite(page.at, 1, page.len, stdout);
    buf_release(&page);
}

int verb_help(const struct call *call) {
    struct call about = {.verb = &verbs_tool};
    if (call_has(call, "manual")) return manual_write(call, call_text(call, "manual"));
    for (int i = 0; i < call->argument_count; i++) {
        const struct verb *verb = verb_find(about.verb->verbs, call->arguments[i]);
        if (!verb)
            return tool_fail(call, EX_USAGE, "there is no '%s' (`tidegate help` lists what there is)",
                             call->arguments[i]);
        size_t used = strlen(about.path);
        snprintf(about.path + used, sizeof about.path - used, "%s%s", used ? " " : "", verb->name);
        about.verb = verb;
    }
    help_print(&about);
    return EX_OK;
}
