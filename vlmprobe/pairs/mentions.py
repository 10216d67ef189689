"""What the text of a question names first: which of the two objects, and which of the two answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmprobe.pairs.axes import Answer
    from vlmprobe.pairs.swap_pair import Question, SwapPair

__all__ = ["expected_is_first", "subject_is_first"]


def subject_is_first(pair: SwapPair) -> bool | None:
    """Return whether the original question names the subject before the reference; None if it does not name both."""
    if pair.subject is None or pair.reference is None:
        return None
    places = _places_of_names(pair.orig.text, (pair.subject, pair.reference))[1]
    subject, reference = (places.get(name) for name in (pair.subject, pair.reference))
    if subject is None or reference is None:
        return None
    return subject < reference


def expected_is_first(question: Question, names: tuple[str, ...] = ()) -> bool | None:
    """Return whether a question lists its right answer before the wrong one; None if it does not list both.

    Args:
        question: with its two answers.
        names: of the objects, whose own words ("right chair") are no answers.
    """
    text = _places_of_names(question.text, names)[0]
    right, wrong = _place_of(question.expected, text), _place_of(question.opposite, text)
    return None if right is None or wrong is None else right < wrong


def _places_of_names(text: str, names: tuple[str, ...]) -> tuple[str, dict[str, int]]:
    """Return a text with the names blanked out, and where each name begins; the longest name is found first."""
    rest, places = text.casefold(), {}
    for name in sorted(names, key=len, reverse=True):
        found = re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", rest)
        if found:
            places[name] = found.start()
            rest = f"{rest[: found.start()]}{' ' * len(found[0])}{rest[found.end() :]}"
    return rest, places


def _place_of(answer: Answer, text: str) -> int | None:
    words = (str(answer), *getattr(answer, "words", ()), *getattr(answer, "read_as", ()))
    listed = "|".join(re.escape(word.casefold()) for word in words)
    found = re.search(rf"\b(?:{listed})\b", text)
    return found.start() if found else None
