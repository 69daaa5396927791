# SPDX-License-Identifier: MIT
"""dialogues: odd things that clients say, as data, in thousands of variants from one seed.

A dialogue is a feature (what is odd about it, one of a few hundred names), a list of steps, and the token of the message it
may leave behind. A step is what is sent at once and how many replies it should get; the reader stops at so many, or when the
server closes or falls silent.
"""
import random
import string


class Dialogue:
    def __init__(self, feature, steps, word):
        self.feature, self.steps, self.word = feature, steps, word


EHLO, MAIL, RCPT, DATA, QUIT = b"EHLO client.example\r\n", b"MAIL FROM:<a@sender.example>\r\n", b"RCPT TO:<b@example.net>\r\n", b"DATA\r\n", b"QUIT\r\n"


def text(word, body=b"hello\r\n", extra=b""):
    return (b"From: <a@sender.example>\r\nTo: <b@example.net>\r\nSubject: " + word + b"\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <" + word +
            b"@sender.example>\r\nX-Token: " + word + b"\r\n" + extra + b"\r\n" + body)


def _word(rng, alphabet=string.ascii_lowercase, least=1, most=9):
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(least, most)))


ATEXT = string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~"

# Each makes one path from a random source: <path> of MAIL and RCPT.
PATHS = {
    "plain": lambda r: f"<{_word(r)}@{_word(r)}.example>",
    "all of atext": lambda r: f"<{_word(r, ATEXT.replace('!', '').replace('%', ''), 3)}@b.example>",
    "percent hack": lambda r: f"<{_word(r)}%{_word(r)}.example@b.example>",
    "bang": lambda r: f"<{_word(r)}!{_word(r)}@b.example>",
    "dots in the local part": lambda r: f"<{_word(r)}.{_word(r)}.{_word(r)}@b.example>",
    "two dots in the local part": lambda r: f"<{_word(r)}..{_word(r)}@b.example>",
    "dot first": lambda r: f"<.{_word(r)}@b.example>",
    "dot last": lambda r: f"<{_word(r)}.@b.example>",
    "quoted": lambda r: f'<"{_word(r)}"@b.example>',
    "quoted space": lambda r: f'<"{_word(r)} {_word(r)}"@b.example>',
    "quoted at": lambda r: f'<"{_word(r)}@{_word(r)}"@b.example>',
    "quoted pair": lambda r: f'<"{_word(r)}\\"{_word(r)}"@b.example>',
    "quoted brackets": lambda r: f'<"{_word(r)}>{_word(r)}"@b.example>',
    "quote left open": lambda r: f'<"{_word(r)}@b.example>',
    "quote in the middle": lambda r: f'<{_word(r)}"{_word(r)}"@b.example>',
    "upper case": lambda r: f"<{_word(r).upper()}@B.EXAMPLE>",
    "no brackets": lambda r: f"{_word(r)}@b.example",
    "left bracket only": lambda r: f"<{_word(r)}@b.example",
    "right bracket only": lambda r: f"{_word(r)}@b.example>",
    "two left brackets": lambda r: f"<<{_word(r)}@b.example>",
    "nested brackets": lambda r: f"<<{_word(r)}@b.example>>",
    "text behind the bracket": lambda r: f"<{_word(r)}@b.example>{_word(r)}",
    "display name": lambda r: f"{_word(r)} <{_word(r)}@b.example>",
    "space before the bracket": lambda r: f" <{_word(r)}@b.example>",
    "two spaces before the bracket": lambda r: f"  <{_word(r)}@b.example>",
    "space within the brackets": lambda r: f"< {_word(r)}@b.example >",
    "space in the local part": lambda r: f"<{_word(r)} {_word(r)}@b.example>",
    "space around the at": lambda r: f"<{_word(r)} @ b.example>",
    "tab in the local part": lambda r: f"<{_word(r)}\t{_word(r)}@b.example>",
    "comment": lambda r: f"<{_word(r)}(comment)@b.example>",
    "two ats": lambda r: f"<{_word(r)}@{_word(r)}@b.example>",
    "no domain": lambda r: f"<{_word(r)}>",
    "no local part": lambda r: f"<@{_word(r)}.example>",
    "empty domain": lambda r: f"<{_word(r)}@>",
    "only an at": lambda r: "<@>",
    "source route": lambda r: f"<@{_word(r)}.example,@{_word(r)}.example:{_word(r)}@b.example>",
    "broken source route": lambda r: f"<@{_word(r)}.example:{_word(r)}>",
    "one label": lambda r: f"<{_word(r)}@{_word(r)}>",
    "digits only": lambda r: f"<{_word(r)}@{r.randint(1, 99)}.{r.randint(1, 99)}>",
    "dot behind the domain": lambda r: f"<{_word(r)}@b.example.>",
    "two dots in the domain": lambda r: f"<{_word(r)}@b..example>",
    "dot before the domain": lambda r: f"<{_word(r)}@.b.example>",
    "hyphen first in a label": lambda r: f"<{_word(r)}@-b.example>",
    "hyphen last in a label": lambda r: f"<{_word(r)}@b-.example>",
    "underscore in the domain": lambda r: f"<{_word(r)}@{_word(r)}_b.example>",
    "slash in the domain": lambda r: f"<{_word(r)}@b/{_word(r)}.example>",
    "control byte": lambda r: f"<{_word(r)}{chr(r.choice([1, 2, 7, 8, 27, 31, 127]))}@b.example>",
    "IPv4 literal": lambda r: f"<{_word(r)}@[192.0.2.{r.randint(1, 254)}]>",
    "IPv6 literal": lambda r: f"<{_word(r)}@[IPv6:2001:db8::{r.randint(1, 9999):x}]>",
    "wrong IPv4 literal": lambda r: f"<{_word(r)}@[192.0.2.{r.randint(256, 999)}]>",
    "open literal": lambda r: f"<{_word(r)}@[192.0.2.1>",
    "IPv6 literal without tag": lambda r: f"<{_word(r)}@[2001:db8::1]>",
    "bare IPv4": lambda r: f"<{_word(r)}@192.0.2.{r.randint(1, 254)}>",
    "local part of 64": lambda r: f"<{_word(r, least=64, most=64)}@b.example>",
    "local part of 65 to 200": lambda r: f"<{_word(r, least=65, most=200)}@b.example>",
    "label of 63": lambda r: f"<{_word(r)}@{_word(r, least=63, most=63)}.example>",
    "label of 64": lambda r: f"<{_word(r)}@{_word(r, least=64, most=64)}.example>",
    "domain of 260": lambda r: f"<{_word(r)}@{'.'.join(_word(r, least=50, most=50) for _ in range(5))}.example>",
    "UTF-8 without SMTPUTF8": lambda r: f"<{_word(r)}ü@b.example>",
    "UTF-8 domain without SMTPUTF8": lambda r: f"<{_word(r)}@bücher.example>",
    "nothing": lambda r: "",
    "null path with a space": lambda r: "< >",
}
BYTES_PATHS = {"Latin-1": b"<b\xfccher@b.example>", "broken UTF-8": b"<a\xc3@b.example>", "NUL": b"<a\0b@b.example>"}

