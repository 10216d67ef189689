"""Labels that contradict each other: in one row, or in two rows about the same objects of the same image."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from vlmprobe.pairs.axes import ALSO_SAID
from vlmprobe.pairs.boxes import normalize_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vlmprobe.pairs.axes import Answer, Axis, AxisSet, Category
    from vlmprobe.pairs.swap_pair import SwapPair

__all__ = ["Claims", "asked_of_another_axis", "named_corner", "named_relation", "object_key", "question_key"]

#: A name is the same with them: "coffee-table", "coffee_table", '"cup"'.
_BETWEEN_WORDS = re.compile(r"[-_\s\u2010-\u2015\"`*\u201c\u201d,;:!?()\[\]]+")
_APOSTROPHES = str.maketrans("\u2018\u2019", "''")
_BETWEEN_CLAUSES = re.compile(r"(?:,|;)? (?:and|while|but|whereas) |[,;] ")
_CORNER = re.compile(
    r"(?:(?:it is|is) )?(?:(?:to|on|at|in) )?(?:the )?(upper|top|lower|bottom|above|below) (?:and )?(?:to the )?"
    r"(left|right)(?: (?:corner|side|hand side))?"
)
_ARTICLE = re.compile(r"an? (?=\S)")


def object_key(name: str) -> str:
    """Return a name as it is compared: without case, articles, marks, doubled spaces and variant letters."""
    shown = _visible(name).translate(_APOSTROPHES)
    bare = normalize_name(_BETWEEN_WORDS.sub(" ", shown)) or shown
    return _ARTICLE.sub("", bare, count=1) if _ARTICLE.match(bare) else bare


def question_key(text: str) -> str:
    """Return a question as it is compared: without case, doubled spaces and final marks."""
    return " ".join(_visible(text).casefold().split()).rstrip(" ?.!")


def _visible(text: str) -> str:
    """Return a text without characters that have no width, its variant letters as plain ones."""
    shown = "".join(mark for mark in text if unicodedata.category(mark) != "Cf")
    return unicodedata.normalize("NFKC", shown)


def named_relation(option: str, axes: AxisSet, subject: str, reference: str) -> Category | None:
    """Return the relation of the subject to the reference that an option names; None unless that is certain.

    Read are a category's words alone, with "to the ... of" and the like around them, and in a sentence about the two
    objects, in either order. Every other text is not certain: it may say more than a relation.
    """
    phrase = " ".join(_visible(option).casefold().split()).strip(" .,;:!\"'`*")
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
    return _of_each(phrase, words, first, second)


def _of_each(phrase: str, words: Mapping[str, Category], subject: str, reference: str) -> Category | None:
    """Return the relation in a sentence that says where each object is: "the cup is on the left and the book ..."."""
    parts = _BETWEEN_CLAUSES.split(phrase)
    if len(parts) != 2:
        return None
    said: dict[str, Category] = {}
    for part in parts:
        for name in (subject, reference):
            bare = _without(part, name, at_end=False)
            if bare != part and (found := _relation(tuple(words)).fullmatch(bare)):
                said[name] = words[found[1]]
    if len(said) == 2 and said[subject] == said[reference].opposite:
        return said[subject]
    return None


def named_corner(option: str, axes: AxisSet) -> frozenset[Category]:
    """Return the two relations that a corner names, such as "upper right" or "top-left"; empty for another text."""
    words = _words(axes)
    phrase = " ".join(_BETWEEN_WORDS.sub(" ", _visible(option).casefold()).split()).strip(" .'")
    found = _CORNER.fullmatch(phrase)
    if found is None or not all(word in words for word in found.groups()):
        return frozenset()
    return frozenset(words[word] for word in found.groups())


def asked_of_another_axis(text: str, category: Category, axes: AxisSet) -> Axis | None:
    """Return the axis whose two relations a question offers ("above or below"), if it names none of the category's."""
    phrase = question_key(text)
    own = {word for word, each in _words(axes).items() if each.axis == category.axis}
    if any(re.search(rf"\b{re.escape(word)}\b", phrase) for word in own):
        return None
    for axis in axes:
        sides = [
            "|".join(re.escape(word) for word, each in _words(axes).items() if each == side)
            for side in axis.categories
        ]
        for first, second in (sides, sides[::-1]):
            if re.search(rf"\b(?:{first}),? or (?:{second})\b", phrase):
                return axis
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
        r"(?:it(?:'s)? )?(?:(?:is|are|lies|sits|stands) )?(?:(?:located|placed|positioned|situated) )?"
        r"(?:(?:directly|immediately|just|slightly) )?(?:(?:(?:to|on|at|in) )?the )?"
        rf"({listed})(?:[ -]hand)?(?: side)?(?: (?:of|from|to|than))?"
    )


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a pair says; ``turned`` if of its two objects the later one in the alphabet is the subject."""

    pair: SwapPair
    answer: Answer
    turned: bool = False

    @property
    def said(self) -> Answer:
        """The claim as it is of the two objects in alphabetical order."""
        return self._seen(self.answer)

    def against(self, other: _Claim) -> Answer:
        """Return the other's claim as it is in this one's order."""
        return self._seen(other.said)

    def _seen(self, answer: Answer) -> Answer:
        return answer.opposite if self.turned else answer


class Claims:
    """What the rows of a file say about the same objects, or questions, of the same picture.

    A picture is what it looks like: files of other bytes and equal pixels are the same (PNG compressed again, lossless
    WebP). One that was saved with losses (JPEG again) is another picture, since nothing tells it from a similar one.
    """

    def __init__(self) -> None:
        """Start with no row."""
        self._groups: dict[tuple[object, ...], list[_Claim]] = {}

    def add(self, pair: SwapPair) -> None:
        """Note what a pair claims."""
        size = pair.image_width, pair.image_height
        if pair.subject is not None and pair.reference is not None:
            first, second = object_key(pair.subject), object_key(pair.reference)
            if first != second:
                key = (*size, str(pair.axis), *sorted((first, second)))
                claim = _Claim(pair, pair.category, turned=second < first)
                self._groups.setdefault(key, []).append(claim)
            return
        for question in pair.questions:
            key = (*size, question_key(question.text))
            self._groups.setdefault(key, []).append(_Claim(pair, question.expected))

    def conflicts(self, unit: str, picture: Callable[[SwapPair], bytes]) -> Mapping[int, str]:
        """Return the lines of the rows that another row contradicts, with the reason; neither is known to be right.

        Args:
            unit: what the lines count, for the reason.
            picture: returns what is equal for images of equal pixels. It decodes, so it is called only for rows that
                would contradict each other if their images were the same.
        """
        found: dict[int, str] = {}
        for claims in self._groups.values():
            if len({claim.said for claim in claims}) < 2:
                continue
            files = {claim.pair.image_sha256: claim.pair for claim in claims}
            pictures = {digest: picture(pair) if len(files) > 1 else b"" for digest, pair in files.items()}
            by_picture: dict[bytes, list[_Claim]] = {}
            for claim in claims:
                by_picture.setdefault(pictures[claim.pair.image_sha256], []).append(claim)
            for same in by_picture.values():
                _compare(same, unit, found)
        return dict(sorted(found.items()))


def _compare(claims: list[_Claim], unit: str, found: dict[int, str]) -> None:
    """Add the lines of the claims about one picture that another claim contradicts."""
    first = {claim.said: claim for claim in reversed(claims)}
    for claim in claims:
        other = next((first[said] for said in first if said != claim.said), None)
        if other is None:
            return
        pair, theirs = claim.pair, other.pair
        same = "objects of" if pair.subject is not None else "question about"
        image = "the same image"
        if pair.image_sha256 != theirs.image_sha256:
            image = "the same picture, stored as another file of equal pixels"
        why = f"{claim.answer}, but {unit} {theirs.line} says {claim.against(other)} for the same {same} {image}"
        found.setdefault(pair.line, why)


def _words(axes: AxisSet) -> dict[str, Category]:
    return {
        word: category
        for category in axes.categories
        for word in (str(category), *category.words, *category.read_as, *ALSO_SAID.get(str(category), ()))
    }
