"""Whether the axes of a run hang on the inner product, on its answers, or on a wording: read at one layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.catalog import ORDER_COHERENCE
from vlmprobe.analysis.catalog import robustness as names
from vlmprobe.analysis.controls import (
    Counterbalanced,
    InnerProduct,
    anisotropy,
    answer_following,
    order_warning,
    participation_ratio,
    readouts,
    robustness,
    rogue_share,
    space_coherence,
    space_cosine,
    space_share,
    under_products,
)
from vlmprobe.analysis.entanglement import axis_pairs
from vlmprobe.analysis.geometry import Layout, order_coherence, sums_of_vectors
from vlmprobe.analysis.geometry.estimates import NOT_RESOLVED
from vlmprobe.analysis.inference import Estimate
from vlmprobe.pairs.axes import YesNo
from vlmprobe.pairs.prompts import TEMPLATES
from vlmprobe.reports.robustness import ROBUST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.controls import Readout
    from vlmprobe.reports.robustness import RobustnessRow
    from vlmprobe.study.at_layer import AtLayer


__all__ = ["NOT_BALANCED", "NO_OUTPUT_LAYER", "answers_rows", "products_rows"]

#: Both halves of the counterbalanced answers.
_BALANCED = ("yes-no", "yes-no-opposite")
#: Of the draws of random words.
_SEED = 0
NO_OUTPUT_LAYER = "its output layer is not stored; run 'vlmprobe extract' as before, with --unembedding"
NOT_BALANCED = (
    "needs runs of the same checkpoint under yes-no and yes-no-opposite; run 'vlmprobe extract' with "
    "--templates yes-no,yes-no-opposite"
)
NO_SHARED_PAIRS = "the runs under yes-no and yes-no-opposite have no pair in common at this layer"
NO_WORDS = "the tokenizer has too few whole words for the control"


def products_rows(read: AtLayer) -> Iterator[RobustnessRow]:
    """Yield coherences and VD-EI under each inner product, and how many dimensions carry them."""
    n_axes, axis_of = len(read.axes), {str(axis): place for place, axis in enumerate(read.arrays.axis_set)}
    logits = None if read.output_layer is None else read.output_layer.logit_covariance
    found = under_products(
        read.states[:, 0], read.states[:, 1], read.codes, read.arrays.images, n_axes, logits=logits
    )
    by_product = {each.product: each for each in found}
    counts = [int(read.inside(axis).sum()) for axis, _ in read.axes]
    unknown = Estimate(None, 0, reason=NO_OUTPUT_LAYER)
    for axis, name in read.axes:
        for product in InnerProduct:
            there = by_product.get(product)
            value = unknown if there is None else _alone(there.coherence[axis])
            yield read.row("products", names.COHERENCE_METRIC.name, f"{name}@{product}", value, counts[axis])
        shares = rogue_share(read.deltas, read.layout, axis)
        for top, share in zip((1, 3), shares, strict=True):
            value = Estimate(share, 0, reason=NOT_RESOLVED if share is None else "")
            yield read.row("products", names.ROGUE_SHARE.name, f"{name}@top{top}", value, counts[axis])
        fill = participation_ratio(read.deltas[read.inside(axis)]) if counts[axis] else None
        yield read.row(
            "products", names.PARTICIPATION_RATIO.name, f"{name}@deltas", _number(fill), counts[axis]
        )
    both_of = axis_pairs(read.arrays.axis_set)
    # A cosine has no order; the library has each once.
    pairs = [_sorted(axis_of[str(one)], axis_of[str(other)]) for one, other in both_of]
    for place, (pair, both) in enumerate(zip(pairs, both_of, strict=True)):
        name, n = "/".join(map(str, both)), counts[pair[0]] + counts[pair[1]]
        # Only the first is a claim; the others are what it is held against.
        said = ""
        if place == 0:
            said = ROBUST[robustness(found, pairs[0], pairs[1:]) if len(pairs) > 1 else "open"]
        for product in InnerProduct:
            there = by_product.get(product)
            value = unknown if there is None else _alone(there.cosines[pair])
            yield read.row("products", names.VD_EI_METRIC.name, f"{name}@{product}", value, n, said)
    every = read.states.reshape(-1, read.states.shape[-1])
    twice = [image for image in read.arrays.images for _ in range(2)]
    n = len(read.codes)
    yield read.row(
        "products", names.PARTICIPATION_RATIO.name, "@states", _number(participation_ratio(every)), n
    )
    yield read.row(
        "products", names.ANISOTROPY.name, "@states", _alone(anisotropy(every, twice).estimate()), n
    )


def answers_rows(read: AtLayer, balanced: Mapping[str, AtLayer]) -> Iterator[RobustnessRow]:
    """Yield what of each axis is of the answer.

    Args:
        read: a run.
        balanced: the runs of the same checkpoint and dataset under ``yes-no`` and ``yes-no-opposite``, by template.
    """
    opposed = _opposed(balanced)
    sums = sums_of_vectors(read.deltas, read.layout).units.products()
    of_words = _readouts(read)
    for axis, name in read.axes:
        inside = read.inside(axis)
        n = int(inside.sum())
        for entry, estimate in zip(
            (names.SPACE_SHARE, names.SPACE_COHERENCE), _space(opposed, axis), strict=True
        ):
            yield read.row("answers", entry.name, name, estimate, n)
        following, n_wrong = _following(read, inside)
        yield read.row("answers", names.ANSWER_FOLLOWING.name, name, following, n_wrong)
        yield from _readout_rows(read, of_words[axis], name, n)
        order = order_coherence(sums, axis).estimate()
        warning = order_warning(order.value, read.codes[inside] % 2 == 0)
        yield read.row("answers", ORDER_COHERENCE.name, name, order, n, warning)
    axis_of = {name: axis for axis, name in read.axes}
    for both in axis_pairs(read.arrays.axis_set):
        pair = [axis_of[str(each)] for each in both]
        n = sum(int(read.inside(axis).sum()) for axis in pair)
        yield read.row("answers", names.SPACE_VD_EI.name, "/".join(both), _space_of_both(opposed, *pair), n)


def _opposed(balanced: Mapping[str, AtLayer]) -> tuple[Counterbalanced, Layout] | str:
    """Return the deltas of the pairs that both templates asked, or why there are none."""
    if any(name not in balanced for name in _BALANCED):
        return NOT_BALANCED
    first, second = (balanced[name] for name in _BALANCED)
    if first.states.shape[2] != second.states.shape[2]:
        return NO_SHARED_PAIRS
    place = {pair_id: number for number, pair_id in enumerate(second.arrays.pair_ids)}
    both = [
        (number, place[pair_id]) for number, pair_id in enumerate(first.arrays.pair_ids) if pair_id in place
    ]
    if not both:
        return NO_SHARED_PAIRS
    of_first, of_second = np.array(both, dtype=np.int64).T
    images = [first.arrays.images[number] for number in of_first]
    layout = Layout(first.codes[of_first], images, len(first.arrays.axis_set.categories))
    return Counterbalanced(first.deltas[of_first], second.deltas[of_second]), layout


def _space(opposed: tuple[Counterbalanced, Layout] | str, axis: int) -> tuple[Estimate, Estimate]:
    if isinstance(opposed, str):
        nothing = Estimate(None, 0, reason=opposed)
        return nothing, nothing
    return space_share(*opposed, axis).estimate(), space_coherence(*opposed, axis).estimate()


def _space_of_both(opposed: tuple[Counterbalanced, Layout] | str, one: int, other: int) -> Estimate:
    if isinstance(opposed, str):
        return Estimate(None, 0, reason=opposed)
    return _alone(space_cosine(*opposed, one, other).estimate())


def _following(read: AtLayer, inside: npt.NDArray[np.bool_]) -> tuple[Estimate, int]:
    """Return what the pairs with both answers wrong follow, and their number."""
    right = np.array([read.answers[pair_id].n_right for pair_id in read.arrays.pair_ids], dtype=np.int64)[
        inside
    ]
    images = np.array(read.arrays.images, dtype=np.str_)[inside].tolist()
    wrong = right == 0
    found = answer_following(
        read.deltas[inside], read.codes[inside] % 2 == 0, images, both_right=right == 2, both_wrong=wrong
    )
    return found.estimate(), int(wrong.sum())


def _readouts(read: AtLayer) -> Sequence[Readout | str]:
    """Return the readout of each axis, or why there is none."""
    kept, axes = read.output_layer, [axis for axis, _ in read.axes]
    if kept is None:
        return [NO_OUTPUT_LAYER] * len(axes)
    answers = kept.answers(_opposites(read))
    try:
        return readouts(
            read.deltas,
            read.layout,
            axes,
            kept.scaled_rows,
            answers,
            kept.words,
            layer=read.layer,
            n_layers=read.run.n_layers or 1 + read.layer,
            seed=_SEED,
        )
    except ValueError:
        return [NO_WORDS] * len(axes)


def _readout_rows(read: AtLayer, found: Readout | str, name: str, n: int) -> Iterator[RobustnessRow]:
    entries = names.READOUT_SHARE.name, names.WITHOUT_READOUT.name
    if isinstance(found, str):
        for entry in entries:
            yield read.row("answers", entry, name, Estimate(None, 0, reason=found), n)
        return
    draws = found.random_share, found.random_coherence
    for entry, estimate, random in zip(entries, (found.share, found.coherence), draws, strict=True):
        yield read.row("answers", entry, name, estimate, n)
        values = [value for value in random if value is not None]
        if values:
            text = (
                f"median of {len(values)} draws of {found.rank} directions of random words, seed {found.seed}, from "
                f"{min(values):.2f} to {max(values):.2f}"
            )
            yield read.row("answers", entry, f"{name}@random", _number(float(np.median(values))), n, text)


def _opposites(read: AtLayer) -> list[tuple[str, str]]:
    """Return the words that the run's questions offer: those of all axes, or yes and no."""
    template = TEMPLATES.get(read.run.template)
    if template is not None and template.asks_whether is not None:
        return [(str(YesNo.YES), str(YesNo.NO))]
    return [(str(one), str(other)) for one, other in (axis.categories for axis in read.arrays.axis_set)]


def _sorted(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)


def _alone(estimate: Estimate) -> Estimate:
    """Drop the interval, which was not simulated for this number."""
    return replace(estimate, se=None, ci_low=None, ci_high=None)


def _number(value: float | None) -> Estimate:
    return Estimate(value, 0, reason="" if value is not None else "the vectors do not differ")