MAIL_PARAMETERS = {
    "SIZE=0": "SIZE=0", "SIZE small": "SIZE=1234", "SIZE over the limit": "SIZE=999999999999", "SIZE no number": "SIZE=abc", "SIZE empty": "SIZE=",
    "SIZE negative": "SIZE=-5", "SIZE of 30 digits": "SIZE=" + "9" * 30, "SIZE twice": "SIZE=1 SIZE=2", "BODY=7BIT": "BODY=7BIT", "BODY=8BITMIME": "BODY=8BITMIME",
    "BODY=BINARYMIME": "BODY=BINARYMIME", "BODY unknown": "BODY=x", "BODY empty": "BODY=", "lower case parameter": "body=8bitmime", "RET=FULL": "RET=FULL",
    "RET=HDRS": "RET=HDRS", "RET unknown": "RET=ALL", "ENVID": "ENVID=abc+2B1", "ENVID broken xtext": "ENVID=abc+ZZ", "ENVID empty": "ENVID=",
    "AUTH=<>": "AUTH=<>", "unknown parameter": "FOO=bar", "parameter without value": "FOO", "SMTPUTF8": "SMTPUTF8", "SMTPUTF8 with a value": "SMTPUTF8=1",
    "two spaces before a parameter": " SIZE=10", "NOTIFY on MAIL": "NOTIFY=NEVER", "trailing space": "", "REQUIRETLS": "REQUIRETLS",
}
RCPT_PARAMETERS = {
    "NOTIFY=NEVER": "NOTIFY=NEVER", "NOTIFY=SUCCESS,FAILURE": "NOTIFY=SUCCESS,FAILURE", "NOTIFY unknown": "NOTIFY=MAYBE", "NOTIFY empty": "NOTIFY=",
    "NOTIFY=NEVER,SUCCESS": "NOTIFY=NEVER,SUCCESS", "ORCPT": "ORCPT=rfc822;b@example.net", "ORCPT without type": "ORCPT=b@example.net",
    "ORCPT broken xtext": "ORCPT=rfc822;b+4", "unknown parameter": "FOO=bar", "SIZE on RCPT": "SIZE=5", "lower case parameter": "notify=never",
}

