"""Results in, matplotlib figures out: no query, no computing, no pyplot and no global state."""

from __future__ import annotations

from vlmprobe.figures.accuracy import accuracy_over_scales
from vlmprobe.figures.accuracy_bars import accuracy_bars, category_validity_bars
from vlmprobe.figures.curve_lines import shared_limits
from vlmprobe.figures.encode import FORMATS, encode, to_pdf, to_png, to_svg
from vlmprobe.figures.heatmap import similarity_heatmap
from vlmprobe.figures.layer_curves import alignment_over_layers, layer_curves, scale_curves, vd_ei_over_layers
from vlmprobe.figures.parallel import Job, draw_all
from vlmprobe.figures.pca import pca_3d, pca_panels
from vlmprobe.figures.theme import scale_marks, step_color
from vlmprobe.figures.trajectory import ablation, accuracy_trajectory, peaks_over_scales
from vlmprobe.figures.validity import Unreliable

__all__ = [
    "FORMATS",
    "Job",
    "Unreliable",
    "ablation",
    "accuracy_bars",
    "accuracy_over_scales",
    "accuracy_trajectory",
    "alignment_over_layers",
    "category_validity_bars",
    "draw_all",
    "encode",
    "layer_curves",
    "pca_3d",
    "pca_panels",
    "peaks_over_scales",
    "scale_curves",
    "scale_marks",
    "shared_limits",
    "similarity_heatmap",
    "step_color",
    "to_pdf",
    "to_png",
    "to_svg",
    "vd_ei_over_layers",
]
