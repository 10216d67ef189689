"""The mathematics: arrays in, numbers with their uncertainty out. Knows no model and no database."""

from vlmprobe.analysis.accuracy import CategoryValidity, category_validity, wilson_interval
from vlmprobe.analysis.coherence import PairwiseCosine, pairwise_cosine
from vlmprobe.analysis.deltas import deltas, sign_corrected, unit
from vlmprobe.analysis.entanglement import AXIS_PAIRS, CATEGORY_PAIRS
from vlmprobe.analysis.layers import METRIC_VERSIONS, layer_metrics
from vlmprobe.analysis.resampling import bootstrap_weights, percentile_interval
from vlmprobe.analysis.results import AccuracyPoint, LayerCurve, Metric, SimilarityMatrix

__all__ = [
    "AXIS_PAIRS",
    "CATEGORY_PAIRS",
    "METRIC_VERSIONS",
    "AccuracyPoint",
    "CategoryValidity",
    "LayerCurve",
    "Metric",
    "PairwiseCosine",
    "SimilarityMatrix",
    "bootstrap_weights",
    "category_validity",
    "deltas",
    "layer_metrics",
    "pairwise_cosine",
    "percentile_interval",
    "sign_corrected",
    "unit",
    "wilson_interval",
]
