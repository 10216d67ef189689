"""A swap pair: two questions about one image that differ in the order of two objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmprobe.pairs.axes import Answer, Axis, Category
    from vlmprobe.pairs.boxes import Box
    from vlmprobe.pairs.image_source import ImageSource

__all__ = ["Origin", "Question", "RowProblem", "SwapPair"]

#: ``row``: read from a row of the file; ``quad``: added because a quad needs it.
Origin = str


@dataclass(frozen=True, slots=True)
class Question:
    """One side of a pair: what is asked, the right answer and the wrong one."""

    text: str
    expected: Answer
    opposite: Answer
    others: tuple[str, ...] = ()
    """Further options that are offered and never right, a word each."""


@dataclass(frozen=True, slots=True)
class SwapPair:
    """Two questions about one image; both are asked, or neither.

    The image itself stays where it is (``image_source`` reads it), so that a long list of pairs is small.
    """

    pair_id: str
    category: Category
    subject: str | None
    reference: str | None
    orig: Question
    swap: Question
    image_sha256: str
    image_width: int
    image_height: int
    line: int
    """Of the file that the pair was read from, 1-based; its row where the file has no lines."""
    image_source: ImageSource
    image_notes: tuple[str, ...] = ()
    """What a user should know about how the image is shown to a model."""
    image_treated: bool = False
    """Whether its pixels are others than Pillow's conversion to RGB gives."""
    question_id: str | None = None
    origin: Origin = "row"
    perspective: str | None = None
    subject_box: Box | None = None
    """Where the file says it."""
    reference_box: Box | None = None
    subject_depth: float | None = None
    """A larger depth is farther from the camera, in the file's unit."""
    reference_depth: float | None = None
    answer_option: tuple[int, int] | None = field(default=None, compare=False)
    """Of a multiple-choice row: place of the right option, from 0, and number of options. Two forms of one benchmark
    hold the same pairs, whichever of them lists options."""

    @property
    def axis(self) -> Axis:
        """The axis of the pair's category."""
        return self.category.axis

    @property
    def questions(self) -> tuple[Question, Question]:
        """The original and the swapped question."""
        return self.orig, self.swap


@dataclass(frozen=True, slots=True)
class RowProblem:
    """A row that gives no pair, and why."""

    line: int
    what: str
    """What is wrong, in a word or two: ``category``, ``image``, ``duplicate index`` ..."""
    why: str
    column: str | None = None
