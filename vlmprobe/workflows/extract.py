"""Extract: runs a checkpoint on every pair of a dataset and stores answers and hidden states as it goes."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vlmprobe.analysis.leaks import PERSPECTIVE, find_leaks, summary_line
from vlmprobe.errors import LeaseHeldError, UsageError, VlmprobeError
from vlmprobe.extraction.control import Asked, Control, served_run
from vlmprobe.extraction.foreseen import lacks_answers
from vlmprobe.extraction.lazy_model import LazyModel
from vlmprobe.extraction.plan import check_batch_size, check_options
from vlmprobe.extraction.remarks import changed_line
from vlmprobe.extraction.request import ExtractOptions, ExtractRequest, Prepared, prepare
from vlmprobe.extraction.session import RunSession, SessionResult
from vlmprobe.extraction.together import infer_together
from vlmprobe.store.answers_of_runs import unnamed_answers
from vlmprobe.store.datasets import register_dataset, register_quads
from vlmprobe.store.earlier_runs import begun_on_another_content, other_checkpoint
from vlmprobe.store.leaks import read_leaks, store_leaks
from vlmprobe.store.runs import Run, RunPlan, open_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.store.parts import Part
    from vlmprobe.workspace import Workspace

__all__ = ["Asked", "ExtractOptions", "ExtractRequest", "ExtractResult", "extract", "extract_asked"]

#: How long ``--wait`` waits before it looks again.
_LOOK_AGAIN_S = 3.0


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """The outcome of an extraction, and where its shards are."""

    run: Run
    n_pairs: int
    """Those of the run, or of the part."""
    reused: int
    n_inferred: int
    failed: int
    problems: int
    seconds: float
    """From the beginning to its end; runs that are asked together share their time."""
    interrupted: bool
    spool: Path
    notes: tuple[str, ...] = ()
    unnamed: int = 0
    """Answers of the run that name neither of their two options."""
    part: Part | None = None
    """Which part of the run it was; None = all of it."""


def extract(workspace: Workspace, request: ExtractRequest) -> list[ExtractResult]:
    """Run one checkpoint on every pair under each template; resume runs that have the same key.

    Returns:
        One result per template, in the request's order; after an interruption those of interrupted runs are the last.

    Raises:
        UsageError: an option, a template, the family or the scale is wrong, or the scale's earlier runs are of another
            checkpoint; or a control has no complete run to serve.
        InputError: the dataset or the checkpoint is.
        LeaseHeldError: another process is working on this run.
        VlmprobeError: not one pair could be answered.
        ReadOnlyError: the home cannot be written.
    """
    workspace.require_writable()
    check_options(request.options)
    asked = [Asked(template, request.control) for template in request.options.templates]
    return extract_asked(workspace, request, asked)


def extract_asked(
    workspace: Workspace, request: ExtractRequest, asked: Sequence[Asked]
) -> list[ExtractResult]:
    """Run one checkpoint on every pair in all the ways that are asked for; it is loaded once.

    Runs that are shown the same pictures are asked together: a batch holds the questions of all of them, and each
    picture goes through the model once. Each run has its own lease, shards, rows and status, and is resumed where it
    was.

    Args:
        workspace: the home, as for :func:`extract`.
        request: the checkpoint, the file and the options; quads are only of its own templates. Its ``control`` says
            nothing here.
        asked: what to make. A control serves a real run of its template that is complete, or that stands before it.

    Returns:
        One result each, in their order; after an interruption those of interrupted runs are the last, and others are
        left out.

    Raises:
        Everything that :func:`extract` raises.
    """
    if workspace.workers is None:
        with workspace.keeping_workers():
            return extract_asked(workspace, request, asked)
    started = time.monotonic()
    scale = f"{request.family} @ {request.scale}"
    with workspace.timeline.during("prepared", scale):
        first = prepare(
            request,
            workspace.console,
            hashes=workspace.hashes,
            benchmarks=workspace.benchmarks,
            workers=workspace.workers,
        )
    options = first.options if asked[0].control is None else asked[0].control.load_options(first.options)
    if any(
        each.control is not None and each.control.load_options(first.options) != options for each in asked
    ):
        raise ValueError("random weights are another model, and are asked for apart")
    results: list[ExtractResult] = []
    with LazyModel(first.family, options, workspace.console) as model:
        if not workspace.unchecked_database.exists():
            # Creating it takes seconds, in which the model's processes would wait.
            model.begin()
        workspace.create_database()
        if lacks_answers(workspace.database, request.options, first, asked):
            model.begin()
        workspace.warn_unshared()
        if not request.new_checkpoint:
            _check_checkpoint(workspace, first.plan)
        for together in _by_pictures(asked):
            with workspace.timeline.during("prepared", scale):
                opened = _open_all(workspace, request.options, first, together)
            results += _extract_opened(workspace, request.options, opened, model, started)
            if results[-1].interrupted:
                break
            started = time.monotonic()
    return results


@dataclass(frozen=True, slots=True)
class _Opened:
    """A run in the database, before its lease is held."""

    prepared: Prepared
    run: Run
    resumed: bool


def _by_pictures(asked: Sequence[Asked]) -> list[list[Asked]]:
    """Group what is shown the same pictures; a real run comes before the controls that serve it."""
    groups: dict[str, list[Asked]] = {}
    for each in asked:
        own = each.control is None or each.control.shares_batches
        groups.setdefault("" if own else str(each.control), []).append(each)
    return list(groups.values())


def _open_all(
    workspace: Workspace, options: ExtractOptions, first: Prepared, together: Sequence[Asked]
) -> list[_Opened]:
    """Create or find the runs of one group."""
    real: dict[str, Run] = {}
    opened = []
    for each in together:
        prepared = first.under(each.template)
        if each.template not in options.templates:
            prepared = replace(prepared, quads=None)
        if each.control is not None:
            served = real.get(each.template) or _served(workspace, prepared, each.control, options)
            prepared = prepared.controlled(each.control, served)
        found = _open(workspace, options, prepared)
        if each.control is None:
            real[each.template] = found.run
        opened.append(found)
    return opened


def _extract_opened(
    workspace: Workspace,
    options: ExtractOptions,
    opened: Sequence[_Opened],
    model: LazyModel,
    started: float,
) -> list[ExtractResult]:
    """Extract runs that one model and the same pictures serve.

    Raises:
        LeaseHeldError: another process is working on one of the runs; nothing was inferred.
        ModelError: the model cannot be loaded, or is not the one that a run began with.
        VlmprobeError: not one pair of a run could be answered; the others are finished.
    """
    with ExitStack() as leases:
        # In one order, whatever was asked for first.
        for each in sorted(opened, key=lambda each: each.run.run_key):
            wait = workspace.console.say if options.wait else None
            leases.enter_context(workspace.database.lease(each.run.run_key, part=options.part, wait=wait))
        sessions = [
            RunSession(workspace, each.prepared, each.run, resumed=each.resumed, part=options.part)
            for each in opened
        ]
        for session in sessions:
            check_batch_size(session.run, session.part, options.batch_size)
        left = [session for session in sessions if session.todo]
        inferred = infer_together(workspace, left, model, options.batch_size) if left else []
        if options.unembedding and not left:
            sessions[0].keep_unembedding(model.load())
        result_of = {id(session): result for session, result in zip(left, inferred, strict=True)}
        nothing = SessionResult(False, 0, 0, None, ())
        outcomes = [result_of.get(id(session), nothing) for session in sessions]
        with workspace.timeline.during("written", sessions[0].run.scale_name):
            _close(sessions, outcomes)
    results = [
        _result(workspace, session, outcome, time.monotonic() - started)
        for session, outcome in zip(sessions, outcomes, strict=True)
    ]
    return sorted(results, key=lambda result: result.interrupted)


def _open(workspace: Workspace, options: ExtractOptions, prepared: Prepared) -> _Opened:
    """Create or find a run, after its dataset; wait for a process on another host if that is asked for."""
    waiting = False
    while True:
        try:
            return _opened(workspace, options, prepared)
        except LeaseHeldError as error:
            if not options.wait:
                raise
            if not waiting:
                workspace.console.say(f"{error}; waiting")
            waiting = True
            time.sleep(_LOOK_AGAIN_S)


def _opened(workspace: Workspace, options: ExtractOptions, prepared: Prepared) -> _Opened:
    with workspace.database.transaction() as connection:
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
    if run.control is None:
        # A control's dataset may hold other questions, and the run that it serves was checked.
        _check_leaks(workspace, prepared)
    return _Opened(prepared, run, resumed)


def _close(sessions: Sequence[RunSession], outcomes: Sequence[SessionResult]) -> None:
    """Close every session; then raise what was wrong with the first that has no answer at all."""
    errors = []
    for session, outcome in zip(sessions, outcomes, strict=True):
        try:
            session.close(outcome)
        except VlmprobeError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _result(
    workspace: Workspace, session: RunSession, outcome: SessionResult, seconds: float
) -> ExtractResult:
    with workspace.database.transaction(write=False) as connection:
        run_id = session.run.run_id
        unnamed = unnamed_answers(connection, [run_id])[run_id].n
    return ExtractResult(
        run=session.run,
        n_pairs=len(session.pairs),
        reused=len(session.done),
        n_inferred=outcome.n_inferred,
        failed=outcome.failed,
        problems=len(session.prepared.dataset.problems),
        seconds=seconds,
        interrupted=outcome.interrupted,
        spool=session.spool,
        notes=outcome.notes,
        unnamed=unnamed,
        part=session.part,
    )


def _served(workspace: Workspace, prepared: Prepared, control: Control, options: ExtractOptions) -> Run:
    with workspace.database.transaction(write=False) as connection:
        return served_run(connection, prepared.plan, control, options.data)


def _check_leaks(workspace: Workspace, prepared: Prepared) -> None:
    """Store what the pairs give away before the model is asked; of pairs that were checked, only boxes are new."""
    dataset, quads = prepared.dataset, prepared.quads
    with workspace.database.transaction(write=False) as connection:
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
    with workspace.database.transaction(write=False) as connection:
        other = other_checkpoint(connection, plan)
    if other is None:
        return
    raise UsageError(
        f"{plan.family} @ {plan.scale} was {other.checkpoint} until now (fingerprint {other.fingerprint[:12]}, run of "
        f"{other.created_at:%Y-%m-%d %H:%M} UTC), and is {plan.checkpoint} (fingerprint {plan.fingerprint[:12]}) here; "
        "give it a --scale name of its own, or pass --new-checkpoint to go on under this one"
    )
