"""Which runs a look at robustness reads: one of each scale, and what the same checkpoint answered otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError, VlmprobeError
from vlmprobe.study.at_layer import AtLayer, read_at_layer
from vlmprobe.study.robustness import answers_rows, products_rows
from vlmprobe.study.selection import Selection, of_template
from vlmprobe.study.transfers import transfer_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.reports.robustness import RobustnessRow
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["RobustRuns", "all_robustness", "robust_runs", "rows_of"]


@dataclass(frozen=True)
class RobustRuns:
    """One run, and the runs of its checkpoint under other templates and on other benchmarks, at one layer."""

    read: AtLayer
    others: tuple[AtLayer, ...]

    @property
    def by_template(self) -> dict[str, AtLayer]:
        """The runs on the dataset of the first."""
        on = self.read.run.dataset_id
        return {each.run.template: each for each in (self.read, *self.others) if each.run.dataset_id == on}


def robust_runs(
    workspace: Workspace, selection: Selection, template: str, layer: int | None = None
) -> list[RobustRuns]:
    """Open the newest complete run of each scale under a template, with the others of its checkpoint.

    Raises:
        UsageError: no run matches, or one lacks the layer.
    """
    runs, _ = of_template(selection.complete_runs(workspace), template)
    newest = {run.name: run for run in runs}
    missing = [scale for scale in selection.scales if all(run.scale != scale for run in newest.values())]
    if missing:
        raise UsageError(
            f"no complete run of {', '.join(selection.families)} @ {', '.join(missing)}; run 'vlmprobe extract' first"
        )
    everything = Selection(selection.families, selection.scales).complete_runs(workspace)
    return [_opened(workspace, run, everything, layer) for run in newest.values()]


def rows_of(runs: RobustRuns) -> list[RobustnessRow]:
    """Compute the three tables of one scale."""
    return [
        *products_rows(runs.read),
        *answers_rows(runs.read, runs.by_template),
        *transfer_rows(runs.read, runs.others),
    ]


def all_robustness(workspace: Workspace, runs: Sequence[Run]) -> list[RobustnessRow]:
    """Compute the tables of the runs of a report; one that cannot be read has none, and a line says so."""
    found: list[RobustnessRow] = []
    families = tuple(dict.fromkeys(run.family for run in runs))
    everything = Selection(families).complete_runs(workspace)
    for run in runs:
        try:
            found += rows_of(_opened(workspace, run, everything, None))
        except VlmprobeError as error:
            # The rest of a report needs none of them.
            workspace.console.warn(f"{run.name}: no tables of its robustness: {error}")
    return found


def _opened(workspace: Workspace, run: Run, everything: Sequence[Run], layer: int | None) -> RobustRuns:
    read = read_at_layer(workspace, run, layer)
    newest = {
        (other.dataset_id, other.template): other
        for other in everything
        if (other.family, other.scale, other.fingerprint) == (run.family, run.scale, run.fingerprint)
        and run.fingerprint is not None
        and (other.dataset_id, other.template) != (run.dataset_id, run.template)
    }
    others = []
    for other in newest.values():
        try:
            others.append(read_at_layer(workspace, other, read.layer))
        except VlmprobeError as error:
            workspace.console.warn(
                f"{run.name}: left out its run under {other.template} on {other.dataset}: {error}"
            )
    return RobustRuns(read, tuple(others))