COMMANDS = {
    "NOOP": b"NOOP\r\n", "NOOP with text": b"NOOP what ever\r\n", "RSET": b"RSET\r\n", "RSET with text": b"RSET now\r\n", "VRFY": b"VRFY b\r\n", "VRFY alone": b"VRFY\r\n",
    "EXPN": b"EXPN list\r\n", "HELP": b"HELP\r\n", "HELP with a topic": b"HELP MAIL\r\n", "TURN": b"TURN\r\n", "ETRN": b"ETRN example.net\r\n", "SEND": b"SEND FROM:<a@b.example>\r\n",
    "unknown": b"XYZZY\r\n", "empty line": b"\r\n", "spaces only": b"   \r\n", "space first": b" NOOP\r\n", "tab behind": b"NOOP\t\r\n", "space behind": b"NOOP \r\n",
    "NUL": b"NO\0OP\r\n", "bytes above 127": b"\xff\xfe\xfd\r\n", "HTTP": b"GET / HTTP/1.1\r\n", "lower case": b"noop\r\n", "mixed case": b"nOoP\r\n",
    "bare LF": b"NOOP\n", "bare CR": b"NOOP\rNOOP\r\n", "CR CR LF": b"NOOP\r\r\n", "QUIT with text": b"QUIT now\r\n", "STARTTLS not offered": b"STARTTLS\r\n",
    "AUTH not offered": b"AUTH PLAIN AGEAYg==\r\n", "XCLIENT": b"XCLIENT ADDR=192.0.2.1\r\n", "BDAT without transaction": b"BDAT 3 LAST\r\nabc",
    "DATA without transaction": b"DATA\r\n", "RCPT without MAIL": RCPT, "verb glued to its argument": b"MAILFROM:<a@b.example>\r\n",
    "MAIL without FROM": b"MAIL <a@b.example>\r\n", "MAIL TO": b"MAIL TO:<a@b.example>\r\n", "RCPT FROM": b"RCPT FROM:<a@b.example>\r\n",
    "MAIL alone": b"MAIL\r\n", "space before the colon": b"MAIL FROM :<a@b.example>\r\n", "lower case mail": b"mail from:<a@b.example>\r\n",
    "tab for the space": b"MAIL\tFROM:<a@b.example>\r\n", "two spaces behind MAIL": b"MAIL  FROM:<a@b.example>\r\n",
}

HELLOS = {
    "EHLO alone": b"EHLO\r\n", "EHLO space": b"EHLO \r\n", "HELO alone": b"HELO\r\n", "HELO": b"HELO client.example\r\n", "EHLO literal": b"EHLO [192.0.2.1]\r\n",
    "EHLO IPv6 literal": b"EHLO [IPv6:2001:db8::1]\r\n", "EHLO underscore": b"EHLO my_host\r\n", "EHLO one label": b"EHLO localhost\r\n", "EHLO bare address": b"EHLO 192.0.2.1\r\n",
    "EHLO two words": b"EHLO a.example b.example\r\n", "EHLO of 300": b"EHLO " + b"a" * 300 + b".example\r\n", "EHLO bytes above 127": b"EHLO b\xfccher.example\r\n", "EHLO NUL": b"EHLO a\0b\r\n",
    "EHLO odd characters": b"EHLO <script>$(id)\r\n", "ehlo": b"ehlo client.example\r\n", "LHLO": b"LHLO client.example\r\n", "EHLO tab": b"EHLO\tclient.example\r\n",
}

