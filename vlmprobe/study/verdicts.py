"""Verdicts about the axes of analyzed runs: assembled from stored states, kept with the run, computed again when stale.

They are kept in ``results_json`` beside a basis: the layer, Holm's p of each axis and the number of its tests, and the
hash of what each run that is involved has. While the basis is equal, so is the verdict.
"""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe import __version__
from vlmprobe.analysis.catalog import RECOMMENDED_LAYER
from vlmprobe.analysis.catalog.robustness import SCENE_WORD_COSINE
from vlmprobe.analysis.controls import VERSION, Beside, Evidence, Origin, Row, Verdict, scene_words, verdict
from vlmprobe.errors import TrackingError, VlmprobeError
from vlmprobe.pairs import AS_WRITTEN, Subset
from vlmprobe.paths import can_write
from vlmprobe.reports.verdicts import (
    ANSWERS,
    BLIND,
    EXCHANGED,
    MOST_COHERENT,
    NULL_1,
    RECOMMENDED,
    AxisVerdict,
)
from vlmprobe.store.datasets import stored_dataset
from vlmprobe.store.metrics import read_results_json
from vlmprobe.store.verdicts import read_verdicts, store_verdicts, verdict_tags
from vlmprobe.study.controls import control_command
from vlmprobe.study.evidence import Sources, evidence_of, find_sources, marks_of
from vlmprobe.study.scene_layers import null_2_notes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from vlmprobe.reports.findings import Findings, ScaleFindings
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["verdicts_of"]

#: As rule 1: an axis above this has its verdict without the deltas of a control.
_ALPHA = 0.05


