"""Results in, matplotlib figures out: no query, no computing, no pyplot and no global state."""

from __future__ import annotations

from vlmprobe.figures.accuracy import accuracy_over_scales
from vlmprobe.figures.curves import layer_curves, vd_ei_over_layers
from vlmprobe.figures.encode import to_png, to_svg
from vlmprobe.figures.heatmap import similarity_heatmap
from vlmprobe.figures.theme import AXIS_COLORS, CATEGORY_COLORS, scale_marks

__all__ = [
    "AXIS_COLORS",
    "CATEGORY_COLORS",
    "accuracy_over_scales",
    "layer_curves",
    "scale_marks",
    "similarity_heatmap",
    "to_png",
    "to_svg",
    "vd_ei_over_layers",
]
