"""What programs put around an image when they write it as text: quotes, a list of one, an object, an HTML tag."""

from __future__ import annotations

import ast
import codecs
import html
import re
from urllib.parse import unquote

__all__ = ["unwrapped", "visible"]

#: Wrappings within wrappings; no real cell has more than three.
_DEEPEST = 8
#: What a wrapping ends in.
_ENDS = frozenset("'\"`]})>;\u201d\u2019")
_NO_WIDTH = "\ufeff\u200b\u200c\u200d\u2060"
_BARE = str.maketrans("", "", _NO_WIDTH)

#: How Python and JSON write a list of one text, bytes, or a text in quotes.
_QUOTED = re.compile(r"""\A(\[?)\s*([bru]?)(["'`])(.*)\3\s*(\]?)\Z""", re.DOTALL)
_QUOTED_TWICE = re.compile(r"\A(\"{2,3}|'{2,3})([^'\"].*[^'\"])\1\Z", re.DOTALL)
#: Printed bytes that were quoted as they are, with the other quote in them.
_QUOTED_BYTES = re.compile(r"\A([\"'])(b(?!\1)([\"']).*\3)\1\Z", re.DOTALL)
_CALL = re.compile(
    r"\A(?:bytes|bytearray|memoryview|str|(?:Pure)?(?:Posix|Windows)?Path|(?:np|numpy)\.(?:bytes_|str_))\((.*)\)\Z",
    re.DOTALL,
)
_TUPLE_OF_ONE = re.compile(r"\A\((.*),\s*\)\Z", re.DOTALL)
#: The quotes of a text processor.
_CURLY = re.compile(r"\A[\u201c\u2018]([^\u201c\u201d\u2018\u2019]*)[\u201d\u2019]\Z")
_NUMBERS = re.compile(r"\A\[\s*\d{1,3}(?:\s*,\s*\d{1,3})++\s*\]\Z")
_IMAGE_TAG = re.compile(
    r"""\A(?:<(?!img\b)[^<>]*>\s*)*+<img\b[^<>]*?\ssrc\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+))[^<>]*>(?:\s*<(?!img\b)[^<>]*>)*\Z""",
    re.IGNORECASE,
)
#: A link to an image in Markdown, and in CSS.
_LINK = re.compile(r"\A(?:!\[[^\]]*\]\(\s*|url\(\s*)([^()\s]+)\s*\)\Z", re.IGNORECASE)
_STRING = r""""[^"\\]*+(?:\\.[^"\\]*+)*+"|'[^'\\]*+(?:\\.[^'\\]*+)*+'"""
_MEMBER = re.compile(rf"\s*({_STRING})\s*:\s*(None|null|b?(?:{_STRING})|\[[\d,\s]*\])\s*(,|\Z)", re.DOTALL)


def visible(text: str) -> str:
    """Return a text without white space around it and characters of no width, which exports put at its start."""
    return text.translate(_BARE).strip() if text[:1] in _NO_WIDTH or text[-1:] in _NO_WIDTH else text.strip()


def unwrapped(cell: object) -> object:
    """Return what a cell holds in its wrappings; a cell without any as it is.

    Read are a list of one, a list of a file's bytes, and in a text: quotes, ``b'...'`` and calls around it, a flat
    object such as ``{"bytes": ..., "path": ...}``, an HTML or Markdown image, and a percent-encoded data URL.
    """
    for _ in range(_DEEPEST):
        inner = _without_one(cell)
        if inner is cell:
            break
        cell = inner
    return cell


def _without_one(cell: object) -> object:
    if isinstance(cell, bytearray | memoryview):
        return bytes(cell)
    if isinstance(cell, list | tuple):
        if len(cell) == 1 and not isinstance(cell[0], int):
            return cell[0]
        return _of_numbers(cell) or cell
    if not isinstance(cell, str):
        return cell
    text = visible(cell)
    if text[:7].lower() == "data%3a":
        return unquote(text)
    if text[:4].lower() == "&lt;":
        return html.unescape(text)
    return _without_one_of_text(cell, text) if text[-1:] in _ENDS else cell


def _without_one_of_text(cell: str, text: str) -> object:
    """Return what is in a text, or the cell itself."""
    if found := _QUOTED_TWICE.match(text):
        return found[2]
    if (found := _QUOTED_BYTES.match(text)) and not _is_escaped_bytes(found[2]):
        return found[2]
    if found := _QUOTED.match(text):
        opens, prefix, quote, inner, closes = found.groups()
        if prefix == "" == opens and quote != "`" and (f"\\{quote}" in inner or _is_escaped_bytes(inner)):
            return _literal(text)
        if bool(opens) == bool(closes) and not re.search(rf"(?<!\\){quote}", inner):
            content = _bytes_of(inner) if prefix == "b" else inner
            return cell if content is None else content
    if found := _CURLY.match(text) or _CALL.match(text) or _TUPLE_OF_ONE.match(text):
        return found[1]
    if found := _IMAGE_TAG.match(text):
        return html.unescape(found[1] or found[2] or found[3] or "")
    if found := _LINK.match(text):
        return found[1]
    if _NUMBERS.match(text):
        return _of_numbers([int(each) for each in text[1:-1].split(",")]) or cell
    if text.startswith("[") and text[1:].lstrip()[:1] == "{" and text[:-1].rstrip()[-1:] == "}":
        return text[1:-1]
    if text.startswith("{") and text.endswith("}"):
        return _members(text[1:-1]) or cell
    return cell


def _is_escaped_bytes(inner: str) -> bool:
    """Return whether a text is printed bytes whose backslashes were escaped once more, as JSON does."""
    return inner[:1] == "b" and "\\\\x" in inner and not re.search(r"(?<!\\)\\x", inner)


def _of_numbers(values: list[object] | list[int] | tuple[object, ...]) -> bytes | None:
    """Return the bytes that a list of numbers from 0 to 255 spells; None if it is another list."""
    if len(values) < 2 or not all(type(each) is int and 0 <= each <= 255 for each in values):
        return None
    return bytes(values)  # type: ignore[arg-type]  # all are numbers


def _members(inner: str) -> dict[str, object] | None:
    """Return the members of a flat object as JSON or Python writes it; None if it is another text."""
    members: dict[str, object] = {}
    at = 0
    while at < len(inner):
        found = _MEMBER.match(inner, at)
        if found is None:
            return None
        members[str(_literal(found[1]))] = _literal(found[2])
        at = found.end()
    return members


def _literal(text: str) -> object:
    if text in ("None", "null"):
        return None
    if text.startswith("["):
        return [int(each) for each in text[1:-1].split(",") if each.strip()]
    if text.startswith("b"):
        content = _bytes_of(text[2:-1])
        return text if content is None else content
    if "\\" not in text:
        return text[1:-1]
    try:
        # Of one string in quotes, which JSON writes as Python does but for the slash.
        return ast.literal_eval(text.replace("\\/", "/").replace("\n", "\\n"))
    except (ValueError, SyntaxError):
        return text[1:-1]


def _bytes_of(inner: str) -> bytes | None:
    """Return the bytes that Python prints as ``b'...'``."""
    try:
        content, _ = codecs.escape_decode(inner.encode("latin-1"))
    except ValueError:
        return None
    return content
