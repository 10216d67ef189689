"""The mathematics: arrays in, numbers with their uncertainty out. Knows no model and no database."""

from vlmprobe.analysis.accuracy import CategoryValidity, category_validity, wilson_interval
from vlmprobe.analysis.alignment import ALIGNMENT_VERSIONS, alignment_metrics
from vlmprobe.analysis.coherence import PairwiseCosine, pairwise_cosine
from vlmprobe.analysis.deltas import deltas, sign_corrected, unit
from vlmprobe.analysis.entanglement import AXIS_PAIRS, CATEGORY_PAIRS
from vlmprobe.analysis.layer_choice import (
    CANDIDATES_VERSION,
    LayerCandidates,
    layer_candidates,
    representative_layers,
)
from vlmprobe.analysis.layers import METRIC_VERSIONS as _LAYER_VERSIONS
from vlmprobe.analysis.layers import LayerMetrics, layer_metrics
from vlmprobe.analysis.perspective import PERSPECTIVE_VERSIONS, perspective_metrics
from vlmprobe.analysis.projection import PCA_VERSION, Projection, project_deltas, project_states
from vlmprobe.analysis.resampling import (
    bootstrap_weights,
    percentile_interval,
    random_signs,
    sign_flip_p_value,
)
from vlmprobe.analysis.results import (
    AccuracyPoint,
    CategoryPoint,
    LayerCurve,
    Metric,
    PeakPoint,
    PointCloud,
    SimilarityMatrix,
)

__all__ = [
    "AXIS_PAIRS",
    "CANDIDATES_VERSION",
    "CATEGORY_PAIRS",
    "METRIC_VERSIONS",
    "PCA_VERSION",
    "AccuracyPoint",
    "CategoryPoint",
    "CategoryValidity",
    "LayerCandidates",
    "LayerCurve",
    "LayerMetrics",
    "Metric",
    "PairwiseCosine",
    "PeakPoint",
    "PointCloud",
    "Projection",
    "SimilarityMatrix",
    "alignment_metrics",
    "bootstrap_weights",
    "category_validity",
    "deltas",
    "layer_candidates",
    "layer_metrics",
    "pairwise_cosine",
    "percentile_interval",
    "perspective_metrics",
    "project_deltas",
    "project_states",
    "random_signs",
    "representative_layers",
    "sign_corrected",
    "sign_flip_p_value",
    "unit",
    "wilson_interval",
]

#: The version of every metric that this package computes, by name.
METRIC_VERSIONS = {**_LAYER_VERSIONS, **ALIGNMENT_VERSIONS, **PERSPECTIVE_VERSIONS}
