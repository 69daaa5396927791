# SPDX-License-Identifier: MIT
"""table: why Tidegate answers otherwise than Postfix (3.7, as Debian 12 has it, with its defaults).

Patterns as in a shell; the first row that fits a difference explains it. `ours` and `theirs` are reply codes, "closed" or "silent".
"""
import collections

Row = collections.namedtuple("Row", "feature ours theirs why")

LINE_ENDS = "RFC 5321 2.3.8: only CRLF ends a line; a server that takes less can be made to see other mail than the one before it (SMTP smuggling)"
CONTROL = "RFC 5321 4.1.1 has no control characters in commands; they are refused, so that none comes into logs and headers"
ONE_SPACE = "RFC 5321 4.1.1.1: a space, no other white space, parts a verb from what follows"
PATH = "RFC 5321 4.1.2: this is no Mailbox; Postfix mends it by guessing, and mail that was meant for somebody else goes somewhere"
DOMAIN = "RFC 5321 2.3.5: an address has a domain, fully qualified; Postfix completes it with its own, which a gateway for many domains cannot know"

ROWS = [Row(*row) for row in (
    # commands
    ("command*: bare LF", "500", "250", LINE_ENDS),
    ("command*: bare CR", "500", "250", LINE_ENDS),
    ("command*: CR CR LF", "500", "250", LINE_ENDS),
    ("command*: tab behind", "500", "250", ONE_SPACE),
    ("command*: tab for the space", "500", "250", ONE_SPACE),
    ("command*: space first", "500", "250", "RFC 5321 4.1.1: a command begins with its verb"),
    ("command*: HELP*", "214", "50?", "RFC 5321 4.1.1.8: HELP should be answered; Postfix does not implement it"),
    ("command*: HTTP", "554", "221", "both hang up: 554 says why (RFC 5321 3.8), 221 that all is well"),
    ("command*: verb glued to its argument", "500", "221", "to Postfix this looks like a header sent without DATA, and it hangs up; an unknown command is 500 (RFC 5321 4.2.4)"),
    ("command*: QUIT with text", "501", "221", "RFC 5321 4.1.1.10: QUIT has no argument"),
    ("command*: ETRN", "500", "4*", "RFC 1985: ETRN is for servers that keep mail for a host; a gateway does not, and does not say it does"),
    ("command before EHLO: lower case mail", "503", "250", "RFC 5321 4.1.4: a client says EHLO or HELO first; Postfix asks for it only where it is told to"),
    ("command before EHLO: two spaces behind MAIL", "503", "250", "RFC 5321 4.1.4, as above"),
    ("order: MAIL before EHLO", "503", "250", "RFC 5321 4.1.4, as above"),
    ("command line of *", "500", "250", "RFC 5321 4.5.3.1.4: 512 octets, and here 1,000 (limits.line_length); Postfix cuts the line and takes the rest for what it is not"),
    ("path in a line of 600", "501", "250", "RFC 5321 4.5.3.1.3: a path of up to 256 octets"),
    ("path in a line of 100,000", "*", "*", "both refuse it; they hang up at another moment"),
    ("order: 60 unknown commands", "500", "421", "limits.errors counts to 20 as Postfix does, and hangs up with the command after"),
    ("order: 300 NOOP", "250", "421", "Postfix counts NOOP as junk; here all commands are counted (limits.commands)"),
    # hello
    ("hello: EHLO alone", "503", "250", "both refuse it with 501; Postfix takes MAIL all the same (RFC 5321 4.1.4)"),
    ("hello: EHLO space", "503", "250", "as above"),
    ("hello: HELO alone", "503", "250", "as above"),
    ("hello: EHLO bytes above 127", "250", "50?", "RFC 5321 4.1.4: what a client calls itself is no reason to refuse its mail; it is made fit for our Received field"),
    ("hello: EHLO of 300", "501", "250", "RFC 5321 4.5.3.1.2: a name of up to 255 octets"),
    ("hello: EHLO NUL", "500", "250", CONTROL),
    ("hello: EHLO tab", "500", "250", ONE_SPACE),
    ("hello: LHLO", "503", "250", "both refuse it with 500; Postfix takes MAIL all the same (RFC 5321 4.1.4)"),
    # paths
    ("*: control byte", "500", "250", CONTROL),
    ("*: UTF-8 without SMTPUTF8", "553", "250", "RFC 6531 3.5: such an address needs SMTPUTF8; without it no next hop could be told"),
    ("*: broken source route", "501", "250", "RFC 5321 4.1.2: there is no mailbox behind the route"),
    ("*: comment", "501", "250", "RFC 5321 4.1.2 has no comments; those of RFC 5322 are for headers"),
    ("*: dot behind the domain", "501", "250", "RFC 5321 2.3.5: a domain does not end with a dot"),
    ("*: no domain", "501", "250", DOMAIN),
    ("*: no local part", "501", "250", PATH),
    ("*: nested brackets", "501", "250", PATH),
    ("*: null path with a space", "501", "250", PATH),
    ("*: open literal", "501", "250", PATH),
    ("*: right bracket only", "501", "250", PATH),
    ("*: space around the at", "501", "250", PATH),
    ("*: space within the brackets", "501", "250", PATH),
    ("mail: two ats", "501", "250", PATH),
    ("rcpt: percent hack", "250", "554", "Postfix reads routes in such local parts and refuses to relay; here a local part means nothing (RFC 5321 2.3.11)"),
    ("rcpt: bang", "250", "554", "RFC 5321 2.3.11, as above"),
    ("rcpt: quoted at", "250", "554", "RFC 5321 2.3.11, as above"),
    ("mail parameter: SIZE twice", "501", "250", "RFC 5321 4.1.1.11 and 1870: which of the two would hold?"),
    # content
    ("content: NUL*", "550", "250", "RFC 5321 4.5.2 and 5322 have no NUL in mail; what comes behind one is seen by some readers and not by others"),
    ("content: bare ??", "550", "250", LINE_ENDS),
    ("content: CR CR LF", "550", "250", LINE_ENDS),
    ("content: LF CR", "550", "250", LINE_ENDS),
    ("content: line of 70,000", "554", "250", "RFC 5321 4.5.3.1.6 has 1,000 octets, limits.text_line_length 64 KiB; Postfix breaks long lines as it sends, and with them signatures"),
    ("end of data: *", "550", "250", LINE_ENDS),
    ("bdat: bare LF", "550", "250", LINE_ENDS + "; BINARYMIME, which would allow it, is not offered (RFC 3030)"),
)]
