"""Axes as data: which categories are opposites, what files and models call them, and how they are asked about.

An :class:`AxisSet` belongs to a dataset. :data:`SPACE` is the built-in one, with the axes of "Why Far Looks Up" (arXiv
2605.30161); everything else iterates over the set that it is handed.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from vlmprobe.pairs.axis_checks import MARKERS, check_axes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "ALSO_SAID",
    "DEPTH",
    "HEIGHT",
    "SPACE",
    "Answer",
    "Axis",
    "AxisSet",
    "Category",
    "Side",
    "Subset",
    "YesNo",
]

#: The axes that perspective entangles: in a picture of the ground, farther objects are higher. A set of its own that
#: uses these names means the same by them: the canonical category is the higher one, and the farther one.
HEIGHT, DEPTH = "vertical", "distance"


#: Of an axis, and of its two categories; for sets that bring none.
_COLORS = (
    ("#0072b2", "#56b4e9"),
    ("#00694d", "#33bb8e"),
    ("#d55e00", "#e69f00"),
    ("#6a51a3", "#b39ddb"),
    ("#8c6d00", "#d4b106"),
    ("#aa3377", "#ee99aa"),
)


class _Word(str):
    """A string with attributes, which pickle and copy restore after the string: they refer to each other."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Make the bare string first."""
        return _bare, (type(self), str(self)), self.__dict__


def _bare(cls: type[_Word], name: str) -> _Word:
    return str.__new__(cls, name)


class Category(_Word):
    """A relation of the subject to the reference, one end of an axis: the word itself, with what belongs to it."""

    color: str
    """In figures, as ``#rrggbb``; without one, its axis set picks it."""
    read_as: tuple[str, ...]
    """Other words that files use for it."""
    mentions: tuple[str, ...]
    """Parts of an answer's text that name it, for the checker ``published``."""
    words: tuple[str, ...]
    """Whole words that name it, for the checker ``words``."""
    axis: Axis
    """The axis this category lies on, once there is one."""

    def __new__(
        cls,
        name: str,
        *,
        color: str = "",
        read_as: tuple[str, ...] = (),
        mentions: tuple[str, ...] = (),
        words: tuple[str, ...] = (),
    ) -> Self:
        """Make a category; without ``mentions`` or ``words``, an answer names it by its own word."""
        self = super().__new__(cls, name)
        self.color, self.read_as = color, read_as
        self.mentions, self.words = mentions or (name,), words or (name,)
        return self

    @property
    def facts(self) -> dict[str, Any]:
        """Everything about it, as JSON."""
        return {**self.meaning, "color": self.color}

    @property
    def meaning(self) -> dict[str, Any]:
        """Everything but its color, as JSON."""
        return {
            "name": str(self),
            "read_as": list(self.read_as),
            "mentions": list(self.mentions),
            "words": list(self.words),
        }

    @property
    def is_canonical(self) -> bool:
        """Whether a delta of this category keeps its sign (DESIGN: left, above, far)."""
        return self == self.axis.canonical

    @property
    def opposite(self) -> Category:
        """The other category of the axis."""
        return self.axis.categories[self.is_canonical]


class Axis(_Word):
    """A canonical category, whose pairs keep their sign, and its opposite. It is the axis's name, with the rest."""

    canonical: Category
    categories: tuple[Category, Category]
    """The canonical category and its opposite."""
    color: str
    """In figures, as ``#rrggbb``; without one, its axis set picks it."""
    marker: str
    """In figures, one of ``MARKERS``; without one, its axis set picks it."""
    questions: Mapping[str, str]
    """Name of a template -> its question about this axis; ``{a}`` is the subject, ``{b}`` the reference."""

    def __new__(
        cls,
        name: str,
        canonical: Category,
        opposite: Category,
        *,
        color: str = "",
        marker: str = "",
        questions: Mapping[str, str] | None = None,
    ) -> Self:
        """Join two categories to an axis; they are copied, so that another axis can be made of the same."""
        self = super().__new__(cls, name)
        first, second = copy(canonical), copy(opposite)
        first.axis = second.axis = self
        self.canonical, self.categories = first, (first, second)
        self.color, self.marker, self.questions = color, marker, dict(questions or {})
        return self

    @property
    def facts(self) -> dict[str, Any]:
        """Everything about it, as JSON."""
        return {
            "name": str(self),
            "color": self.color,
            "marker": self.marker,
            "questions": dict(self.questions),
            "categories": [category.facts for category in self.categories],
        }


