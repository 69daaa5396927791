// SPDX-License-Identifier: MIT
#include "cli/options.h"

#include "base/nearest.h"
#include "base/quantity.h"

#include <stdio.h>

const struct verb *verb_find(const struct verb *verbs, const char *name) {
    for (const struct verb *v = verbs; v && v->name; v++)
        if (strcmp(v->name, name) == 0) return v;
    return NULL;
}

// ---- rows ---------------------------------------------------------------------------------------

// The verb's rows, then the tool's: walks on from *at of group *group.
struct walk {
    const struct verb *verbs[2];
    int verb, group, at;
};

static const struct option_row *next_row(struct walk *w) {
    for (; w->verb < 2; w->verb++, w->group = w->at = 0) {
        const struct verb *v = w->verbs[w->verb];
        if (!v || !v->options || (w->verb == 1 && v == w->verbs[0])) continue;
        for (; v->options[w->group]; w->group++, w->at = 0)
            if (v->options[w->group][w->at].name) return &v->options[w->group][w->at++];
    }
    return NULL;
}

static const struct option_row *find_long(const struct verb *verb, const struct verb *tool, struct bytes name,
                                          struct nearest *near) {
    struct walk w = {.verbs = {verb, tool}};
    const struct option_row *row;
    while ((row = next_row(&w))) {
        if (bytes_equal(bytes_of(row->name), name)) return row;
        nearest_offer(near, row->name);
    }
    return NULL;
}

static const struct option_row *find_letter(const struct verb *verb, const struct verb *tool, char letter) {
    struct walk w = {.verbs = {verb, tool}};
    const struct option_row *row;
    while ((row = next_row(&w)))
        if (row->letter == letter) return row;
    return NULL;
}

// ---- values -------------------------------------------------------------------------------------

static bool is_choice(const char *choices, const char *text) {
    for (struct bytes rest = bytes_of(choices); rest.len;)
        if (bytes_equal(bytes_cut(&rest, '|'), bytes_of(text))) return true;
    return false;
}

static bool check_value(const struct option_row *row, const char *text, int64_t *number, struct err *err) {
    uint64_t n = 0;
    const char *equals;
    switch (row->kind) {
    case OPTION_NUMBER:
        if (!bytes_to_u64(bytes_of(text), &n) || n > INT64_MAX)
            return err_set(err, "--%s: '%.60s' is not a number", row->name, text);
        *number = (int64_t)n;
        return true;
    case OPTION_DURATION:
        if (quantity_duration(bytes_of(text), number)) return true;
        return err_set(err, "--%s: '%.60s' is not a duration (say 90s, 30m, 2h or 5d)", row->name, text);
    case OPTION_CHOICE:
        if (is_choice(row->argument, text)) return true;
        return err_set(err, "--%s: '%.60s' is not one of %s", row->name, text, row->argument);
    case OPTION_PAIR:
        equals = strchr(text, '=');
        if (equals && equals != text) return true;
        return err_set(err, "--%s: '%.60s' is not %s", row->name, text, row->argument);
    default:
        return true;
    }
}

static bool add_value(struct call *call, const struct option_row *row, const char *text, struct err *err) {
    if (!row->many && call_has(call, row->name)) return err_set(err, "--%s is given twice", row->name);
    if (call->value_count == CALL_VALUES) return err_set(err, "more than %d options", CALL_VALUES);
    int64_t number = 0;
    if (!check_value(row, text, &number, err)) return false;
    call->values[call->value_count].row = row;
    call->values[call->value_count].text = text;
    call->values[call->value_count].number = number;
    call->value_count++;
    return true;
}

bool call_has(const struct call *call, const char *name) {
    return call_nth(call, name, 0) != NULL;
}

const char *call_nth(const struct call *call, const char *name, int n) {
    for (int i = 0; i < call->value_count; i++)
        if (strcmp(call->values[i].row->name, name) == 0 && n-- == 0) return call->values[i].text;
    return NULL;
}

const char *call_text(const struct call *call, const char *name) {
    const char *last = NULL;
    for (int i = 0; i < call->value_count; i++)
        if (strcmp(call->values[i].row->name, name) == 0) last = call->values[i].text;
    return last;
}

int64_t call_number(const struct call *call, const char *name, int64_t unset) {
    for (int i = 0; i < call->value_count; i++)
        if (strcmp(call->values[i].row->name, name) == 0) unset = call->values[i].number;
    return unset;
}

// ---- the command line ---------------------------------------------------------------------------

