"""Counterbalanced answers: what of an axis follows the scene, and what the answer's word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.analysis.controls.deltas import sums_of_asked
from vlmprobe.analysis.controls.shares import share_of
from vlmprobe.analysis.geometry import axis_effect, axis_size, balanced_coherence, corrected_cosine
from vlmprobe.analysis.inference import contrast

if TYPE_CHECKING:
    from vlmprobe.analysis.controls.deltas import Counterbalanced
    from vlmprobe.analysis.geometry import Layout
    from vlmprobe.analysis.inference import Statistic

__all__ = ["space_coherence", "space_cosine", "space_share"]


def space_share(answers: Counterbalanced, layout: Layout, axis: int) -> Statistic:
    """Estimate ``answer_balanced.space_share``: |alpha_sigma|^2 / (|alpha_sigma|^2 + |alpha_rho|^2).

    0: all of the axis is the answer's word. 1: none is; names that tell the category are in the space half as well, so
    that a share of 1 is not yet space. Not defined where the sum is not resolved.

    Args:
        answers: deltas of the two templates.
        layout: of the N pairs; groups are categories, 2 k and 2 k + 1 of axis k.
        axis: its number.
    """
    space, word = (
        axis_size(sums_of_asked(half, layout).raw.products(), axis) for half in (answers.space, answers.word)
    )
    return share_of(space, contrast([space, word], [1.0, 1.0]))


def space_coherence(answers: Counterbalanced, layout: Layout, axis: int) -> Statistic:
    """Estimate ``axis_coherence.answer_balanced``: the balanced coherence of the space half.

    Args:
        answers: deltas of the two templates.
        layout: of the N pairs, as of ``space_share``.
        axis: its number.
    """
    return balanced_coherence(sums_of_asked(answers.space, layout).units.products(), axis)


def space_cosine(answers: Counterbalanced, layout: Layout, first: int, second: int) -> Statistic:
    """Estimate ``vd_ei.answer_balanced``: the corrected cosine of two axes in the space half.

    Args:
        answers: deltas of the two templates.
        layout: of the N pairs, as of ``space_share``.
        first: the number of an axis.
        second: of another.
    """
    products = sums_of_asked(answers.space, layout).raw.products()
    return corrected_cosine(products, axis_effect(first), axis_effect(second))
