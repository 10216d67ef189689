"""Intervals and tests that know that pairs about one image belong together.

Values of each image left out in turn (:mod:`jackknife`) give intervals, contrasts, paired differences and wild tests.
Permuted labels say whether an axis is there at all, in one layer or in any.
"""

from vlmprobe.analysis.inference.equivalence import Equivalence, binomial_se, equivalence, share_se
from vlmprobe.analysis.inference.estimate import Estimate
from vlmprobe.analysis.inference.families import holm
from vlmprobe.analysis.inference.jackknife import (
    Scale,
    Statistic,
    contrast,
    paired_t,
)
from vlmprobe.analysis.inference.layers import AxisTest, AxisTests, Directions, LayerTest, min_p
from vlmprobe.analysis.inference.permutation import LabelPermutations, hash_order
from vlmprobe.analysis.inference.power import power_difference, power_mcnemar
from vlmprobe.analysis.inference.proportions import (
    clustered_mean,
    effective_wilson,
    exact_mcnemar,
    mean_change,
    paired_difference,
    paired_p_value,
    share_gap,
)
from vlmprobe.analysis.inference.sizes import Contrast, contrast_of_sizes, largest_p, wild_p_of_contrasts
from vlmprobe.analysis.inference.wild import random_sign_p_values, wild_p_values

__all__ = [
    "AxisTest",
    "AxisTests",
    "Contrast",
    "Directions",
    "Equivalence",
    "Estimate",
    "LabelPermutations",
    "LayerTest",
    "Scale",
    "Statistic",
    "binomial_se",
    "clustered_mean",
    "contrast",
    "contrast_of_sizes",
    "effective_wilson",
    "equivalence",
    "exact_mcnemar",
    "hash_order",
    "holm",
    "largest_p",
    "mean_change",
    "min_p",
    "paired_difference",
    "paired_p_value",
    "paired_t",
    "power_difference",
    "power_mcnemar",
    "random_sign_p_values",
    "share_gap",
    "share_se",
    "wild_p_of_contrasts",
    "wild_p_values",
]
