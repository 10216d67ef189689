"""Axes and angles with intervals that cover, from products of different images.

A layer's deltas are read once (:mod:`sums`); categories, subsets, halves and perspectives are groups of a
:class:`Layout`, and what holds for a union of groups follows from the same sums.
"""

from vlmprobe.analysis.geometry.attenuation import attenuation
from vlmprobe.analysis.geometry.estimates import (
    Effect,
    axis_effect,
    axis_size,
    balanced_coherence,
    category_mean,
    ceiling,
    corrected_cosine,
    inner_product,
    order_coherence,
    order_effect,
    pairwise_coherence,
    pooled_coherence,
)
from vlmprobe.analysis.geometry.halves import (
    Split,
    direction_hits,
    halves,
    split_reading,
    why_no_halves,
)
from vlmprobe.analysis.geometry.layout import Layout
from vlmprobe.analysis.geometry.peak import simultaneous_peak
from vlmprobe.analysis.geometry.products import CrossSums, Products
from vlmprobe.analysis.geometry.sums import (
    DeltaSums,
    sums_of_layouts,
    sums_of_swaps,
    sums_of_two_runs,
    sums_of_vectors,
)

__all__ = [
    "CrossSums",
    "DeltaSums",
    "Effect",
    "Layout",
    "Products",
    "Split",
    "attenuation",
    "axis_effect",
    "axis_size",
    "balanced_coherence",
    "category_mean",
    "ceiling",
    "corrected_cosine",
    "direction_hits",
    "halves",
    "inner_product",
    "order_coherence",
    "order_effect",
    "pairwise_coherence",
    "pooled_coherence",
    "simultaneous_peak",
    "split_reading",
    "sums_of_layouts",
    "sums_of_swaps",
    "sums_of_two_runs",
    "sums_of_vectors",
    "why_no_halves",
]
