"""The mathematics: arrays in, numbers with their uncertainty out. Imports no model and no database code."""

from vlmprobe.analysis.accuracy import CategoryValidity, category_validity
from vlmprobe.analysis.alignment import alignment_metrics
from vlmprobe.analysis.axis_metrics import AxisMetrics
from vlmprobe.analysis.catalog import CATALOG
from vlmprobe.analysis.coherence import PairwiseCosine, pairwise_cosine
from vlmprobe.analysis.deltas import axis_direction, deltas, sign_corrected, unit
from vlmprobe.analysis.entanglement import axis_pairs, category_pairs
from vlmprobe.analysis.layer_choice import LayerCandidates, layer_candidates, representative_layers
from vlmprobe.analysis.layers import LayerMetrics, layer_metrics
from vlmprobe.analysis.pair_groups import PairGroups
from vlmprobe.analysis.perspective import perspective_metrics
from vlmprobe.analysis.projection import Projection, project_deltas, project_states
from vlmprobe.analysis.results import (
    AccuracyPoint,
    LayerCurve,
    Metric,
    PeakPoint,
    PointCloud,
    SimilarityMatrix,
)

__all__ = [
    "CATALOG",
    "AccuracyPoint",
    "AxisMetrics",
    "CategoryValidity",
    "LayerCandidates",
    "LayerCurve",
    "LayerMetrics",
    "Metric",
    "PairGroups",
    "PairwiseCosine",
    "PeakPoint",
    "PointCloud",
    "Projection",
    "SimilarityMatrix",
    "alignment_metrics",
    "axis_direction",
    "axis_pairs",
    "category_pairs",
    "category_validity",
    "deltas",
    "layer_candidates",
    "layer_metrics",
    "pairwise_cosine",
    "perspective_metrics",
    "project_deltas",
    "project_states",
    "representative_layers",
    "sign_corrected",
    "unit",
]
