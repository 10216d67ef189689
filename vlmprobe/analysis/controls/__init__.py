"""Is it space? What an axis is made of: the scene, the answer's words, names that leak, one inner product.

Pure functions of deltas, categories and images. A row of NaN is a pair that was not asked in that control; it is left
out there, and nowhere else.
"""

from vlmprobe.analysis.controls.answers import space_coherence, space_cosine, space_share
from vlmprobe.analysis.controls.chance import chance_cosine
from vlmprobe.analysis.controls.deltas import Counterbalanced
from vlmprobe.analysis.controls.dimensions import (
    anisotropy,
    coherence_by_dimension,
    participation_ratio,
    rogue_share,
)
from vlmprobe.analysis.controls.disjoint import DisjointPairs
from vlmprobe.analysis.controls.following import answer_following
from vlmprobe.analysis.controls.inner_products import (
    InnerProduct,
    UnderProduct,
    causal,
    robustness,
    under_products,
    within_whitened,
    zscored,
)
from vlmprobe.analysis.controls.output_layer import OutputLayer
from vlmprobe.analysis.controls.probe import Fit, Probed, ProbePairs, Split, probe
from vlmprobe.analysis.controls.readout import Readout, readout, readout_span, readouts, without_span
from vlmprobe.analysis.controls.scene_word import (
    WORD_LEFT,
    WORD_OUT,
    Beside,
    SceneReadings,
    null_2,
    null_3,
    scene_readings,
    scene_words,
)
from vlmprobe.analysis.controls.shares import order_warning
from vlmprobe.analysis.controls.transfer import (
    AxisDeltas,
    direction_accuracy,
    transfer,
    transfer_matrix,
)
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
    "WORD_LEFT",
    "WORD_OUT",
    "AxisDeltas",
    "Beside",
    "Counterbalanced",
    "DisjointPairs",
    "Evidence",
    "Fit",
    "InnerProduct",
    "Origin",
    "OutputLayer",
    "ProbePairs",
    "Probed",
    "Readout",
    "Row",
    "SceneReadings",
    "Split",
    "UnderProduct",
    "Verdict",
    "anisotropy",
    "answer_following",
    "causal",
    "chance_cosine",
    "coherence_by_dimension",
    "direction_accuracy",
    "null_2",
    "null_3",
    "order_warning",
    "participation_ratio",
    "probe",
    "readout",
    "readout_span",
    "readouts",
    "robustness",
    "rogue_share",
    "scene_readings",
    "scene_words",
    "space_coherence",
    "space_cosine",
    "space_share",
    "transfer",
    "transfer_matrix",
    "under_products",
    "verdict",
    "within_whitened",
    "without_span",
    "zscored",
]
