// SPDX-License-Identifier: MIT
#include "cli/manual.h"

#include "base/folder.h"
#include "base/version.h"
#include "cli/help.h"
#include "cli/tool.h"
#include "cli/verbs.h"
#include "relay/conf_key.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

// ---- text ---------------------------------------------------------------------------------------

// A byte as roff shows it and never obeys it.
static void put_char(struct buf *out, char c) {
    static const struct {
        char c;
        const char *roff;
    } special[] = {{'\\', "\\e"},  {'-', "\\-"},    {'~', "\\(ti"},
                   {'^', "\\(ha"}, {'\'', "\\(aq"}, {'`', "\\(ga"}};
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (special[i].c == c) {
            buf_addz(out, special[i].roff);
            return;
        }
    buf_byte(out, c);
}

static void put_plain(struct buf *out, struct bytes text) {
    if (text.len && text.at[0] == '.') buf_addz(out, "\\&");
    for (size_t i = 0; i < text.len; i++)
        put_char(out, text.at[i]);
}

// `Words like these` are bold.
static void put_text(struct buf *out, struct bytes text) {
    bool bold = false;
    if (text.len && text.at[0] == '.') buf_addz(out, "\\&");
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] != '`') {
            put_char(out, text.at[i]);
            continue;
        }
        bold = !bold;
        buf_addz(out, bold ? "\\fB" : "\\fR");
    }
    if (bold) buf_addz(out, "\\fR");
    buf_byte(out, '\n');
}

static void put_font(struct buf *out, char font, const char *text) {
    buf_format(out, "\\f%c", font);
    put_plain(out, bytes_of(text));
    buf_addz(out, "\\fR");
}

// Paragraphs as in verb.about; lines that begin with a space stand as they are.
static void put_about(struct buf *out, const char *about) {
    bool exact = false, first = true;
    for (struct bytes rest = bytes_of(about); rest.len; first = false) {
        struct bytes line = bytes_cut(&rest, '\n');
        if (line.len == 0) continue; // a change of paragraph, as every line is one
        bool indented = line.at[0] == ' ';
        if (indented != exact)
            buf_addz(out, indented ? ".RS 4\n.nf\n" : ".fi\n.RE\n");
        else if (!indented && !first)
            buf_addz(out, ".PP\n");
        exact = indented;
        if (indented) {
            put_plain(out, bytes_skip(line, line.len > 1 && line.at[1] == ' ' ? 2 : 1));
            buf_byte(out, '\n');
        } else {
            put_text(out, line);
        }
    }
    if (exact) buf_addz(out, ".fi\n.RE\n");
}

static void put_item(struct buf *out, const char *name, const char *text) {
    buf_addz(out, ".TP\n");
    put_font(out, 'B', name);
    buf_byte(out, '\n');
    put_text(out, bytes_of(text));
}

static void put_head(struct buf *out, const char *name, char section, const char *summary) {
    char date[16] = "";
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    if (epoch) {
        time_t then = (time_t)strtoll(epoch, NULL, 10);
        struct tm tm;
        strftime(date, sizeof date, "%Y-%m-%d", gmtime_r(&then, &tm));
    }
    buf_addz(out, ".TH ");
    for (const char *c = name; *c; c++)
        put_char(out, (char)toupper((unsigned char)*c));
    buf_format(out, " %c \"%s\" \"Tidegate %s\" \"Tidegate\"\n.SH NAME\n", section, date, TIDEGATE_VERSION);
    put_plain(out, bytes_of(name));
    buf_addz(out, " \\- ");
    put_text(out, bytes_of(summary));
}

// ---- verbs --------------------------------------------------------------------------------------

static void put_options(struct buf *out, const struct verb *verb) {
    for (size_t g = 0; verb->options && verb->options[g]; g++)
        for (const struct option_row *row = verb->options[g]; row->name; row++) {
            buf_addz(out, ".TP\n");
            if (row->letter) buf_format(out, "\\fB\\-%c\\fR, ", row->letter);
            buf_addz(out, "\\fB\\-\\-");
            put_plain(out, bytes_of(row->name));
            buf_addz(out, "\\fR");
            if (row->argument) {
                buf_byte(out, ' ');
                put_font(out, 'I', row->argument);
            }
            buf_byte(out, '\n');
            put_plain(out, bytes_of(row->help));
            buf_addz(out, row->many ? " (may be repeated)\n" : "\n");
        }
}