@dataclass(frozen=True, eq=False)
class AxisSet:
    """The axes of a dataset, in the order of sampling, of every table and of every figure.

    Two sets are equal if nothing that belongs to an axis differs; the words alone do not make an axis.
    """

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        """Refuse what would mean two things or cannot be drawn, and color what has no color.

        Raises:
            ValueError: there is no axis, a name or a synonym is there twice, a name has other characters than a target
                (``left/right``) or a file's name may have, or a question, color or marker is none.
        """
        check_axes(self.axes)
        for place, axis in enumerate(self.axes):
            axis.color = axis.color or _COLORS[place % len(_COLORS)][0]
            axis.marker = axis.marker or MARKERS[place % len(MARKERS)]
            for category, color in zip(axis.categories, _COLORS[place % len(_COLORS)], strict=True):
                category.color = category.color or color

    def __iter__(self) -> Iterator[Axis]:
        """Iterate over the axes."""
        return iter(self.axes)

    def __len__(self) -> int:
        """Return the number of axes."""
        return len(self.axes)

    def __contains__(self, name: object) -> bool:
        """Whether an axis has this name."""
        return name in self.axes

    def __eq__(self, other: object) -> bool:
        """Whether everything of every axis is equal."""
        return isinstance(other, AxisSet) and [each.facts for each in self] == [each.facts for each in other]

    def __hash__(self) -> int:
        """Agree with equality."""
        return hash(self.axes)

    @property
    def meaning(self) -> list[dict[str, Any]]:
        """What decides which questions are asked and how answers are read, as JSON: everything but looks."""
        return [
            {
                "name": str(axis),
                "questions": dict(axis.questions),
                "categories": [category.meaning for category in axis.categories],
            }
            for axis in self
        ]

    @cached_property
    def categories(self) -> tuple[Category, ...]:
        """Axis by axis, the canonical one first: category ``k`` lies on axis ``k // 2``."""
        return tuple(category for axis in self.axes for category in axis.categories)

    def axis(self, name: str) -> Axis:
        """Return the axis of a name.

        Raises:
            ValueError: there is none.
        """
        if name not in self.axes:
            raise ValueError(f"unknown axis {name[:40]!r}; known: {', '.join(self.axes)}")
        return self.axes[self.axes.index(name)]

    def category(self, text: str) -> Category:
        """Read a category as files write it, in any case, by its name or a synonym (``under`` is below).

        Raises:
            ValueError: the text names no category.
        """
        word = text.strip().lower()
        if word not in self._read:
            raise ValueError(f"unknown category {text.strip()[:40]!r}; known: {', '.join(self._read)}")
        return self._read[word]

    @cached_property
    def _read(self) -> dict[str, Category]:
        read = {str(category): category for category in self.categories}
        synonyms = {word: category for category in self.categories for word in category.read_as}
        return read | synonyms


class YesNo(StrEnum):
    """The answer to a question that asks whether one category holds."""

    YES = "yes"
    NO = "no"

    @property
    def opposite(self) -> YesNo:
        """The other answer."""
        return YesNo.NO if self is YesNo.YES else YesNo.YES


#: What a question expects: the category that holds, or yes or no about the one that it names.
Answer = Category | YesNo


class Side(StrEnum):
    """One of the two questions of a swap pair."""

    ORIG = "orig"
    SWAP = "swap"


class Subset(StrEnum):
    """Which pairs a metric is computed over."""

    ALL = "all"
    BOTH_CORRECT = "both_correct"


#: Left/right, above/below and far/close, in the hues of Okabe and Ito; the canonical category is the darker tint.
SPACE = AxisSet(
    (
        Axis(
            "horizontal",
            Category("left", color="#0072B2", words=("left", "leftmost", "leftward", "leftwards")),
            Category("right", color="#56B4E9", words=("right", "rightmost", "rightward", "rightwards")),
            color="#0072B2",
            marker="o",
            questions={
                "published": "Is the {a} to the left or right of the {b}?",
                "mention-swapped": "Compared to the {b}, is the {a} to the left or right?",
                "options-swapped": "Is the {a} to the right or left of the {b}?",
                "yes-no": "Is the {a} to the left of the {b}?",
                "yes-no-opposite": "Is the {a} to the right of the {b}?",
            },
        ),
        Axis(
            HEIGHT,
            Category("above", color="#00694D"),
            Category(
                "below",
                color="#33BB8E",
                read_as=("under", "beneath"),
                mentions=("below", "under", "beneath"),
                words=("below", "under", "underneath", "beneath"),
            ),
            color="#009E73",
            marker="s",
            questions={
                "published": "Is the {a} above or below the {b}?",
                "mention-swapped": "Compared to the {b}, is the {a} above or below?",
                "options-swapped": "Is the {a} below or above the {b}?",
                "yes-no": "Is the {a} above the {b}?",
                "yes-no-opposite": "Is the {a} below the {b}?",
            },
        ),
        Axis(
            DEPTH,
            Category(
                "far",
                color="#D55E00",
                mentions=("far", "distant"),
                words=("far", "farther", "farthest", "further", "furthest", "distant"),
            ),
            Category(
                "close",
                color="#E69F00",
                read_as=("near", "nearby"),
                mentions=("close", "near", "nearby"),
                words=("close", "closer", "closest", "near", "nearer", "nearest", "nearby"),
            ),
            color="#D55E00",
            marker="^",
            questions={
                "published": "Compared to {b}, is {a} far or close from you?",
                "mention-swapped": "Is {a} far or close from you compared to {b}?",
                "options-swapped": "Compared to {b}, is {a} close or far from you?",
                "yes-no": "Compared to {b}, is {a} far from you?",
                "yes-no-opposite": "Compared to {b}, is {a} close to you?",
            },
        ),
    ),
)

#: For what is about these very words: the demo's scenes, and tests.
LEFT, RIGHT, ABOVE, BELOW, FAR, CLOSE = SPACE.categories
HORIZONTAL, VERTICAL, DISTANCE = SPACE.axes

#: Other words for a relation. Files and models do not use them as categories, but they deny one.
ALSO_SAID = {
    "above": ("over", "on top", "atop", "top", "higher", "upper"),
    "below": ("lower", "bottom"),
    "far": ("behind", "farther away", "further away", "far away"),
    "close": ("in front", "close by"),
}