# What DATA carries; the end is written out, as it is often what is odd. {t} is the whole proper message.
CONTENTS = {
    "proper": lambda t, r: t + b".\r\n", "empty": lambda t, r: b".\r\n", "header only": lambda t, r: t.split(b"\r\n\r\n")[0] + b"\r\n.\r\n",
    "blank line first": lambda t, r: b"\r\n" + t + b".\r\n", "body without header": lambda t, r: b"just words, no header, " + t.split(b"X-Token: ")[1].split(b"\r\n")[0] + b"\r\n.\r\n",
    "stuffed dots": lambda t, r: t + b"..\r\n...\r\n..x\r\n.\r\n", "unstuffed dot line": lambda t, r: t + b".x\r\n.\r\n",
    "line of 998": lambda t, r: t + b"x" * 998 + b"\r\n.\r\n", "line of 1,500": lambda t, r: t + b"x" * 1500 + b"\r\n.\r\n", "line of 3,000": lambda t, r: t + b"x" * 3000 + b"\r\n.\r\n",
    "line of 70,000": lambda t, r: t + b"x" * 70000 + b"\r\n.\r\n", "8-bit undeclared": lambda t, r: t + bytes(r.randrange(128, 256) for _ in range(40)) + b"\r\n.\r\n",
    "NUL": lambda t, r: t + b"a\0b\r\n.\r\n", "control bytes": lambda t, r: t + b"\x01\x02\x1b[31m\x7f\r\n.\r\n", "bare CR": lambda t, r: t + b"one\rtwo\r\n.\r\n",
    "bare LF": lambda t, r: t + b"one\ntwo\r\n.\r\n", "CR CR LF": lambda t, r: t + b"one\r\r\ntwo\r\n.\r\n", "LF CR": lambda t, r: t + b"one\n\rtwo\r\n.\r\n",
    "folded header": lambda t, r: t.replace(b"X-Token", b"X-Folded: one\r\n two\r\n\tthree\r\nX-Token") + b".\r\n",
    "header without colon": lambda t, r: t.replace(b"X-Token", b"no colon here\r\nX-Token") + b".\r\n", "space before the colon": lambda t, r: t.replace(b"X-Token", b"X-Odd : x\r\nX-Token") + b".\r\n",
    "mbox line": lambda t, r: b"From a@sender.example Sun Nov 22 12:00:00 2026\r\n" + t + b".\r\n", "50 Received": lambda t, r: b"Received: from x by y; Sun, 22 Nov 2026 12:00:00 +0000\r\n" * 50 + t + b".\r\n",
    "120 Received": lambda t, r: b"Received: from x by y; Sun, 22 Nov 2026 12:00:00 +0000\r\n" * 120 + t + b".\r\n",
    "header of 60 KB": lambda t, r: t.replace(b"X-Token", b"X-Much: " + b"\r\n ".join(b"y" * 70 for _ in range(850)) + b"\r\nX-Token") + b".\r\n",
    "2,000 header fields": lambda t, r: b"".join(b"X-N%d: v\r\n" % i for i in range(2000)) + t + b".\r\n", "no From": lambda t, r: t.replace(b"From: <a@sender.example>\r\n", b"") + b".\r\n",
    "two From": lambda t, r: b"From: <x@other.example>\r\n" + t + b".\r\n", "8-bit header": lambda t, r: t.replace(b"Subject: ", b"Subject: gr\xc3\xbc\xc3\x9fe ") + b".\r\n",
    "NUL in the header": lambda t, r: t.replace(b"Subject: ", b"Subject: a\0b ") + b".\r\n",
}
# What smuggles a second message past a server that takes another end than CRLF . CRLF: each is followed by commands of its own.
ENDS = {"LF . LF": b"\n.\n", "LF . CRLF": b"\n.\r\n", "CRLF . LF": b"\r\n.\n", "CR . CR": b"\r.\r", "CR . CRLF": b"\r.\r\n", "CRLF . CR": b"\r\n.\r", "CRLF NUL . CRLF": b"\r\n\0.\r\n"}