static void put_synopsis(struct buf *out, const struct verb *tool, const char *path,
                         const struct verb *verb) {
    put_font(out, 'B', tool->name);
    buf_byte(out, ' ');
    put_font(out, 'B', path);
    if (verb->verbs) buf_addz(out, " \\fIVERB\\fR");
    if (verb->options && verb->options[0]) buf_addz(out, " [\\fIOPTION\\fR...]");
    if (verb->arguments[0]) {
        buf_byte(out, ' ');
        put_font(out, 'I', verb->arguments);
    }
    buf_byte(out, '\n');
}

static void put_exits(struct buf *out, const struct verb *verb) {
    put_item(out, "0", exit_meaning(EX_OK));
    put_item(out, "64", exit_meaning(EX_USAGE));
    for (const int *code = verb->exits; code && *code; code++) {
        char number[16];
        snprintf(number, sizeof number, "%d", *code);
        put_item(out, number, exit_meaning(*code));
    }
}

static void put_below(struct buf *out, const struct verb *tool, const struct verb *above) {
    buf_addz(out, ".SH VERBS\n");
    for (const struct verb *v = above->verbs; v->name; v++) {
        char path[64];
        snprintf(path, sizeof path, "%s %s", above->name, v->name);
        buf_addz(out, ".SS ");
        put_plain(out, bytes_of(v->name));
        buf_addz(out, ": ");
        put_text(out, bytes_of(v->summary));
        put_synopsis(out, tool, path, v);
        buf_addz(out, ".PP\n");
        put_about(out, v->about);
        put_options(out, v);
        if (v->examples) {
            buf_addz(out, ".PP\nExamples:\n");
            put_about(out, v->examples);
        }
        buf_addz(out, ".PP\nExit status:\n");
        put_exits(out, v);
    }
}

static const char see_also[] =
    ".SH SEE ALSO\n\\fBtidegate\\fR(1), \\fBtidegate.conf\\fR(5), \\fBtidegate\\-policy\\fR(7)\n";

void manual_verb(const struct verb *tool, const struct verb *verb, struct buf *out) {
    char name[64];
    snprintf(name, sizeof name, "%s-%s", tool->name, verb->name);
    put_head(out, name, '1', verb->summary);
    buf_addz(out, ".SH SYNOPSIS\n");
    put_synopsis(out, tool, verb->name, verb);
    buf_addz(out, ".SH DESCRIPTION\n");
    put_about(out, verb->about);
    if (verb->verbs) put_below(out, tool, verb);
    buf_addz(out, ".SH OPTIONS\n");
    put_options(out, verb);
    put_options(out, tool);
    put_item(out, "-h, --help", "this page, shorter");
    buf_addz(out, ".SH EXAMPLES\n");
    put_about(out, verb->examples);
    if (!verb->verbs) {
        buf_addz(out, ".SH EXIT STATUS\n");
        put_exits(out, verb);
    }
    buf_addz(out, see_also);
}

void manual_tool(const struct verb *tool, struct buf *out) {
    put_head(out, tool->name, '1', tool->summary);
    buf_addz(out, ".SH SYNOPSIS\n");
    put_font(out, 'B', tool->name);
    buf_addz(out, " [\\fIOPTION\\fR...] \\fIVERB\\fR [\\fIARGUMENT\\fR...]\n.SH DESCRIPTION\n");
    put_about(out, tool->about);
    buf_addz(out, ".SH VERBS\n");
    for (const struct verb *v = tool->verbs; v->name; v++) {
        char page[64];
        snprintf(page, sizeof page, "%s-%s", tool->name, v->name);
        buf_addz(out, ".TP\n");
        put_font(out, 'B', page);
        buf_addz(out, "(1)\n");
        put_text(out, bytes_of(v->summary));
    }
    buf_addz(out, ".SH OPTIONS OF EVERY VERB\n");
    put_options(out, tool);
    put_item(out, "-h, --help", "a verb's page");
    buf_addz(out, ".SH FILES\n");
    put_item(out, "/etc/tidegate/tidegate.lua",
             "the configuration of an installed gateway: `tidegate.conf`(5)");
    put_item(out, "/etc/tidegate/scripts/policy.lua", "what it does with mail: `tidegate-policy`(7)");
    buf_addz(out, see_also);
}

