"""Whether directions carry over: from template to template, axis to axis and benchmark to benchmark; and probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import robustness as names
from vlmprobe.analysis.controls import AxisDeltas, ProbePairs, Split, probe, transfer_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmprobe.analysis.controls import Fit
    from vlmprobe.reports.robustness import RobustnessRow
    from vlmprobe.study.at_layer import AtLayer

__all__ = ["probe_rows", "transfer_rows"]

#: Of folds, partitions and ranks of names.
_SEED = 0


def transfer_rows(read: AtLayer, others: Sequence[AtLayer]) -> Iterator[RobustnessRow]:
    """Yield the accuracy of each direction on each set of pairs; on its own, all pairs of an image are left out.

    Args:
        read: a run, which the rows are of.
        others: runs of the same checkpoint at the same layer, under other templates or on other benchmarks.
    """
    runs = [read, *(each for each in others if each.states.shape[2] == read.states.shape[2])]
    several = len({each.run.dataset_id for each in runs}) > 1
    sets: dict[str, AxisDeltas] = {}
    for each in runs:
        for axis, name in each.axes:
            inside = each.inside(axis)
            if inside.any():
                where = f"{each.run.dataset}/{each.run.template}" if several else each.run.template
                images = [image for image, keep in zip(each.arrays.images, inside, strict=True) if keep]
                sets[f"{where}:{name}"] = AxisDeltas(each.deltas[inside], each.codes[inside] % 2 == 0, images)
    for (source, target), estimate in transfer_matrix(sets).items():
        own = source == target
        yield read.row(
            "transfer",
            (names.DIRECTION_ACCURACY if own else names.TRANSFER).name,
            source if own else f"{source}->{target}",
            estimate,
            len(sets[target].images),
        )


def probe_rows(read: AtLayer, fit: Fit, splits: Sequence[Split]) -> Iterator[RobustnessRow]:
    """Yield accuracy, control and selectivity of a trained probe for each axis and split."""
    pairs = [read.answers[pair_id] for pair_id in read.arrays.pair_ids]
    for axis, name in read.axes:
        inside = read.inside(axis)
        if not inside.any():
            continue
        kept = [number for number, keep in enumerate(inside) if keep]
        study = ProbePairs(
            read.states[inside, 0],
            read.states[inside, 1],
            read.codes[inside] % 2 == 0,
            [read.arrays.images[number] for number in kept],
            [pairs[number].subject for number in kept],
            [pairs[number].reference for number in kept],
        )
        for split in splits:
            found = probe(study, split, fit, seed=_SEED)
            for entry, estimate in (
                (names.PROBE_ACCURACY, found.accuracy),
                (names.PROBE_CONTROL, found.control),
                (names.PROBE_SELECTIVITY, found.selectivity),
            ):
                note = f"seed {found.seed}"
                yield read.row("probe", entry.name, f"{name}/{split}", estimate, len(kept), note)
