// SPDX-License-Identifier: MIT
#include "cli/chart.h"

#include <stdio.h>

enum { WIDTH = 960, LEFT = 76, RIGHT = 20, TOP = 62, BARS = 300, GAP = 40, BELOW = 90, LEGEND_ROW = 20, LEGEND_COLUMN = 215, BAR_MOST = 60 };

// Told apart by people who see few colours, too: Okabe and Ito, "Color Universal Design".
static const char *const colours[] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999933", "#882255", "#44aa99", "#777777"};
enum { COLOURS = sizeof colours / sizeof colours[0] };

uint64_t chart_step(uint64_t most, int marks) {
    uint64_t step = 1;
    for (int i = 0; most / step >= (uint64_t)marks; i++) step = i % 3 == 1 ? step / 2 * 5 : step * 2; // 1 2 5 10 20 50
    return step;
}

static void put_text(struct buf *out, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '<': buf_addz(out, "&lt;"); break;
        case '>': buf_addz(out, "&gt;"); break;
        case '&': buf_addz(out, "&amp;"); break;
        case '"': buf_addz(out, "&quot;"); break;
        default:
            if ((unsigned char)*text >= ' ') buf_byte(out, *text);
        }
    }
}

static void text_at(struct buf *out, double x, double y, const char *attributes, const char *text) {
    buf_format(out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, attributes);
    put_text(out, text);
    buf_addz(out, "</text>\n");
}

static uint64_t stack_of(const struct chart *c, size_t column) {
    uint64_t sum = 0;
    for (size_t i = 0; i < c->stack_count; i++) sum += c->stacks[i].values[column];
    return sum;
}

static uint64_t most_of(const struct chart *c, bool below) {
    uint64_t most = 1;
    for (size_t i = 0; i < c->column_count; i++) {
        uint64_t value = below ? c->below.values[i] : stack_of(c, i);
        if (value > most) most = value;
    }
    return most;
}

// The axis to the left with lines across. Gives what its top stands for.
static uint64_t draw_axis(struct buf *out, int top, int height, uint64_t most, int marks, const char *label) {
    uint64_t step = chart_step(most, marks), high = (most + step - 1) / step * step;
    for (uint64_t at = 0; at <= high; at += step) {
        double y = top + height - (double)at / (double)high * height;
        char text[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)at);
        buf_format(out, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\"/>\n", LEFT, y, WIDTH - RIGHT, y, at ? "#e4e4e4" : "#888");
        text_at(out, LEFT - 8, y + 4, "text-anchor=\"end\" fill=\"#555\"", text);
    }
    char place[80];
    snprintf(place, sizeof place, "text-anchor=\"middle\" fill=\"#555\" transform=\"rotate(-90 16 %d)\"", top + height / 2);
    text_at(out, 16, top + height / 2, place, label);
    return high;
}

static double slot(const struct chart *c) { return (double)(WIDTH - LEFT - RIGHT) / (double)(c->column_count ? c->column_count : 1); }

static double bar_width(const struct chart *c) {
    double width = slot(c) * 0.78;
    return width > BAR_MOST ? BAR_MOST : width;
}

static void bar(struct buf *out, double x, double width, double y, double height, const char *colour, const char *column, const char *name, uint64_t value) {
    if (!value) return;
    buf_format(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"><title>", x, y, width, height, colour);
    put_text(out, column);
    buf_byte(out, ' ');
    put_text(out, name);
    buf_format(out, ": %llu</title></rect>\n", (unsigned long long)value);
}

static void draw_bars(const struct chart *c, struct buf *out, uint64_t high) {
    double width = bar_width(c);
    for (size_t i = 0; i < c->column_count; i++) {
        double x = LEFT + slot(c) * ((double)i + 0.5) - width / 2, y = TOP + BARS;
        for (size_t k = 0; k < c->stack_count; k++) {
            double height = (double)c->stacks[k].values[i] / (double)high * BARS;
            bar(out, x, width, y -= height, height, colours[k % COLOURS], c->columns[i], c->stacks[k].name, c->stacks[k].values[i]);
        }
    }
}

static void draw_below(const struct chart *c, struct buf *out) {
    int top = TOP + BARS + GAP;
    double width = bar_width(c);
    uint64_t high = draw_axis(out, top, BELOW, most_of(c, true), 3, c->below.name);
    for (size_t i = 0; i < c->column_count; i++) {
        double height = (double)c->below.values[i] / (double)high * BELOW;
        bar(out, LEFT + slot(c) * ((double)i + 0.5) - width / 2, width, top + BELOW - height, height, "#b0b0b0", c->columns[i], c->below.name, c->below.values[i]);
    }
}

// As many names as have room.
static void name_columns(const struct chart *c, struct buf *out) {
    size_t every = (size_t)(42 / slot(c)) + 1;
    for (size_t i = 0; i < c->column_count; i += every)
        text_at(out, LEFT + slot(c) * ((double)i + 0.5), TOP + BARS + 18, "text-anchor=\"middle\" fill=\"#555\"", c->columns[i]);
}

static void draw_legend(const struct chart *c, struct buf *out, int top) {
    int columns = (WIDTH - LEFT) / LEGEND_COLUMN;
    for (size_t i = 0; i < c->stack_count; i++) {
        int x = LEFT + (int)i % columns * LEGEND_COLUMN, y = top + (int)i / columns * LEGEND_ROW;
        buf_format(out, "<rect x=\"%d\" y=\"%d\" width=\"12\" height=\"12\" fill=\"%s\"/>\n", x, y, colours[i % COLOURS]);
        text_at(out, x + 18, y + 10, "fill=\"#222\"", c->stacks[i].name);
    }
}

void chart_draw(const struct chart *c, struct buf *out) {
    int rows = (int)(c->stack_count + (WIDTH - LEFT) / LEGEND_COLUMN - 1) / ((WIDTH - LEFT) / LEGEND_COLUMN);
    int legend = TOP + BARS + GAP + (c->below.values ? BELOW + 24 : 0), height = legend + rows * LEGEND_ROW + 10;
    buf_format(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
                    "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
               WIDTH, height, WIDTH, height, WIDTH, height);
    text_at(out, LEFT, 26, "font-size=\"17\" font-weight=\"bold\" fill=\"#222\"", c->title);
    text_at(out, LEFT, 46, "fill=\"#555\"", c->subtitle);
    draw_bars(c, out, draw_axis(out, TOP, BARS, most_of(c, false), 6, c->stack_label));
    name_columns(c, out);
    if (c->below.values) draw_below(c, out);
    draw_legend(c, out, legend);
    buf_addz(out, "</svg>\n");
}