def _many(rng, seed_word):
    serial = iter(range(10 ** 9))

    def word():
        return f"{seed_word}d{next(serial)}"

    def bare(feature, *steps):
        return Dialogue(feature, [(s if isinstance(s, tuple) else (s, 1)) for s in steps] + [(QUIT, 1)], None)

    def mailed(feature, make):
        w = word()
        return Dialogue(feature, [(s if isinstance(s, tuple) else (s, 1)) for s in make(w.encode())] + [(QUIT, 1)], w)

    for name, make in PATHS.items():
        path = make(rng).encode()
        yield bare("mail: " + name, EHLO, b"MAIL FROM:" + path + b"\r\n")
        yield bare("rcpt: " + name, EHLO, MAIL, b"RCPT TO:" + path + b"\r\n")
    for name, path in BYTES_PATHS.items():
        yield bare("mail: " + name, EHLO, b"MAIL FROM:" + path + b"\r\n")
        yield bare("rcpt: " + name, EHLO, MAIL, b"RCPT TO:" + path + b"\r\n")
    yield bare("mail: null path", EHLO, b"MAIL FROM:<>\r\n")
    yield bare("rcpt: null path", EHLO, MAIL, b"RCPT TO:<>\r\n")
    yield bare("rcpt: postmaster", EHLO, MAIL, b"RCPT TO:<%s>\r\n" % rng.choice([b"postmaster", b"Postmaster", b"POSTMASTER"]))
    yield bare("mail: UTF-8 with SMTPUTF8", EHLO, "MAIL FROM:<jürgen@bücher.example> SMTPUTF8\r\n".encode())
    for name, parameter in MAIL_PARAMETERS.items():
        yield bare("mail parameter: " + name, EHLO, f"MAIL FROM:<{_word(rng)}@b.example> {parameter}\r\n".encode())
    for name, parameter in RCPT_PARAMETERS.items():
        yield bare("rcpt parameter: " + name, EHLO, MAIL, f"RCPT TO:<{_word(rng)}@b.example> {parameter}\r\n".encode())
    for name, command in COMMANDS.items():
        yield bare("command: " + name, EHLO, command)
        yield bare("command before EHLO: " + name, command)
        yield bare("command within a transaction: " + name, EHLO, MAIL, RCPT, command)
    for name, hello in HELLOS.items():
        yield bare("hello: " + name, hello, MAIL)
    for name, length in (("600", 600), ("2,100", 2100), ("5,000", 5000), ("100,000", 100000)):
        yield bare(f"command line of {name}", EHLO, b"NOOP " + b"x" * length + b"\r\n")
        yield bare(f"path in a line of {name}", EHLO, b"MAIL FROM:<" + b"a" * length + b"@b.example>\r\n")
    yield bare("order: MAIL twice", EHLO, MAIL, MAIL)
    yield bare("order: EHLO within a transaction", EHLO, MAIL, EHLO, RCPT)
    yield bare("order: HELO within a transaction", EHLO, MAIL, b"HELO client.example\r\n", RCPT)
    yield bare("order: MAIL before EHLO", MAIL)
    yield bare("order: DATA without RCPT", EHLO, MAIL, DATA)
    yield bare("order: DATA with text", EHLO, MAIL, RCPT, b"DATA now\r\n")
    yield bare("order: RSET, then RCPT", EHLO, MAIL, b"RSET\r\n", RCPT)
    yield bare("order: 60 unknown commands", EHLO, (b"XYZZY\r\n" * 60, 60))
    yield bare("order: 300 NOOP", EHLO, (b"NOOP\r\n" * 300, 300))
    yield bare("recipients: 200", EHLO, MAIL, (b"".join(b"RCPT TO:<u%d@example.net>\r\n" % i for i in range(200)), 200))
    yield bare("recipients: 1,100", EHLO, MAIL, (b"".join(b"RCPT TO:<u%d@example.net>\r\n" % i for i in range(1100)), 1100))
    yield bare("recipients: the same twice", EHLO, MAIL, RCPT, RCPT)
    yield bare("pipelining: behind QUIT", EHLO, (QUIT + b"NOOP\r\n", 2))
    yield bare("pipelining: with EHLO", (EHLO + MAIL + RCPT, 3))
    yield bare("pipelining: DATA without a recipient", EHLO, (MAIL + b"RCPT TO:<bad\r\n" + DATA, 3))
    for name, content in CONTENTS.items():
        yield mailed("content: " + name, lambda w, c=content: (EHLO, MAIL, RCPT, DATA, c(text(w), rng)))
    yield mailed("content: in one write with its commands", lambda w: (EHLO, (MAIL + RCPT + DATA, 3), text(w) + b".\r\n"))
    yield mailed("content: before 354", lambda w: (EHLO, (MAIL + RCPT + DATA + text(w) + b".\r\n", 4)))
    yield mailed("content: QUIT in the same write", lambda w: (EHLO, MAIL, RCPT, DATA, (text(w) + b".\r\nQUIT\r\n", 2)))
    yield mailed("content: two messages", lambda w: (EHLO, MAIL, RCPT, DATA, text(w + b"a") + b".\r\n", MAIL, RCPT, DATA, text(w + b"b") + b".\r\n"))
    yield mailed("content: with HELO", lambda w: (b"HELO client.example\r\n", MAIL, RCPT, DATA, text(w) + b".\r\n"))
    yield mailed("content: 8-bit declared", lambda w: (EHLO, b"MAIL FROM:<a@sender.example> BODY=8BITMIME\r\n", RCPT, DATA, text(w, "grüße\r\n".encode()) + b".\r\n"))
    yield mailed("content: larger than SIZE said", lambda w: (EHLO, b"MAIL FROM:<a@sender.example> SIZE=10\r\n", RCPT, DATA, text(w, b"x" * 70 + b"\r\n") + b".\r\n"))
    for name, end in ENDS.items():
        second = MAIL + b"RCPT TO:<smuggled@example.net>\r\n" + DATA
        # Two replies at least would mean that the first message ended there: the proper end follows.
        yield mailed("end of data: " + name, lambda w, e=end, s=second: (EHLO, MAIL, RCPT, DATA, (text(w)[:-2] + e + s + text(w + b"smuggled") + b".\r\n", 1)))
    for name, chunks in {
        "one chunk": lambda t: [(b"BDAT %d LAST\r\n" % len(t) + t, 1)], "two chunks": lambda t: [(b"BDAT 50\r\n" + t[:50], 1), (b"BDAT %d LAST\r\n" % (len(t) - 50) + t[50:], 1)],
        "empty last": lambda t: [(b"BDAT %d\r\n" % len(t) + t, 1), (b"BDAT 0 LAST\r\n", 1)], "pipelined": lambda t: [(b"BDAT 50\r\n" + t[:50] + b"BDAT %d LAST\r\n" % (len(t) - 50) + t[50:], 2)],
        "dots as they are": lambda t: [(b"BDAT %d LAST\r\n" % (len(t) + 8) + t + b".\r\n..x\r\n", 1)], "bare LF": lambda t: [(b"BDAT %d LAST\r\n" % (len(t) + 4) + t + b"a\nb\n", 1)],
        "lower case": lambda t: [(b"bdat %d last\r\n" % len(t) + t, 1)], "one byte each": lambda t: [(b"".join(b"BDAT 1\r\n" + t[i:i + 1] for i in range(60)) + b"BDAT %d LAST\r\n" % (len(t) - 60) + t[60:], 61)],
        "no size": lambda t: [(b"BDAT\r\n", 1)], "negative size": lambda t: [(b"BDAT -1 LAST\r\n", 1)], "size in words": lambda t: [(b"BDAT ten LAST\r\n", 1)],
        "30 digits": lambda t: [(b"BDAT " + b"9" * 30 + b" LAST\r\n", 1)], "other word for LAST": lambda t: [(b"BDAT %d END\r\n" % len(t) + t, 1)],
        "then DATA": lambda t: [(b"BDAT 50\r\n" + t[:50], 1), (DATA, 1)], "then RSET": lambda t: [(b"BDAT 50\r\n" + t[:50], 1), (b"RSET\r\n", 1), (RCPT, 1)],
        "then RCPT": lambda t: [(b"BDAT 50\r\n" + t[:50], 1), (RCPT, 1)], "then MAIL": lambda t: [(b"BDAT 50\r\n" + t[:50], 1), (MAIL, 1)], "no line end at the end": lambda t: [(b"BDAT %d LAST\r\n" % (len(t) - 2) + t[:-2], 1)],
    }.items():
        yield mailed("bdat: " + name, lambda w, c=chunks: (EHLO, MAIL, RCPT, *c(text(w))))


def make(seed, count, word):
    """So many dialogues: whole rounds over all features, each round with other random parts."""
    rng = random.Random(seed)
    made = []
    while len(made) < count:
        made += list(_many(rng, f"{word}r{len(made)}"))
    return made[:count]


def features():
    return sorted({d.feature for d in _many(random.Random(0), "x")})