def verdicts_of(
    workspace: Workspace, runs: Sequence[Run], findings: Findings, *, scales: Sequence[str] = ()
) -> list[AxisVerdict]:
    """Return the verdict about each axis of some runs; those that are new are kept, where the home can be written.

    Args:
        workspace: the home.
        runs: the newest analyzed run of each scale, as of ``findings``.
        findings: of these runs: their axes with Holm's p over all axes and scales.
        scales: only these; empty = all. The family of p-values stays that of all runs.
    """
    asked = [
        (run, of_scale)
        for run, of_scale in zip(runs, findings.scales, strict=True)
        if not scales or run.scale in scales
    ]
    found: list[AxisVerdict] = []
    fresh: dict[str, tuple[_Question, dict[str, _Judged]]] = {}
    for run, question, kept in _questions(workspace, asked, findings.family.n_tests):
        try:
            if isinstance(question, VlmprobeError):
                raise question
            judged = kept if kept is not None else _judge(workspace, question)
        except VlmprobeError as error:
            # The rest of a report needs no states.
            workspace.console.warn(f"{run.name}: no verdict: {error}")
            continue
        if kept is None:
            fresh[run.run_id] = question, judged
        found += [_noted(_shown(question, axis, *each), question.notes) for axis, each in judged.items()]
    if fresh and can_write(workspace.settings.home) and workspace.database.is_writable:
        _keep(workspace, fresh.values())
        _tag(workspace, [question.run for question, _ in fresh.values()])
    return found


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of one run, which decides whether a kept answer still holds."""

    run: Run
    layer: int
    layer_is: str
    p_values: dict[str, float | None]
    n_tests: int
    sources: Sources
    marks: Mapping[str, Sequence[str]]
    command_of: Mapping[str, str]
    notes: Mapping[str, str]
    """Axis -> what Null 2 adds to its verdict, as far as ``robustness`` has looked; no part of what is kept."""

    @property
    def basis(self) -> dict[str, Any]:
        return {
            "vlmprobe": __version__,
            "layer_is": self.layer_is,
            "p_values": self.p_values,
            "n_tests": self.n_tests,
            "runs": {role: list(mark) for role, mark in self.marks.items()},
            # What stands beside a verdict is kept with it.
            "scene_word": SCENE_WORD_COSINE.version,
        }


_Judged = tuple[Verdict, tuple[Beside, ...], str]


def _questions(
    workspace: Workspace, asked: Sequence[tuple[Run, ScaleFindings]], n_tests: int
) -> list[tuple[Run, _Question | VlmprobeError, dict[str, _Judged] | None]]:
    """Return what is asked of each run, or why it cannot be, and the answer by axis if one is kept that still holds."""
    found: list[tuple[Run, _Question | VlmprobeError, dict[str, _Judged] | None]] = []
    # One transaction for all: to open a database for each of a hundred runs would take most of the time.
    with workspace.database.transaction(write=False) as connection:
        for run, of_scale in asked:
            try:
                found.append((run, *_question(connection, run, of_scale, n_tests)))
            except VlmprobeError as error:
                found.append((run, error, None))
    return found


def _question(
    connection: Connection, run: Run, found: ScaleFindings, n_tests: int
) -> tuple[_Question, dict[str, _Judged] | None]:
    recommended = read_results_json(connection, run.run_id, RECOMMENDED_LAYER.name, str(Subset.ALL))
    layer = None if recommended is None else recommended["layer"]
    sources = find_sources(connection, run)
    marks, at = marks_of(connection, sources), found.layer if layer is None else int(layer)
    question = _Question(
        run,
        at,
        MOST_COHERENT if layer is None else RECOMMENDED,
        {axis.axis: axis.p_value for axis in found.axes},
        n_tests,
        sources,
        marks,
        _commands(connection, run, sources),
        null_2_notes(connection, run, marks, at),
    )
    kept = read_verdicts(connection, run.run_id, VERSION, question.layer)
    if kept is None or kept["basis"] != question.basis:
        return question, None
    return question, {axis: _read(kept["axes"][axis]) for axis in question.p_values}


def _keep(workspace: Workspace, fresh: Iterable[tuple[_Question, Mapping[str, _Judged]]]) -> None:
    with workspace.database.transaction() as connection:
        for question, judged in fresh:
            value = {
                "basis": question.basis,
                "axes": {axis: _written(*each) for axis, each in judged.items()},
            }
            store_verdicts(connection, question.run.run_id, VERSION, question.layer, value)


def _tag(workspace: Workspace, runs: Sequence[Run]) -> None:
    """Show new verdicts in MLflow, as far as it shows the runs."""
    shown = [run for run in runs if run.mlflow_run_id is not None]
    if not shown or workspace.tracker.is_read_only:
        return
    try:
        with workspace.database.transaction(write=False) as connection:
            tags = {run.run_id: verdict_tags(connection, run.run_id) for run in shown}
        for run in shown:
            workspace.tracker.tag(str(run.mlflow_run_id), tags[run.run_id])
    except TrackingError as error:
        workspace.console.warn(f"{error}; the verdicts are in the database and not in MLflow")


def _judge(workspace: Workspace, question: _Question) -> dict[str, _Judged]:
    tested = [
        axis for axis, p_value in question.p_values.items() if p_value is not None and p_value <= _ALPHA
    ]
    evidence = evidence_of(workspace, question.sources, question.layer, tested) if tested else {}
    try:
        return {
            axis: _of_axis(evidence.get(axis), p_value, question.run.template)
            for axis, p_value in question.p_values.items()
        }
    except ValueError as error:
        raise VlmprobeError(f"layer {question.layer}: {error}") from error


def _of_axis(evidence: Evidence | None, p_value: float | None, template: str) -> _Judged:
    if evidence is None:
        return _untested(p_value), (), ""
    found = verdict(evidence, p_value)
    lacks = _lacks(found, evidence)
    if lacks == ANSWERS and template == AS_WRITTEN:
        found, lacks = replace(found, missing=_NO_YES_NO), ""
    return found, scene_words(evidence), lacks


def _untested(p_value: float | None) -> Verdict:
    """Return the verdict of rule 1 by p alone, which needs no vectors."""
    return verdict(Evidence(np.zeros((0, 1)), [], []), p_value)


#: Why no command helps.
_NO_YES_NO = "its file spells the questions out, so that no yes/no templates can be asked"


def _lacks(found: Verdict, evidence: Evidence) -> str:
    """Return what the next rule would need, if it was not run."""
    if found.origin is Origin.OPEN and evidence.scene is None and all(row.holds for row in found.rows):
        return EXCHANGED
    if found.origin is not Origin.NONE or any(row.holds is None for row in found.rows):
        return ""
    if not evidence.blind:
        return BLIND
    return ANSWERS if evidence.answers is None else NULL_1


def _commands(connection: Connection, run: Run, sources: Sources) -> dict[str, str]:
    """Return the commands that run what may be missing, without a scale."""
    usual = control_command(connection, run)
    found = {BLIND: control_command(connection, run, own_template=True), ANSWERS: usual}
    # Where a file has been asked about, it has no pictures for the axis that lacks them.
    found[EXCHANGED] = control_command(connection, run, image_swaps="FILE")
    if sources.exchanged is not None:
        swaps = str(stored_dataset(connection, sources.exchanged[0].dataset_id).path)
        found[NULL_1] = control_command(connection, run, image_swaps=shlex.quote(swaps))
    return found


def _shown(
    question: _Question, axis: str, found: Verdict, beside: tuple[Beside, ...], lacks: str
) -> AxisVerdict:
    run = question.run
    return AxisVerdict(
        run.family,
        run.scale,
        run.template,
        run.run_id,
        axis,
        question.layer,
        question.layer_is,
        question.p_values[axis],
        question.n_tests,
        found,
        beside,
        {role: run_id for role, (run_id, _) in question.marks.items()},
        lacks,
        question.command_of.get(lacks, ""),
    )


def _noted(found: AxisVerdict, notes: Mapping[str, str]) -> AxisVerdict:
    """Add what Null 2 says of an axis that passed the rules about the blind controls and the answer's words."""
    note = notes.get(found.axis)
    if note is None or found.verdict.rows[-1].rule < 4:
        return found
    whole = f"{found.verdict.note}; {note}" if found.verdict.note else note
    return replace(found, verdict=replace(found.verdict, note=whole))


def _written(found: Verdict, beside: tuple[Beside, ...], lacks: str) -> dict[str, Any]:
    """Return a verdict as ``results_json`` keeps it; ``_read`` reads it back."""
    return {
        "says": str(found),
        "verdict": str(found.origin),
        "controls": list(found.controls),
        "missing": found.missing,
        "note": found.note,
        "lacks": lacks,
        "rows": [asdict(row) for row in found.rows],
        "beside": [asdict(row) for row in beside],
    }


def _read(kept: Mapping[str, Any]) -> _Judged:
    found = Verdict(
        Origin(kept["verdict"]),
        tuple(Row(**row) for row in kept["rows"]),
        tuple(kept["controls"]),
        kept["missing"],
        kept["note"],
    )
    return found, tuple(Beside(**row) for row in kept["beside"]), kept["lacks"]