struct parse {
    const struct verb *tool;
    struct call *call;
    char **argv;
    int argc, at;
    bool only_arguments; // behind "--"
    bool help;
    struct err *err;
};

static bool take_value(struct parse *p, const struct option_row *row, const char *attached) {
    if (row->kind == OPTION_FLAG) {
        if (attached) return err_set(p->err, "--%s takes no value", row->name);
        return add_value(p->call, row, "", p->err);
    }
    if (!attached && p->at == p->argc)
        return err_set(p->err, "--%s needs a value: --%s %s", row->name, row->name, row->argument);
    return add_value(p->call, row, attached ? attached : p->argv[p->at++], p->err);
}

static bool take_long(struct parse *p, const char *text) {
    const char *equals = strchr(text, '=');
    struct bytes name = equals ? bytes_range(text, (size_t)(equals - text)) : bytes_of(text);
    if (bytes_equal(name, BYTES("help"))) return p->help = true;
    struct nearest near = nearest_to(name);
    nearest_offer(&near, "help");
    const struct option_row *row = find_long(p->call->verb, p->tool, name, &near);
    if (row) return take_value(p, row, equals ? equals + 1 : NULL);
    name = bytes_first(name, 60);
    if (!near.name) return err_set(p->err, "unknown option '--%.*s'", BYTES_FMT(name));
    return err_set(p->err, "unknown option '--%.*s' (did you mean '--%s'?)", BYTES_FMT(name), near.name);
}

static bool take_letters(struct parse *p, const char *text) {
    for (; *text; text++) {
        if (*text == 'h') return p->help = true;
        const struct option_row *row = find_letter(p->call->verb, p->tool, *text);
        if (!row) return err_set(p->err, "unknown option '-%c'", *text);
        if (row->kind != OPTION_FLAG) return take_value(p, row, text[1] ? text + 1 : NULL);
        if (!take_value(p, row, NULL)) return false;
    }
    return true;
}

static void enter_verb(struct call *call, const struct verb *verb) {
    call->verb = verb;
    size_t used = strlen(call->path);
    snprintf(call->path + used, sizeof call->path - used, "%s%s", used ? " " : "", verb->name);
}

static bool take_word(struct parse *p, char *word) {
    const struct verb *verbs = p->call->verb->verbs;
    if (!verbs) {
        p->call->arguments[p->call->argument_count++] = word;
        return true;
    }
    const struct verb *found = verb_find(verbs, word);
    if (found) {
        enter_verb(p->call, found);
        return true;
    }
    struct nearest near = nearest_to(bytes_of(word));
    for (const struct verb *v = verbs; v->name; v++)
        nearest_offer(&near, v->name);
    struct buf hint = {0};
    nearest_hint(&near, &hint);
    err_set(p->err, "there is no '%.60s'%s", word, buf_z(&hint));
    buf_release(&hint);
    return false;
}

static bool take_one(struct parse *p) {
    char *word = p->argv[p->at++];
    if (!p->only_arguments && strcmp(word, "--") == 0) return p->only_arguments = true;
    // "-" alone is an argument, and so is what cannot be letters: a lane's key "-|direct:...".
    if (p->only_arguments || word[0] != '-' || word[1] == 0 || word[1] == '|') return take_word(p, word);
    return word[1] == '-' ? take_long(p, word + 2) : take_letters(p, word + 1);
}

static bool check_count(const struct call *call, struct err *err) {
    const struct verb *v = call->verb;
    if (v->verbs && !v->run)
        return err_set(err, "say what to do: one of those that `%s --help` lists",
                       call->path[0] ? call->path : "tidegate");
    if (v->verbs) return true;
    if (call->argument_count < v->least) return err_set(err, "%s is missing", v->arguments);
    if (v->most >= 0 && call->argument_count > v->most)
        return err_set(err, "'%.60s' is too much%s%s", call->arguments[v->most], v->most ? ": it takes " : "",
                       v->arguments);
    return true;
}

enum options_result options_parse(const struct verb *tool, int argc, char **argv, struct call *call,
                                  struct err *err) {
    *call = (struct call){.verb = tool, .arguments = (const char **)argv};
    // Arguments are gathered at the front of argv: never further on than what is being read.
    struct parse p = {
        .tool = tool, .call = call, .argv = argv, .argc = argc, .at = argc > 0 ? 1 : 0, .err = err};
    while (p.at < argc && !p.help)
        if (!take_one(&p)) return OPTIONS_BAD;
    if (p.help) return OPTIONS_HELP;
    return check_count(call, err) ? OPTIONS_RUN : OPTIONS_BAD;
}
