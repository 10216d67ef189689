"""Which runs a look at robustness reads: one of each scale, and what the same checkpoint answered otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.analysis.side_by_side import few_threads
from vlmprobe.errors import UsageError, VlmprobeError
from vlmprobe.study.at_layer import AtLayer, read_at_layer
from vlmprobe.study.robustness import answers_rows, products_rows
from vlmprobe.study.selection import Selection, of_template
from vlmprobe.study.transfers import transfer_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmprobe.reports.robustness import RobustnessRow
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["RobustRuns", "open_runs", "others_of", "robust_runs", "rows_of", "tables_of"]


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
    return [open_runs(workspace, run, others_of(run, everything), layer) for run in newest.values()]


def rows_of(runs: RobustRuns) -> list[RobustnessRow]:
    """Compute the three tables of one scale."""
    with few_threads():
        return [row for table in tables_of(runs) for row in table()]


def tables_of(runs: RobustRuns) -> tuple[Callable[[], list[RobustnessRow]], ...]:
    """Return what computes each of the three tables of one scale; they do not depend on each other."""
    return (
        lambda: list(products_rows(runs.read)),
        lambda: list(answers_rows(runs.read, runs.by_template)),
        lambda: list(transfer_rows(runs.read, runs.others)),
    )


def others_of(run: Run, everything: Sequence[Run]) -> list[Run]:
    """Return the newest runs of the same checkpoint under other templates and on other benchmarks."""
    newest = {
        (other.dataset_id, other.template): other
        for other in everything
        if (other.family, other.scale, other.fingerprint) == (run.family, run.scale, run.fingerprint)
        and run.fingerprint is not None
        and (other.dataset_id, other.template) != (run.dataset_id, run.template)
    }
    return list(newest.values())


def open_runs(workspace: Workspace, run: Run, others: Sequence[Run], layer: int | None = None) -> RobustRuns:
    """Open a run and the others of its checkpoint at one layer; a line says of which that could not be done.

    Raises:
        UsageError: no hidden states of the run are stored, or not of that layer.
        VlmprobeError: a shard of it is neither in the spool nor in MLflow.
    """
    read = read_at_layer(workspace, run, layer)
    opened = []
    for other in others:
        try:
            opened.append(read_at_layer(workspace, other, read.layer))
        except VlmprobeError as error:
            workspace.console.warn(
                f"{run.name}: left out its run under {other.template} on {other.dataset}: {error}"
            )
    return RobustRuns(read, tuple(opened))
