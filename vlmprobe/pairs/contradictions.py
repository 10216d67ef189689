"""Labels that contradict each other: in one row, or in two rows about the same objects of the same image."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from vlmprobe.pairs.boxes import normalize_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.pairs.axes import Answer, AxisSet, Category
    from vlmprobe.pairs.swap_pair import SwapPair

__all__ = ["Claims", "named_relation", "object_key", "question_key"]

_ARTICLE = re.compile(r"an? (?=\S)")


def object_key(name: str) -> str:
    """Return a name as it is compared: without case, articles, doubled spaces, a final period and variant letters."""
    bare = normalize_name(unicodedata.normalize("NFKC", name))
    return _ARTICLE.sub("", bare, count=1) if _ARTICLE.match(bare) else bare


def question_key(text: str) -> str:
    """Return a question as it is compared: without case and doubled spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def named_relation(option: str, axes: AxisSet, subject: str, reference: str) -> Category | None:
    """Return the relation of the subject to the reference that an option names; None unless that is certain.

    Read are a category's words alone, with "to the ... of" and the like around them, and in a sentence about the two
    objects, in either order. Every other text is not certain: it may say more than a relation.
    """
    phrase = " ".join(option.casefold().split()).strip(" .\"'")
    words = _words(axes)
    if not any(word in phrase for word in words):
        return None
    pattern = _relation(tuple(words))
    first, second = normalize_name(subject), normalize_name(reference)
    bare = _without(_without(phrase, first, at_end=False), second, at_end=True)
    if found := pattern.fullmatch(bare):
        return words[found[1]]
    turned = _without(_without(phrase, second, at_end=False), first, at_end=True)
    has_both = len(turned) <= len(phrase) - len(first) - len(second) - 2
    if has_both and (found := pattern.fullmatch(turned)):
        return words[found[1]].opposite
    return None


def _without(phrase: str, name: str, *, at_end: bool) -> str:
    """Return a phrase without the name of an object at one of its ends."""
    for whole in (f"the {name}", name):
        if at_end and phrase.endswith(f" {whole}"):
            return phrase[: -len(whole) - 1]
        if not at_end and phrase.startswith(f"{whole} "):
            return phrase[len(whole) + 1 :]
    return phrase


@cache
def _relation(words: tuple[str, ...]) -> re.Pattern[str]:
    listed = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    return re.compile(
        r"(?:(?:is|are|lies|sits|stands) )?(?:(?:located|placed|positioned|situated) )?(?:(?:to|on|at|in) the )?"
        rf"({listed})(?:[ -]hand)?(?: side)?(?: (?:of|from|to))?"
    )


class Claims:
    """What the rows of a file say about the same objects, or questions, of the same image."""

    def __init__(self) -> None:
        """Start with no row."""
        self._lines: dict[tuple[str, ...], dict[Answer, int]] = {}
        self._pairs: list[tuple[int, tuple[str, ...], Answer, bool]] = []

    def add(self, pair: SwapPair) -> None:
        """Note what a pair claims."""
        if pair.subject is not None and pair.reference is not None:
            first, second = object_key(pair.subject), object_key(pair.reference)
            if first != second:
                turned = second < first
                key = (pair.image_sha256, str(pair.axis), *sorted((first, second)))
                self._add(pair.line, key, pair.category, turned=turned)
            return
        for question in pair.questions:
            self._add(pair.line, (pair.image_sha256, question_key(question.text)), question.expected)

    def _add(self, line: int, key: tuple[str, ...], answer: Answer, *, turned: bool = False) -> None:
        said = answer.opposite if turned else answer
        self._lines.setdefault(key, {}).setdefault(said, line)
        self._pairs.append((line, key, answer, turned))

    def conflicts(self, unit: str) -> Mapping[int, str]:
        """Return the lines of the rows that another row contradicts, with the reason; neither is known to be right.

        Args:
            unit: what the lines count, for the reason.
        """
        found: dict[int, str] = {}
        for line, key, answer, turned in self._pairs:
            said = answer.opposite if turned else answer
            for other, where in self._lines[key].items():
                if other != said and line not in found:
                    theirs = other.opposite if turned else other
                    same = "objects of" if len(key) > 2 else "question about"
                    found[line] = (
                        f"{answer}, but {unit} {where} says {theirs} for the same {same} the same image"
                    )
        return found


def _words(axes: AxisSet) -> dict[str, Category]:
    return {
        word: category
        for category in axes.categories
        for word in (str(category), *category.words, *category.read_as)
    }
