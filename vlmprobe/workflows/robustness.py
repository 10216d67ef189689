"""Robustness: whether axes hang on the inner product, on answers or on a wording, from what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.analysis.controls import Split
from vlmprobe.errors import MissingPackageError, UsageError, unknown_name
from vlmprobe.pairs import PUBLISHED
from vlmprobe.study.pictured import BoxSources
from vlmprobe.study.robust_runs import robust_runs, rows_of
from vlmprobe.study.scene_layers import scene_rows
from vlmprobe.study.selection import Selection
from vlmprobe.study.transfers import probe_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vlmprobe.analysis.controls import Fit
    from vlmprobe.analysis.deltas import BoolArray, FloatArray
    from vlmprobe.reports.robustness import RobustnessRow
    from vlmprobe.workspace import Workspace

__all__ = ["logistic", "robustness", "split_list"]

#: Of the logistic regression: the inverse of its penalty, small since there are more dimensions than pairs.
_C, _STEPS = 0.01, 1000


def robustness(
    workspace: Workspace,
    family: str,
    data: Path,
    *,
    scales: Sequence[str] = (),
    template: str = PUBLISHED.name,
    max_per_category: int = 200,
    layer: int | None = None,
    splits: Sequence[Split] = (),
    boxes: BoxSources | None = None,
) -> list[RobustnessRow]:
    """Read the newest complete run of each scale at one layer, and say what its axes hang on.

    What exchanged pictures say is read in all layers that the runs share.

    Args:
        workspace: the home.
        family: whose runs.
        data: a benchmark file, or the name of a stored dataset.
        scales: only these; empty = all with a complete run.
        template: of the runs; runs under other templates are what they are held against.
        max_per_category: if ``data`` is a file: the pairs per category that the runs were extracted with.
        layer: to read; None = the recommended one, else the last one stored.
        splits: of a logistic probe; empty = no probe.
        boxes: of the objects, for Null 2, where the benchmarks' files have none.

    Raises:
        UsageError: no run matches, or one lacks the layer.
        MissingPackageError: a probe needs scikit-learn.
        InputError: there is no such dataset, or a state is not finite, or boxes cannot be read.
    """
    fit = logistic() if splits else None
    selection = Selection((family,), tuple(scales), data, max_per_category)
    found: list[RobustnessRow] = []
    for runs in robust_runs(workspace, selection, template, layer):
        found += rows_of(runs)
        found += scene_rows(workspace, runs.read, boxes or BoxSources())
        if fit is not None:
            found += probe_rows(runs.read, fit, splits)
    return found


def logistic() -> Fit:
    """Return what trains a logistic regression.

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise MissingPackageError(
            "--probe needs the package 'scikit-learn'; run: pip install 'vlmprobe[probe]'"
        ) from None

    def fit(states: FloatArray, labels: BoolArray) -> Callable[[FloatArray], BoolArray]:
        predict: Callable[[FloatArray], BoolArray] = (
            LogisticRegression(C=_C, max_iter=_STEPS).fit(states, labels).predict
        )
        return predict

    return fit


def split_list(text: str) -> tuple[Split, ...]:
    """Read names of splits.

    Raises:
        UsageError: there is no such split, or it is a random one.
    """
    found = []
    for name in dict.fromkeys(part.strip() for part in text.split(",")):
        if name == "random":
            raise UsageError(
                "--splits random: the two questions of a pair would fall on both sides, which gives .21 to .28 on an "
                f"untrained model, not .5; use {' or '.join(Split)}"
            )
        if name not in set(Split):
            raise unknown_name("split", name, list(Split))
        found.append(Split(name))
    return tuple(found)
