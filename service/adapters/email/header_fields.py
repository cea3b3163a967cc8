"""Writes names and texts into header fields (RFC 5322), so that none of them can add to a message.

The header objects of Python's `email` decode encoded words (RFC 2047) in what they are given. Such a word may contain a
line break, and what becomes of it differs between versions of Python. So nothing here goes through them.
"""

from __future__ import annotations

import re
import unicodedata
from email.header import Header
from email.utils import formataddr, quote

MAX_LINE = 78
"""Characters that a line should have at most (RFC 5322, 2.1.1)."""

_BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, lone surrogates, and separators of lines and paragraphs."""

_SPECIALS = re.compile(r'[][\\()<>@,:;".]')


def one_line(text: str) -> str:
    """The text on one line, with one space where there was other white space or a control character."""
    return " ".join("".join(" " if unicodedata.category(one) in _BREAKING else one for one in text).split())


def text_field(name: str, text: str) -> str:
    """A field with text for people, such as Subject, with its line end. The reader sees the text as it is."""
    text = one_line(text)
    line = f"{name}: {text}"
    if not _is_plain(text) or len(line) > MAX_LINE:
        line = f"{name}: " + "\r\n ".join(_encoded_words(text, name))
    return f"{line}\r\n"


def mailbox_field(name: str, display_name: str, address: str) -> str:
    """A field with one mailbox, such as From, with its line end. The address is written as it is."""
    line = f"{name}: {formataddr((display_name, address))}" if _is_plain(display_name) else ""
    if not line or (display_name and len(line) > MAX_LINE):
        line = f"{name}: " + "\r\n ".join([*_encoded_words(display_name, name), f"<{address}>"])
    return f"{line}\r\n"


def mailbox(display_name: str, address: str) -> str:
    """A name and an address as one text, for services that take them so. A name in any script stays readable."""
    if "=?" in display_name:
        return ascii_mailbox(display_name, address)
    if not display_name:
        return address
    phrase = f'"{quote(display_name)}"' if _SPECIALS.search(display_name) else display_name
    return f"{phrase} <{address}>"


def ascii_mailbox(display_name: str, address: str) -> str:
    """The same in ASCII: what is not, and what would be read as encoded words, becomes encoded words (RFC 2047)."""
    if _is_plain(display_name):
        return formataddr((display_name, address))
    return " ".join([*_encoded_words(display_name, "From"), f"<{address}>"])


def _is_plain(text: str) -> bool:
    """True if no reader takes a part of the text for encoded words, and it needs none."""
    return text.isascii() and "=?" not in text


def _encoded_words(text: str, field: str) -> list[str]:
    """The text in encoded words of at most 75 characters. The first one fits behind the name of the field."""
    return Header(text, "utf-8", header_name=field).encode(linesep="\n").split("\n ")
