"""Is it space? What an axis is made of: the scene, the answer's words, names that leak, one inner product.

Pure functions of deltas, categories and images. A row of NaN is a pair that was not asked in that control; it is left
out there, and nowhere else.
"""

from vlmprobe.analysis.controls.deltas import Counterbalanced
from vlmprobe.analysis.controls.verdict import (
    SAME_AXIS,
    VERSION,
    Evidence,
    Origin,
    Row,
    Verdict,
    verdict,
)

__all__ = [
    "SAME_AXIS",
    "VERSION",
    "Counterbalanced",
    "Evidence",
    "Origin",
    "Row",
    "Verdict",
    "verdict",
]
