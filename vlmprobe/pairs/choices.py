"""Reads the answer of a multiple-choice row as people spell it: which option it names, and what it says besides."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["UNDERSTOOD", "Choice", "read_choice", "words_of"]

#: What is told where nothing was understood.
UNDERSTOOD = "a letter, an option's text or a relation is understood"

#: Words around a letter that say only that it is the answer.
_FILLER = frozenset(
    (
        *(
            "the",
            "correct",
            "final",
            "best",
            "answer",
            "answers",
            "ans",
            "option",
            "options",
            "choice",
            "letter",
        ),
        *("is", "it", "s", "boxed", "text", "textbf", "mathbf", "mathrm", "solution"),
    )
)
_RIGHT_ANSWER = re.compile(r"\bright(?=\s+(?:answer|option|choice)\b)")
_JOINED = re.compile(r"\b(?:option|choice|answer|ans)[ _#]*(?=[a-z]\b)")
_ANNOUNCED = re.compile(
    r"\W*(?:(?:the|correct|final|best)\s+)*(?:answer|ans|solution)\b\s*(?:is\b)?\W*", re.IGNORECASE
)
_WORD = re.compile(r"[^\W_]+")
#: A letter with a mark behind it or before it, which "a cup" has not.
_MARKED_FIRST = re.compile(r"\W*[a-z](?:\s*[\[(\])}.:;,>|=*]|\s+[-\u2013\u2014]\s)")
_MARKED_LAST = re.compile(r"(?:[\[({:;,<|=*]|\s[-\u2013\u2014])\s*[a-z]\W*\Z")


@dataclass(frozen=True, slots=True)
class Choice:
    """An option that an answer names; a text that names none by itself has no letter."""

    letter: str | None
    text: str
    """What the answer says besides the letter; empty if it says no more."""


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text as they are compared: without case, marks, spaces and variant letters."""
    return tuple(_WORD.findall(_plain(text)))


def read_choice(answer: str, options: Mapping[str, str]) -> Choice:
    """Return which option an answer names: ``B``, ``(b)``, ``option B``, ``B: right``, or the option's text.

    Args:
        answer: as the file has it.
        options: letter -> text, of the options that have one.

    Raises:
        ValueError: the answer names no one option in letters or is a number; the message begins with the answer. A
            text that is no option's is returned without a letter, since it may name a relation.
    """
    shown = f"the answer {' '.join(answer.split())[:40]!r}"
    plain = _JOINED.sub("", _RIGHT_ANSWER.sub("", _plain(answer)))
    words = _bare(_WORD.findall(plain))
    texts = {letter: words_of(text) for letter, text in options.items()}
    named = [letter for letter, text in texts.items() if text in (words_of(answer), tuple(words))]
    if not words and not named:
        raise ValueError(f"{shown} names no option; {UNDERSTOOD}")
    if all(_is_letter(word) or word in ("and", "or") for word in words) and words:
        letters = sorted({word.upper() for word in words if _is_letter(word)})
        if len(letters) == 1:
            return Choice(letters[0], "")
        raise ValueError(f"{shown} names {len(letters)} options; write one letter")
    if named:
        return Choice(named[0], answer.strip())
    if all(word.isdecimal() for word in words):
        raise ValueError(
            f"{shown} is a number, which may count from 0 or from 1; write the letter of the option"
        )
    if words[0].isdecimal() and words[1:] in map(list, texts.values()):
        return Choice(next(letter for letter, text in texts.items() if list(text) == words[1:]), "")
    for marked, word, rest in (
        (_MARKED_FIRST.match(_after_filler(plain)), words[0], words[1:]),
        (_MARKED_LAST.search(plain), words[-1], words[:-1]),
    ):
        if _is_letter(word) and (marked or rest in map(list, texts.values())):
            # "a" may be the article.
            others = {each.upper() for each in rest if each.upper() in options} - {"A", word.upper()}
            if others:
                raise ValueError(f"{shown} names {len(others) + 1} options; write one letter")
            return Choice(word.upper(), " ".join(rest))
    return Choice(None, _ANNOUNCED.sub("", answer.strip()))


def _plain(text: str) -> str:
    visible = "".join(mark for mark in text if unicodedata.category(mark) != "Cf")
    return unicodedata.normalize("NFKC", visible).casefold()


def _is_letter(word: str) -> bool:
    return len(word) == 1 and "a" <= word <= "z"


def _bare(words: Sequence[str]) -> list[str]:
    """Return words without the filler at both ends, unless there is nothing else."""
    kept = [place for place, word in enumerate(words) if word not in _FILLER]
    return list(words[kept[0] : kept[-1] + 1]) if kept else []


def _after_filler(plain: str) -> str:
    found = re.match(rf"(?:\W*\b(?:{'|'.join(_FILLER)})\b)+", plain)
    return plain[found.end() :] if found else plain
