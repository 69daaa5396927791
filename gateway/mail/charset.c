// SPDX-License-Identifier: MIT
#include "mail/charset.h"

#include <errno.h>
#include <iconv.h>

// `to` is libc's name, mostly of the larger set that a vendor made of the standard one, as that is what senders mean. UTF8 and LATIN need no libc.
static const char UTF8[] = "UTF-8", LATIN[] = "windows-1252";

struct charset {
    const char *name, *to;
};

static const struct charset known[] = {
    {"utf-8", UTF8}, {"utf8", UTF8}, {"us-ascii", UTF8}, {"ascii", UTF8}, {"ansi_x3.4-1968", UTF8}, {"utf-8mb4", UTF8},
    {"iso-8859-1", LATIN}, {"windows-1252", LATIN}, {"latin1", LATIN}, {"iso8859-1", LATIN}, {"cp1252", LATIN},
    {"utf-16", "UTF-16"}, {"utf-16le", "UTF-16LE"}, {"utf-16be", "UTF-16BE"}, {"unicode", "UTF-16"}, {"utf-7", "UTF-7"}, {"unicode-1-1-utf-7", "UTF-7"},
    {"iso-8859-2", "ISO-8859-2"}, {"iso-8859-3", "ISO-8859-3"}, {"iso-8859-4", "ISO-8859-4"}, {"iso-8859-5", "ISO-8859-5"}, {"iso-8859-6", "ISO-8859-6"},
    {"iso-8859-7", "ISO-8859-7"}, {"iso-8859-8", "ISO-8859-8"}, {"iso-8859-8-i", "ISO-8859-8"}, {"iso-8859-9", "CP1254"}, {"iso-8859-10", "ISO-8859-10"},
    {"iso-8859-11", "CP874"}, {"iso-8859-13", "ISO-8859-13"}, {"iso-8859-14", "ISO-8859-14"}, {"iso-8859-15", "ISO-8859-15"}, {"iso-8859-16", "ISO-8859-16"},
    {"windows-1250", "CP1250"}, {"windows-1251", "CP1251"}, {"windows-1253", "CP1253"}, {"windows-1254", "CP1254"}, {"windows-1255", "CP1255"},
    {"windows-1256", "CP1256"}, {"windows-1257", "CP1257"}, {"windows-1258", "CP1258"}, {"windows-874", "CP874"}, {"tis-620", "CP874"},
    {"cp1250", "CP1250"}, {"cp1251", "CP1251"}, {"koi8-r", "KOI8-R"}, {"koi8-u", "KOI8-U"}, {"cp866", "CP866"}, {"ibm866", "CP866"},
    {"ibm437", "CP437"}, {"cp437", "CP437"}, {"ibm850", "CP850"}, {"cp850", "CP850"}, {"ibm852", "CP852"}, {"cp852", "CP852"}, {"macintosh", "MACINTOSH"},
    {"iso-2022-jp", "ISO-2022-JP"}, {"shift_jis", "CP932"}, {"shift-jis", "CP932"}, {"x-sjis", "CP932"}, {"sjis", "CP932"}, {"windows-31j", "CP932"},
    {"cp932", "CP932"}, {"euc-jp", "EUC-JP"}, {"x-euc-jp", "EUC-JP"}, {"gb2312", "GB18030"}, {"gb_2312-80", "GB18030"}, {"gbk", "GB18030"},
    {"x-gbk", "GB18030"}, {"cp936", "GB18030"}, {"gb18030", "GB18030"}, {"big5", "BIG5"}, {"big5-hkscs", "BIG5-HKSCS"}, {"cp950", "BIG5"},
    {"euc-kr", "CP949"}, {"ks_c_5601-1987", "CP949"}, {"ks_c_5601", "CP949"}, {"cp949", "CP949"}, {"iso-2022-kr", "ISO-2022-KR"}, {"euc-tw", "EUC-TW"},
};

const struct charset *charset_find(struct bytes name) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (bytes_equal_nocase(name, bytes_of(known[i].name))) return &known[i];
    return NULL;
}

bool charset_needs_libc(const struct charset *c) {
    return c->to != UTF8 && c->to != LATIN;
}

// ---- Windows-1252

// From 0x80 to 0x9f. What calls itself ISO-8859-1 is read the same way: its own C1 controls there are never meant.
static const uint16_t latin_high[32] = {
    0x20ac, 0xfffd, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0xfffd, 0x017d, 0xfffd,
    0xfffd, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0xfffd, 0x017e, 0x0178,
};

static void add_latin(struct buf *out, uint8_t c) {
    unsigned u = c >= 0x80 && c < 0xa0 ? latin_high[c - 0x80] : c;
    if (u < 0x80) {
        buf_byte(out, (char)u);
    } else if (u < 0x800) {
        buf_byte(out, (char)(0xc0 | u >> 6));
        buf_byte(out, (char)(0x80 | (u & 0x3f)));
    } else {
        buf_byte(out, (char)(0xe0 | u >> 12));
        buf_byte(out, (char)(0x80 | (u >> 6 & 0x3f)));
        buf_byte(out, (char)(0x80 | (u & 0x3f)));
    }
}

// ---- by libc

// One call of iconv moves on, in the text or in what it gives, or a byte is passed over: nothing in a text can keep this from ending.
static void convert(struct buf *out, iconv_t with, struct bytes text, size_t end) {
    char *at = (char *)text.at, piece[1024];
    size_t left = text.len, most = sizeof piece, room;
    while (left && out->len < end) {
        char *to = piece;
        size_t before = left;
        most = end - out->len < sizeof piece - 4 ? end - out->len + 4 : sizeof piece;
        room = most;
        bool stuck = iconv(with, &at, &left, &to, &room) == (size_t)-1 && errno != E2BIG;
        buf_add(out, bytes_range(piece, most - room));
        if (!stuck && (left != before || room != most)) continue;
        buf_add(out, BYTES("\xef\xbf\xbd"));
        if (left) at++, left--;
    }
    char *to = piece; // some hold a character back for the mark that may follow it
    room = sizeof piece;
    if (!left && iconv(with, NULL, NULL, &to, &room) != (size_t)-1) buf_add(out, bytes_range(piece, sizeof piece - room));
}

bool charset_decode(struct buf *out, const struct charset *c, struct bytes text, size_t max) {
    size_t end = max < SIZE_MAX - out->len ? out->len + max : SIZE_MAX;
    if (c->to == UTF8) buf_add(out, bytes_first(text, max));
    for (size_t i = 0; c->to == LATIN && i < text.len && out->len < end; i++) add_latin(out, (uint8_t)text.at[i]);
    if (!charset_needs_libc(c)) return true;
    iconv_t with = iconv_open("UTF-8", c->to);
    if (with == (iconv_t)-1) return false;
    convert(out, with, text, end);
    iconv_close(with);
    return true;
}
