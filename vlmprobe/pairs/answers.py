"""Parses a model's free text: which of two answers it names first, and whether that one is right.

There are two checkers, because a published number can be reproduced only by counting the same way:

``published``
    substrings of the lower-cased text, so "nearly" says close and "closet" says close too.
``words``
    whole words with their inflections. Only forms of the label words and of the synonyms are listed; "top",
    "over" or "lower" are not, since they also name parts of an object ("the top of the shelf").

Yes and no are read as whole words by both: no published number counts them, and "no" is a part of too many words.

Neither understands a sentence: "Right, it is on the left" says right to both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from vlmprobe.errors import unknown_name
from vlmprobe.pairs.axes import YesNo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vlmprobe.pairs.axes import Answer

__all__ = ["CHECKERS", "AnswerCheck", "check_answer"]


def _first_substring(text: str, answer: Answer) -> int | None:
    if isinstance(answer, YesNo):
        return _first_word(text, answer)
    found = [at for word in answer.mentions if (at := text.find(word)) >= 0]
    return min(found, default=None)


def _first_word(text: str, answer: Answer) -> int | None:
    match = _pattern((answer,) if isinstance(answer, YesNo) else answer.words).search(text)
    return None if match is None else match.start()


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    # An underscore is no part of a word here: models write _left_ for emphasis.
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, words))})(?![^\W_])")


_FIRST_MENTION: Mapping[str, Callable[[str, Answer], int | None]] = {
    "published": _first_substring,
    "words": _first_word,
}

#: The default comes first.
CHECKERS: tuple[str, ...] = tuple(_FIRST_MENTION)


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """What a text says; ``parsed`` is None when it names neither answer, or another option before them."""

    parsed: Answer | None
    correct: bool


def check_answer(
    text: str, expected: Answer, opposite: Answer, checker: str = "published", others: Sequence[str] = ()
) -> AnswerCheck:
    """Return which of the two answers a text names first, and whether that is the expected one.

    Args:
        text: the model's answer as generated.
        expected: the right answer.
        opposite: the wrong one.
        checker: one of ``CHECKERS``.
        others: further options that were offered, read as whole words. A text that names one of them first is
            wrong, but it does not say the opposite.

    Raises:
        UsageError: there is no such checker.
    """
    if checker not in _FIRST_MENTION:
        raise unknown_name("answer checker", checker, list(CHECKERS))
    first_mention = _FIRST_MENTION[checker]
    lowered = text.lower()
    mentions = [(at, c) for c in (expected, opposite) if (at := first_mention(lowered, c)) is not None]
    if not mentions:
        return AnswerCheck(parsed=None, correct=False)
    at, parsed = min(mentions, key=lambda mention: mention[0])
    other = _pattern(tuple(others)).search(lowered) if others else None
    if other is not None and other.start() < at:
        return AnswerCheck(parsed=None, correct=False)
    return AnswerCheck(parsed=parsed, correct=parsed == expected)
