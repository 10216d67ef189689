"""Quads: a distance pair and a vertical pair about the same two objects of one image, linked by their boxes.

In a picture of a ground plane, farther objects appear higher. If the boxes agree with that, the distance pair
is ``consistent``; if they contradict it, ``counter``; if the two centers are about level, ``ambiguous``
(arXiv 2605.30161).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vlmprobe.pairs.axes import DEPTH, HEIGHT
from vlmprobe.pairs.forms import RowRejectedError
from vlmprobe.pairs.prompts import get_template
from vlmprobe.pairs.swap_pair import RowProblem, SwapPair

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.pairs.axes import Axis, Category
    from vlmprobe.pairs.boxes import Box, Boxes
    from vlmprobe.pairs.dataset import Dataset

__all__ = ["LEVEL_SHARE", "OUTCOMES", "PERSPECTIVES", "QuadLink", "QuadSet", "both_boxes", "link_quads"]

#: Whether a distance pair's boxes agree with perspective.
PERSPECTIVES = ("consistent", "counter", "ambiguous")
#: Outcomes of linking a distance pair; the keys of ``QuadSet.counts``.
OUTCOMES = ("matched", "ambiguous", "no_box", "no_objects")

#: Two centers are level if their heights differ by less than this share of the image's height.
LEVEL_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class QuadLink:
    """A quad, by the ids of its two pairs."""

    distance_pair_id: str
    vertical_pair_id: str
    """``{distance_pair_id}/v``."""


@dataclass(frozen=True, slots=True)
class QuadSet:
    """The quads of a dataset, and the pairs that they need besides the dataset's own."""

    links: tuple[QuadLink, ...]
    """In file order of the distance pairs."""
    pairs: tuple[SwapPair, ...]
    """Pairs of origin ``quad``, in file order: of each quad its distance pair where that is outside the
    dataset's sample (with its perspective), then its vertical pair."""
    perspectives: Mapping[str, str]
    """One of ``PERSPECTIVES`` for every distance pair that has boxes, sampled or not, by pair id."""
    counts: Mapping[str, int]
    """Distance pairs by outcome; each of ``OUTCOMES`` has an entry, and they add up to all distance pairs."""
    problems: tuple[RowProblem, ...] = field(default=())
    """By the dataset's line, at most one each. ``no_box`` and ``no_objects`` say why a pair has no boxes;
    ``box`` that a center lies outside the image, which drops nothing."""

    def under(self, template: str) -> QuadSet:
        """Return the same quads, their pairs worded by another template.

        Raises:
            UsageError: there is no such template.
        """
        return replace(self, pairs=tuple(map(get_template(template).reword, self.pairs)))


def link_quads(dataset: Dataset, boxes: Boxes | None = None) -> QuadSet:
    """Link every distance pair made from a file, inside and outside its sample, to its vertical partner.

    A box is looked up by question id and object name; where ``boxes`` lacks one of a pair, those count that the
    pair's own file gives. A pair is ``no_objects`` where its form names no objects, ``no_box`` unless both objects
    have exactly one box, and ``ambiguous`` where the centres' heights differ by less than 5 % of the image's;
    exactly 5 % is a match. The vertical pair asks about the same subject and reference with the dataset's template:
    above where the subject's center is the higher one.
    """
    sampled = {pair.pair_id for pair in dataset.pairs}
    counts = dict.fromkeys(OUTCOMES, 0)
    links: list[QuadLink] = []
    pairs: list[SwapPair] = []
    perspectives: dict[str, str] = {}
    problems: list[RowProblem] = []
    # Axes without height or depth have no quads.
    height = dataset.axes.axis(HEIGHT) if HEIGHT in dataset.axes else None
    for pair in dataset.made:
        if height is None or pair.axis != DEPTH:
            continue
        try:
            subject, reference = _objects(pair)
            subject_box, reference_box = both_boxes(pair, subject, reference, boxes)
        except RowRejectedError as rejected:
            counts[rejected.what] += 1
            problems.append(RowProblem(pair.line, rejected.what, rejected.why, rejected.column))
            continue
        problems.extend(_outside(pair, {subject: subject_box, reference: reference_box}))
        vertical = _vertical_category(height, subject_box, reference_box, pair.image_height)
        if vertical is None:
            counts["ambiguous"] += 1
            perspectives[pair.pair_id] = "ambiguous"
            continue
        counts["matched"] += 1
        # The subject is the farther one of a far pair, and the higher one of an above pair.
        agree = pair.category.is_canonical == vertical.is_canonical
        perspectives[pair.pair_id] = "consistent" if agree else "counter"
        partner = _partner(pair, vertical, dataset.template)
        links.append(QuadLink(pair.pair_id, partner.pair_id))
        if pair.pair_id not in sampled:
            pairs.append(replace(pair, origin="quad", perspective=perspectives[pair.pair_id]))
        pairs.append(partner)
    return QuadSet(tuple(links), tuple(pairs), perspectives, counts, tuple(problems))


def _objects(pair: SwapPair) -> tuple[str, str]:
    if pair.subject is None or pair.reference is None:
        raise RowRejectedError("no_objects", "the row has its own questions and names no objects")
    return pair.subject, pair.reference


def both_boxes(pair: SwapPair, subject: str, reference: str, boxes: Boxes | None) -> tuple[Box, Box]:
    """Return a pair's two boxes, of one origin: the two might use different pixels.

    Raises:
        RowRejectedError: one is not there, or not the only one of its name.
    """
    has_own = pair.subject_box is not None and pair.reference_box is not None
    try:
        if boxes is not None:
            return _only_box(pair, subject, boxes), _only_box(pair, reference, boxes)
    except RowRejectedError:
        if not has_own:
            raise
    if pair.subject_box is None or pair.reference_box is None:
        column = "subject_box" if pair.subject_box is None else "reference_box"
        raise RowRejectedError("no_box", "the row has no box", column)
    return pair.subject_box, pair.reference_box


def _only_box(pair: SwapPair, name: str, boxes: Boxes) -> Box:
    if pair.question_id is None:
        raise RowRejectedError("no_box", "the row has no question_id", "question_id")
    found = boxes.find(pair.question_id, name)
    if len(found) != 1:
        how_many = f"{len(found)} different boxes are" if found else "no box is"
        why = f"{how_many} named {name[:60]!r} for question_id {pair.question_id[:60]!r}"
        raise RowRejectedError("no_box", why)
    return found[0]


def _outside(pair: SwapPair, boxes: Mapping[str, Box]) -> list[RowProblem]:
    """Report a box outside the image; it may belong to another image or to another size of this one."""
    width, height = pair.image_width, pair.image_height
    for name, box in boxes.items():
        x, y = box.center
        if not (0 <= x <= width and 0 <= y <= height):
            why = f"the center of {name[:60]!r}, ({x:g}, {y:g}), is outside the {width} x {height} image"
            return [RowProblem(pair.line, "box", f"{why}; boxes must be in image pixels")]
    return []


def _vertical_category(height: Axis, subject: Box, reference: Box, image_height: int) -> Category | None:
    """Return whether the subject is above or below the reference; None if their centers are about level."""
    lower_by = subject.center[1] - reference.center[1]
    if abs(lower_by) < LEVEL_SHARE * image_height:
        return None
    return height.canonical if lower_by < 0 else height.canonical.opposite


def _partner(pair: SwapPair, category: Category, template: str) -> SwapPair:
    """Return the vertical pair about a distance pair's objects; its id, and so a balanced order, is its own."""
    partner = replace(pair, pair_id=f"{pair.pair_id}/v", category=category, origin="quad", perspective=None)
    return get_template(template).reword(partner)
