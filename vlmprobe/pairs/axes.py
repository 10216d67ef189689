"""The six spatial categories, the three axes, and which category of an axis keeps its sign."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["AXES", "CATEGORIES", "Answer", "Axis", "Category", "Side", "Subset", "YesNo", "parse_category"]


class Axis(StrEnum):
    """An axis of space; each has a canonical category and its opposite."""

    HORIZONTAL = "horizontal"
    VERTICAL = "vertical"
    DISTANCE = "distance"

    @property
    def canonical(self) -> Category:
        """The category whose pairs keep their sign: left, above, far."""
        return _CATEGORIES_OF[self][0]

    @property
    def categories(self) -> tuple[Category, Category]:
        """The canonical category and its opposite."""
        return _CATEGORIES_OF[self]


class Category(StrEnum):
    """A spatial relation of the subject to the reference."""

    LEFT = "left"
    RIGHT = "right"
    ABOVE = "above"
    BELOW = "below"
    FAR = "far"
    CLOSE = "close"

    @property
    def axis(self) -> Axis:
        """The axis this category lies on."""
        return _AXIS_OF[self]

    @property
    def is_canonical(self) -> bool:
        """Whether a delta of this category keeps its sign (DESIGN: left, above, far)."""
        return self is self.axis.canonical

    @property
    def opposite(self) -> Category:
        """The other category of the axis."""
        first, second = self.axis.categories
        return second if self is first else first


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


_CATEGORIES_OF = {
    Axis.HORIZONTAL: (Category.LEFT, Category.RIGHT),
    Axis.VERTICAL: (Category.ABOVE, Category.BELOW),
    Axis.DISTANCE: (Category.FAR, Category.CLOSE),
}
_AXIS_OF = {category: axis for axis, pair in _CATEGORIES_OF.items() for category in pair}
_READ_AS = {
    "under": Category.BELOW,
    "beneath": Category.BELOW,
    "near": Category.CLOSE,
    "nearby": Category.CLOSE,
}

AXES: tuple[Axis, ...] = tuple(Axis)
#: In the order that sampling and every table use.
CATEGORIES: tuple[Category, ...] = tuple(Category)


def parse_category(text: str) -> Category:
    """Read a category as files write it; ``under`` and ``beneath`` are below, ``near`` and ``nearby`` close.

    Raises:
        ValueError: the text names no category.
    """
    word = text.strip().lower()
    if word in _READ_AS:
        return _READ_AS[word]
    try:
        return Category(word)
    except ValueError:
        known = ", ".join([*CATEGORIES, *_READ_AS])
        raise ValueError(f"unknown category {text.strip()[:40]!r}; known: {known}") from None
