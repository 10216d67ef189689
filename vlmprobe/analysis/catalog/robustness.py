"""Declares what ``robustness`` prints: whether an axis hangs on the inner product, on answers or on a wording."""

from __future__ import annotations

from vlmprobe.analysis.catalog.targets import each_axis, each_axis_pair
from vlmprobe.analysis.entries import Entry, Interval

__all__ = [
    "ANISOTROPY",
    "ANSWER_FOLLOWING",
    "COHERENCE_METRIC",
    "DIRECTION_ACCURACY",
    "DISJOINT_COSINE",
    "NULL_2",
    "NULL_2_CHANGED",
    "NULL_3",
    "PARTICIPATION_RATIO",
    "PROBE_ACCURACY",
    "PROBE_CONTROL",
    "PROBE_SELECTIVITY",
    "READOUT_SHARE",
    "ROBUSTNESS",
    "ROGUE_SHARE",
    "SCENE_COHERENCE",
    "SCENE_DISJOINT",
    "SCENE_LESS_NULL_1",
    "SCENE_WORD_COSINE",
    "SPACE_COHERENCE",
    "SPACE_SHARE",
    "SPACE_VD_EI",
    "TRANSFER",
    "VD_EI_METRIC",
    "WITHOUT_READOUT",
]

_NOT_STORED = "no run stores it; see 'vlmprobe robustness'"


def _of_axes(name: str, title: str, interval: Interval = Interval.JACKKNIFE, version: int = 1) -> Entry:
    return Entry(
        name=name, version=version, title=title, targets=each_axis, interval=interval, no_figure=_NOT_STORED
    )


#: Of numbers that are printed alone: under these maps, and of shares of a sum, intervals were not simulated.
_NONE = Interval.NOT_COVERING


COHERENCE_METRIC = _of_axes("axis_coherence.metric", "Coherence under another inner product", _NONE)
VD_EI_METRIC = Entry(
    name="vd_ei.metric",
    title="VD-EI under another inner product",
    targets=each_axis_pair,
    interval=_NONE,
    no_figure=_NOT_STORED,
)
ROGUE_SHARE = _of_axes("rogue_share", "Share of the coherence in its best dimensions", _NONE)
PARTICIPATION_RATIO = _of_axes("participation_ratio", "How many dimensions states or deltas fill", _NONE)
ANISOTROPY = Entry(
    name="anisotropy",
    title="Mean cosine of states of different images",
    interval=_NONE,
    no_figure=_NOT_STORED,
)
SPACE_SHARE = _of_axes(
    "answer_balanced.space_share", "Share of the axis that follows the scene, not the word"
)
SPACE_COHERENCE = _of_axes("axis_coherence.answer_balanced", "Coherence of the half that follows the scene")
SPACE_VD_EI = Entry(
    name="vd_ei.answer_balanced",
    title="VD-EI of the half that follows the scene",
    targets=each_axis_pair,
    interval=_NONE,
    no_figure=_NOT_STORED,
)
ANSWER_FOLLOWING = _of_axes("answer_following", "Cosine of wrong pairs and the axis of right ones")
READOUT_SHARE = _of_axes("readout_share", "Share of the axis along the answer's words")
WITHOUT_READOUT = _of_axes("axis_coherence.without_readout", "Coherence without the answer's words")
DIRECTION_ACCURACY = _of_axes("direction.accuracy", "Accuracy of the direction of all other images")
TRANSFER = _of_axes("transfer", "Accuracy of the direction of another axis, template or benchmark")
# Version 2: without what lies along the word's axis, where that is resolved.
SCENE_WORD_COSINE = _of_axes(
    "scene_word.cosine", "Cosine of exchanged names and exchanged pictures", version=2
)
SCENE_COHERENCE = _of_axes("axis_coherence.scene", "Coherence of what exchanged pictures do", version=2)
SCENE_LESS_NULL_1 = _of_axes(
    "axis_coherence.scene_less_null_1", "Coherence of what exchanged pictures do, less Null 1", version=2
)
SCENE_DISJOINT = _of_axes(
    "axis_coherence.scene_disjoint",
    "Coherence of what exchanged pictures do, of pairs that share no object",
    version=2,
)
DISJOINT_COSINE = _of_axes(
    "scene_space.cosine_disjoint",
    "Cosine of space half and scene half - Null 1, of pairs that share no object",
    _NONE,
)
NULL_2 = _of_axes("null_2.size", "Squared length of what turns with a relation that no exchange turns")
NULL_2_CHANGED = _of_axes(
    "null_2.answers_changed",
    "Share of answers that an exchange changed, of a relation it does not turn",
    _NONE,
)
NULL_3 = _of_axes("null_3.coherence", "Coherence of what exchanged pictures do to random weights")
PROBE_ACCURACY = _of_axes("probe.accuracy", "Accuracy of a logistic probe")
PROBE_CONTROL = _of_axes("probe.control", "Accuracy of a logistic probe for random ranks of names")
PROBE_SELECTIVITY = _of_axes("probe.selectivity", "Accuracy of the probe less that of its control")
#: Name -> entry of what ``robustness`` prints, in its order; those with an interval have rows in the simulation tables.
ROBUSTNESS = {
    entry.name: entry
    for entry in (
        COHERENCE_METRIC,
        VD_EI_METRIC,
        ROGUE_SHARE,
        PARTICIPATION_RATIO,
        ANISOTROPY,
        SPACE_SHARE,
        SPACE_COHERENCE,
        SPACE_VD_EI,
        ANSWER_FOLLOWING,
        READOUT_SHARE,
        WITHOUT_READOUT,
        DIRECTION_ACCURACY,
        TRANSFER,
        SCENE_WORD_COSINE,
        SCENE_COHERENCE,
        SCENE_LESS_NULL_1,
        SCENE_DISJOINT,
        DISJOINT_COSINE,
        NULL_2,
        NULL_2_CHANGED,
        NULL_3,
        PROBE_ACCURACY,
        PROBE_CONTROL,
        PROBE_SELECTIVITY,
    )
}
