"""Text of others on a terminal: a model's answer or a file's name must not move the cursor or rename the window."""

from __future__ import annotations

import re

__all__ = ["plain_text"]

#: Control characters but tab and line feed, those that turn the direction of writing, and halves of characters, which
#: stand for the bytes of a file's name that are not UTF-8.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain_text(text: str) -> str:
    r"""Return a text with what a terminal would obey, or could not print, written out, like ``\x1b``."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
