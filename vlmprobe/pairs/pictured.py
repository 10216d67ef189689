"""What two objects are to each other in a picture on an axis that their pair is not about, from boxes or depths.

Null 2 of the scene needs it: under the question about another axis (:mod:`other_axis`) a pair has a category of its
own, which no row says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.pairs.axes import DEPTH, HEIGHT, HORIZONTAL
from vlmprobe.pairs.forms import RowRejectedError
from vlmprobe.pairs.other_axis import other_axes
from vlmprobe.pairs.quads import LEVEL_SHARE, both_boxes

if TYPE_CHECKING:
    from vlmprobe.pairs.axes import Axis, Category
    from vlmprobe.pairs.boxes import Boxes
    from vlmprobe.pairs.dataset import Dataset
    from vlmprobe.pairs.swap_pair import SwapPair

__all__ = ["pictured_relations"]


def pictured_relations(
    dataset: Dataset, boxes: Boxes | None = None, *, of_pairs: bool = False
) -> dict[str, Category]:
    """Return what each pair's subject is to its reference on the axis that Null 1 asks about, by the pair's id.

    Left, right, above and below are told from the centers of the two boxes; far and close from the two depths. A pair
    is left out where these are not known or differ by less than 5 % (of the picture's width or height, of the larger
    depth), and where the axis is none of the three.

    Args:
        dataset: the pairs; those outside the sample are looked at too.
        boxes: of the objects; where they lack a pair's, those of its own row count.
        of_pairs: look at the axis of the pair itself instead.

    Raises:
        UsageError: there is one axis alone.
    """
    others = {axis: axis for axis in dataset.axes} if of_pairs else other_axes(dataset.axes)
    found = {pair.pair_id: _relation(pair, others[pair.axis], boxes) for pair in dataset.made}
    return {name: category for name, category in found.items() if category is not None}


def _relation(pair: SwapPair, axis: Axis, boxes: Boxes | None) -> Category | None:
    """Return what the subject is to the reference on an axis; None if that is not known, or about level."""
    if axis == DEPTH:
        if pair.subject_depth is None or pair.reference_depth is None:
            return None
        beyond, room = (
            pair.reference_depth - pair.subject_depth,
            max(pair.subject_depth, pair.reference_depth),
        )
    else:
        # Only of height and depth do the names of axes say which category is canonical.
        sideways = axis == HORIZONTAL and axis.categories == HORIZONTAL.categories
        if not (sideways or axis == HEIGHT) or pair.subject is None or pair.reference is None:
            return None
        try:
            subject, reference = both_boxes(pair, pair.subject, pair.reference, boxes)
        except RowRejectedError:
            return None
        place, room = (0, pair.image_width) if sideways else (1, pair.image_height)
        beyond = subject.center[place] - reference.center[place]
    if abs(beyond) < LEVEL_SHARE * room or not beyond:
        return None
    return axis.canonical if beyond < 0 else axis.canonical.opposite
