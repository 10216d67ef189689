"""Words below a figure of layers: what it shows, what its band is, and which pairs it is of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import Interval
from vlmprobe.analysis.metric_maker import NOT_COVERING
from vlmprobe.analysis.results import FEWEST_IMAGES
from vlmprobe.pairs import Subset

if TYPE_CHECKING:
    from vlmprobe.analysis.catalog import Curves, Entry

__all__ = ["LAST_LAYERS", "caption_of"]

#: Of every figure of layers.
LAST_LAYERS = "The last layers may hold the answer's word."

#: What a caption says of a metric's intervals.
_BANDS = {
    Interval.JACKKNIFE: "The band is the pointwise 95 % jackknife interval over images.",
    Interval.NOT_COVERING: f"There is no band: {NOT_COVERING}.",
}
_ONE_VECTOR = "There is none where an image has several pairs."
#: Where a reader may compare subsets that the answers chose.
_BOTH = (
    "Only pairs with both answers right. They are selected by the answer: do not compare them with all pairs. A "
    f"missing line has fewer than {FEWEST_IMAGES} images."
)


def caption_of(entry: Entry, curves: Curves, subset: Subset) -> str:
    """Return the caption of a metric's figure in the report."""
    parts = [curves.caption, _BANDS[entry.interval]]
    if entry.one_vector_an_image:
        parts.append(_ONE_VECTOR)
    parts.append(LAST_LAYERS)
    if subset is Subset.BOTH_CORRECT:
        parts.append(_BOTH)
    return " ".join(parts)
