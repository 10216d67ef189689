"""Compared runs beside their controls: what of a difference in coherence they show as well, and their VD-EI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.analysis.above_control import differences_above_control
from vlmprobe.analysis.angles_beside import angles_of_controls
from vlmprobe.errors import VlmprobeError
from vlmprobe.reports.controls import to_be_run
from vlmprobe.store.controls import OTHER_AXIS, kind_of
from vlmprobe.study.controls import control_command, controls_by_kind
from vlmprobe.study.paired_runs import PairedRuns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmprobe.analysis.difference import Difference
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["PairedControls"]


class PairedControls:
    """The controls of compared runs, on the pairs that all of these runs and all controls of one kind answered."""

    def __init__(self, workspace: Workspace, paired: PairedRuns) -> None:
        """Find the complete controls of each run.

        Args:
            workspace: the home.
            paired: the compared runs; their controls are read in the same layers.
        """
        self._workspace = workspace
        self._paired = paired
        self._of_run = {run.run_id: _kinds(workspace, run) for run in paired.runs}
        self._read: dict[str, PairedRuns | None] = {}

    def common(self, runs: Iterable[Run]) -> list[str]:
        """Return the kinds that all of some runs have, with their seeds, in the order of the first run's."""
        if not self._paired.has_states:
            return []
        first, *others = (self._of_run[run.run_id] for run in runs)
        shared = [kind for kind in first if all(kind in each for each in others)]
        return [kind for kind in shared if self._on_pairs(kind) is not None]

    def differences(self, before: Run, after: Run, kinds: Sequence[str]) -> list[Difference]:
        """Return how far the later run's coherence is above its control's, minus the same of the earlier; and VD-EI.

        Args:
            before: the earlier run.
            after: the later one.
            kinds: what ``common`` returned.
        """
        found: list[Difference] = []
        for kind in kinds:
            if (paired := self._on_pairs(kind)) is None:
                continue
            controls = [self._of_run[run.run_id][kind] for run in (before, after)]
            of_run, of_control = (
                (paired.geometry(first), paired.geometry(second))
                for first, second in ((before, after), controls)
            )
            counts = paired.state_pairs.counts()
            found += differences_above_control(of_run, of_control, kind, counts)
            found += angles_of_controls(of_control, kind, counts)
        return found

    def lacking(self) -> list[str]:
        """Say which controls of which runs were not run, a line each with the command."""
        if not self._paired.has_states:
            return []
        there = {kind: None for kinds in self._of_run.values() for kind in kinds}
        grouped: dict[tuple[str, str, str], list[str]] = {}
        with self._workspace.database.transaction(write=False) as connection:
            for run in self._paired.runs:
                own = self._of_run[run.run_id]
                missing = [kind for kind in there if kind not in own]
                if own and not missing:
                    continue
                what, command = "no controls of", control_command(connection, run)
                if own:
                    what = f"no control {', '.join(missing)} of"
                    command = command and f"{command} --kinds {','.join(missing)}"
                grouped.setdefault((what, run.family, command), []).append(run.scale)
        return [to_be_run(*key, scales) for key, scales in grouped.items()]

    def _on_pairs(self, kind: str) -> PairedRuns | None:
        """Return the compared runs with their controls of one kind; None if these cannot be compared."""
        if kind not in self._read:
            self._read[kind] = self._pair(kind)
        return self._read[kind]

    def _pair(self, kind: str) -> PairedRuns | None:
        layers = dict(self._paired.layers.of_run)
        controls = []
        for run in self._paired.runs:
            if (control := self._of_run[run.run_id].get(kind)) is not None:
                layers[control.run_id] = layers[run.run_id]
                controls.append(control)
        try:
            found = PairedRuns(self._workspace, [*self._paired.runs, *controls], layers)
        except VlmprobeError as error:
            # The runs themselves are compared all the same.
            self._workspace.console.warn(f"controls {kind} are not compared: {error}")
            return None
        return found if found.has_states else None


def _kinds(workspace: Workspace, run: Run) -> dict[str, Run]:
    """Return a run's complete controls by kind and seed; ``other-axis`` has no axis of its own to compare."""
    found = controls_by_kind(workspace, run)
    return {kind: control for kind, control in found.items() if kind_of(kind) != OTHER_AXIS}