// ---- the configuration --------------------------------------------------------------------------

static void put_keys(struct buf *out, const struct conf_key *keys) {
    for (const struct conf_key *key = keys; key->name; key++) {
        struct buf kind = {0}, unset = {0};
        conf_key_kind(key, &kind);
        conf_key_default(key, &unset);
        buf_addz(out, ".TP\n");
        put_font(out, 'B', key->name);
        buf_addz(out, " = ");
        put_font(out, 'I', buf_z(&kind));
        buf_byte(out, '\n');
        put_text(out, bytes_of(key->help));
        buf_addz(out, ".br\nDefault: ");
        put_plain(out, buf_bytes(&unset));
        buf_addz(out, key->fixed ? ". A change takes a restart.\n" : ".\n");
        buf_release(&kind);
        buf_release(&unset);
    }
}

void manual_conf(struct buf *out) {
    put_head(out, "tidegate.conf", '5', "the configuration of the outbound mail gateway tidegate");
    buf_addz(out, ".SH SYNOPSIS\n.I /etc/tidegate/tidegate.lua\n.SH DESCRIPTION\n");
    put_about(out, "The file returns one Lua table of values. It runs in an empty environment: nothing can "
                   "be called, so it stays what it "
                   "looks like. A key that is not on this page, a value of the wrong kind or out of bounds "
                   "is a fault; `tidegate check` "
                   "lists all of them, and `tidegate reload` brings changes in.\n\n"
                   "Sizes are numbers of bytes or texts (\"50MiB\", \"1GB\"), durations numbers of seconds "
                   "or texts (\"90s\", \"1h30m\", "
                   "\"5d\"). Relative paths start at the file's own folder, or above it where that is called "
                   "conf. A name with a dot, such "
                   "as `store.path`, is a key of a table: store = { path = \"...\" }.");
    buf_addz(out, ".SH KEYS\n");
    put_keys(out, conf_keys);
    buf_addz(out, ".SH KEYS OF A LISTENER\n");
    put_keys(out, conf_listener_keys);
    buf_addz(out, see_also);
}

// ---- files --------------------------------------------------------------------------------------

static bool write_page(const struct call *call, const char *folder, const char *name, const struct buf *page,
                       int *code) {
    struct buf path = {0};
    buf_format(&path, "%s/%s", folder, name);
    FILE *file = fopen(buf_z(&path), "we");
    bool good = file && fwrite(page->at, 1, page->len, file) == page->len;
    if (file) good = fclose(file) == 0 && good;
    if (!good) *code = tool_fail(call, EX_CANTCREAT, "%s: cannot be written: %m", buf_z(&path));
    buf_release(&path);
    return good;
}

int manual_write(const struct call *call, const char *folder) {
    int code = EX_OK;
    struct buf page = {0};
    struct err err;
    if (!folder_make(folder, &err)) return tool_fail(call, EX_CANTCREAT, "%s", err.text);
    manual_tool(&verbs_tool, &page);
    bool good = write_page(call, folder, "tidegate.1", &page, &code);
    for (const struct verb *v = verbs_tool.verbs; good && v->name; v++) {
        char name[80];
        snprintf(name, sizeof name, "tidegate-%s.1", v->name);
        buf_reset(&page);
        manual_verb(&verbs_tool, v, &page);
        good = write_page(call, folder, name, &page, &code);
    }
    buf_reset(&page);
    manual_conf(&page);
    if (good) write_page(call, folder, "tidegate.conf.5", &page, &code);
    buf_release(&page);
    return code;
}
