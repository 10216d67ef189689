"""The old results layout (``results/{model}/csv|json|npz``), written and read. Imports no database code."""

from vlmprobe.interop.directions import DIRECTION_FORMATS, write_directions
from vlmprobe.interop.documents import prediction_stats
from vlmprobe.interop.old_layout import (
    TAGS,
    AnsweredPair,
    ImportedRun,
    PairFacts,
    Quad,
    QuadDeltas,
    ScaleData,
    ScaleResults,
)
from vlmprobe.interop.published import PublishedValue, read_published
from vlmprobe.interop.read import read_results
from vlmprobe.interop.write import write_results, write_scale, write_summary
from vlmprobe.interop.write_arrays import write_arrays

__all__ = [
    "DIRECTION_FORMATS",
    "TAGS",
    "AnsweredPair",
    "ImportedRun",
    "PairFacts",
    "PublishedValue",
    "Quad",
    "QuadDeltas",
    "ScaleData",
    "ScaleResults",
    "prediction_stats",
    "read_published",
    "read_results",
    "write_arrays",
    "write_directions",
    "write_results",
    "write_scale",
    "write_summary",
]
