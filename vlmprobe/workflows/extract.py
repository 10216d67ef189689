"""Extract: runs a checkpoint on every pair of a dataset and stores answers and hidden states as it goes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.analysis.leaks import PERSPECTIVE, find_leaks, summary_line
from vlmprobe.errors import UsageError
from vlmprobe.extraction.control import Control, served_run
from vlmprobe.extraction.remarks import changed_line
from vlmprobe.extraction.request import ExtractOptions, ExtractRequest, Prepared, prepare
from vlmprobe.extraction.session import LazyModel, RunSession, SessionResult
from vlmprobe.store.datasets import register_dataset, register_quads
from vlmprobe.store.earlier_runs import begun_on_another_content, other_checkpoint
from vlmprobe.store.leaks import read_leaks, store_leaks
from vlmprobe.store.lease import hold_lease
from vlmprobe.store.predictions import unnamed_answers
from vlmprobe.store.runs import Run, RunPlan, open_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.workspace import Workspace

__all__ = ["ExtractOptions", "ExtractRequest", "ExtractResult", "extract"]


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """The outcome of an extraction, and where its shards are."""

    run: Run
    n_pairs: int
    reused: int
    n_inferred: int
    failed: int
    problems: int
    seconds: float
    interrupted: bool
    spool: Path
    notes: tuple[str, ...] = ()
    unnamed: int = 0
    """Answers of the run that name neither of their two options."""


def extract(workspace: Workspace, request: ExtractRequest) -> list[ExtractResult]:
    """Run one checkpoint on every pair under each template; resume runs that have the same key.

    Returns:
        One result per template, in the request's order; an interrupted one is the last.

    Raises:
        UsageError: an option, a template, the family or the scale is wrong, or the scale's earlier runs are of another
            checkpoint; or a control has no complete run to serve.
        InputError: the dataset or the checkpoint is.
        LeaseHeldError: another process is working on this run.
        VlmprobeError: not one pair could be answered.
        ReadOnlyError: the home cannot be written.
    """
    workspace.require_writable()
    batch_size = request.options.batch_size
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"--batch-size must be 1 or more, not {batch_size}")
    started = time.monotonic()
    first = prepare(request, workspace.console)
    results: list[ExtractResult] = []
    options = first.options if request.control is None else request.control.load_options(first.options)
    with LazyModel(first.family, options, workspace.console) as model:
        workspace.create_database()
        if not request.new_checkpoint:
            _check_checkpoint(workspace, first.plan)
        wanted = [first.under(template) for template in request.options.templates]
        if request.control is not None:
            wanted = _controlled(workspace, wanted, request.control, request.options)
        for prepared in wanted:
            results.append(_extract(workspace, request.options, prepared, model, started))
            if results[-1].interrupted:
                break
            started = time.monotonic()
    return results


def _extract(
    workspace: Workspace, options: ExtractOptions, prepared: Prepared, model: LazyModel, started: float
) -> ExtractResult:
    database = workspace.database
    with database.transaction() as connection:
        register_dataset(connection, prepared.dataset)
        if prepared.quads is not None:
            register_quads(connection, prepared.dataset, prepared.quads)
        run, resumed = open_run(connection, prepared.plan, new=options.new)
        earlier = (
            []
            if resumed or options.new or run.control is not None
            else begun_on_another_content(connection, run)
        )
    for row in earlier:
        workspace.console.warn(changed_line(row, prepared.dataset))
    _check_leaks(workspace, prepared)
    with hold_lease(database.path, run.run_key):
        work = RunSession(workspace, prepared, model, run, options.batch_size)
        done = work.find_done(resumed=resumed)
        if work.todo(done):
            inferred = work.infer(done)
        else:
            inferred = SessionResult(False, 0, 0, None, ())
            if options.unembedding:
                work.keep_unembedding()
        work.close(inferred)
    with database.transaction() as connection:
        unnamed = unnamed_answers(connection, run.run_id).n
    return ExtractResult(
        run=work.run,
        n_pairs=len(prepared.pairs),
        reused=len(done),
        n_inferred=inferred.n_inferred,
        failed=inferred.failed,
        problems=len(prepared.dataset.problems),
        seconds=time.monotonic() - started,
        interrupted=inferred.interrupted,
        spool=work.spool,
        notes=inferred.notes,
        unnamed=unnamed,
    )


def _controlled(
    workspace: Workspace, wanted: Sequence[Prepared], control: Control, options: ExtractOptions
) -> list[Prepared]:
    """Turn each request into its control, once the run that it serves is known to be there."""
    with workspace.database.transaction() as connection:
        served = [served_run(connection, prepared.plan, control, options.data) for prepared in wanted]
    return [prepared.controlled(control, run) for prepared, run in zip(wanted, served, strict=True)]


def _check_leaks(workspace: Workspace, prepared: Prepared) -> None:
    """Store what the pairs give away before the model is asked; of pairs that were checked, only boxes are new."""
    dataset, quads = prepared.dataset, prepared.quads
    with workspace.database.transaction() as connection:
        known = read_leaks(connection, dataset.dataset_id, dataset.template)
    if known and (
        quads is None or any(leak.name == PERSPECTIVE and leak.value is not None for leak in known)
    ):
        return
    leaks = find_leaks(dataset.pairs, dataset.axes, None if quads is None else quads.perspectives)
    if any(leak.is_alarm for leak in leaks):
        workspace.console.say(f"{summary_line(leaks)}; see 'vlmprobe data check --leaks'")
    with workspace.database.transaction() as connection:
        store_leaks(connection, dataset.dataset_id, dataset.template, leaks)


def _check_checkpoint(workspace: Workspace, plan: RunPlan) -> None:
    """Check that a scale's name stands for the checkpoint that it stood for before."""
    with workspace.database.transaction() as connection:
        other = other_checkpoint(connection, plan)
    if other is None:
        return
    raise UsageError(
        f"{plan.family} @ {plan.scale} was {other.checkpoint} until now (fingerprint {other.fingerprint[:12]}, run of "
        f"{other.created_at:%Y-%m-%d %H:%M} UTC), and is {plan.checkpoint} (fingerprint {plan.fingerprint[:12]}) here; "
        "give it a --scale name of its own, or pass --new-checkpoint to go on under this one"
    )
