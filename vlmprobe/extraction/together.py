"""Sessions that are asked together: runs of one model about the same pictures share its batches.

Runs whose plans differ (another batch size to keep, other pairs left, plain forwards since a certificate failed) are
asked one group after the other.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vlmprobe.errors import VlmprobeError
from vlmprobe.extraction.inference import make_items
from vlmprobe.extraction.loop import Extraction
from vlmprobe.extraction.probing import accepted_items

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.extraction.asked import AskedRun
    from vlmprobe.extraction.lazy_model import LazyModel
    from vlmprobe.extraction.session import RunSession, SessionResult
    from vlmprobe.families import BatchItem, Model
    from vlmprobe.families.batch_sizes import BatchSizes
    from vlmprobe.workspace import Console, Workspace

__all__ = ["infer_together"]

#: Pairs to try when measuring how many fit in memory.
_PROBED = 4


def infer_together(
    workspace: Workspace, sessions: Sequence[RunSession], model: LazyModel, batch_size: int | None
) -> list[SessionResult]:
    """Load the model and infer what each run lacks; keep what is finished on Ctrl-C and on errors.

    Args:
        workspace: the home.
        sessions: of runs that the same pictures are shown for; each has pairs left.
        model: of all of them.
        batch_size: pairs a batch; None = as many as fit.

    Returns:
        One result per session, in their order. After an interruption all are interrupted whose pairs are not done.

    Raises:
        ModelError: the model cannot be loaded, is not the one that a run began with, or gives no numbers.
    """
    console, timeline, scale = workspace.console, workspace.timeline, sessions[0].run.scale_name
    with ExitStack() as begun:
        for session in sessions:
            begun.enter_context(session.ending())
        with timeline.during("loaded", scale):
            loaded = model.load()
            for session in sessions:
                session.check(loaded)
        with timeline.during("sized", scale):
            groups = _groups(loaded, sessions, batch_size, workspace)
        with timeline.during("begun", scale):
            asked = {
                id(session): session.begin(loaded, group.batch_size, alone=len(sessions) == 1)
                for group in groups
                for session in group.sessions
            }
    results: dict[int, SessionResult] = {}
    interrupted = False
    for number, group in enumerate(groups):
        runs = [asked[id(session)] for session in group.sessions]
        pictures = group.sessions[0].prepared.pictures
        extraction = Extraction(console, pictures, runs, loaded, timeline, plain=group.plain)
        if not interrupted:
            later = [session for other in groups[number + 1 :] for session in other.sessions]
            with timeline.during("asked", scale):
                interrupted = _run_loop(extraction, runs, group.sessions, later, console)
        else:
            _settle(group.sessions)
        for session, run in zip(group.sessions, runs, strict=True):
            results[id(session)] = session.result(run, extraction.notes, interrupted=interrupted)
    return [results[id(session)] for session in sessions]


@dataclass(frozen=True, slots=True)
class _Group:
    """Runs whose plans are the same."""

    batch_size: int
    plain: bool
    """Whether they go on with plain forwards."""
    sessions: list[RunSession] = field(default_factory=list)


def _groups(
    model: Model, sessions: Sequence[RunSession], wanted: int | None, workspace: Workspace
) -> list[_Group]:
    sizes = _batch_sizes(model, sessions, wanted, workspace)
    groups: dict[tuple[object, ...], _Group] = {}
    for session, size in zip(sessions, sizes, strict=True):
        pairs = tuple((pair.pair_id, pair.image_sha256, pair.origin) for pair in session.prepared.pairs)
        plain = session.is_plain
        groups.setdefault((size, plain, pairs), _Group(size, plain)).sessions.append(session)
    return list(groups.values())


def _batch_sizes(
    model: Model, sessions: Sequence[RunSession], wanted: int | None, workspace: Workspace
) -> list[int]:
    """Return the planned batch size of each run; a run keeps its first one, since batches are redone whole."""
    new = [session for session in sessions if session.run.batch_size is None]
    of_new = _fitting(model, new, workspace.batch_sizes) if wanted is None and new else wanted
    sizes = []
    for session in sessions:
        begun = session.run.batch_size
        if session.part is None and begun is not None and wanted not in (None, begun):
            workspace.console.warn(
                f"this run began with --batch-size {begun} and keeps it; pass --new to start another run"
            )
        sizes.append(session.fix_plan(begun or of_new or 1, wanted))
    return sizes


def _fitting(model: Model, sessions: Sequence[RunSession], known: BatchSizes) -> int:
    """Return how many pairs fit in a batch; a model of the same shape about the same pictures takes the same memory."""
    info = model.info
    asked = [[session.run.dataset_id, session.run.template, session.run.control] for session in sessions]
    identity, manifest = sessions[0].run.config["identity"], info.manifest
    names = ("torch", "transformers", "device_name", "devices", "compiled", "n_parameters")
    depends_on = [
        *(identity.get(name) for name in ("engine", "kernels", "architecture", "processor", "layers")),
        *(info.n_layers, info.dim, info.dtype, info.device),
        *(manifest.get(name) for name in names),
        asked,
    ]
    room = model.room()
    found = known.find(depends_on, room)
    if found is None:
        found = model.fitting_batch(_largest(model, sessions))
        known.keep(depends_on, room, found)
    return found


def _largest(model: Model, sessions: Sequence[RunSession]) -> list[BatchItem]:
    """Return what all runs ask about a few of the largest pictures."""
    first = sessions[0].prepared
    largest = sorted(first.pairs, key=lambda pair: -pair.image_width * pair.image_height)
    items = accepted_items(model, first.pictures, largest, _PROBED)
    image_of = {item.pair_id: item.image for item in items}
    for session in sessions[1:]:
        pairs = [pair for pair in session.prepared.pairs if pair.pair_id in image_of]
        items += make_items(pairs, {pair.image_sha256: image_of[pair.pair_id] for pair in pairs})[0]
    return items


def _run_loop(
    extraction: Extraction,
    runs: Sequence[AskedRun],
    sessions: Sequence[RunSession],
    later: Sequence[RunSession],
    console: Console,
) -> bool:
    """Run the loop and wait for its rows; return whether it was interrupted."""
    interrupted = False
    try:
        extraction.run()
    except KeyboardInterrupt:
        interrupted = True
        console.warn(
            "stopping: saving finished work (press Ctrl-C again to exit now; the next run then saves it)"
        )
        extraction.flush()
    except BaseException:
        for run in runs:
            run.abandon()
        # Show the error that broke the runs; this update may fail as well, for example on a full disk.
        with suppress(VlmprobeError):
            _set_all(sessions, "failed")
            _set_all(later, "interrupted")
        raise
    pending = sum(session.pending for session in sessions)
    if pending:
        console.say(f"waiting until the rows of {pending} shards are in the database")
    try:
        _settle(sessions)
    except KeyboardInterrupt:
        if not interrupted:
            _set_all([*sessions, *later], "interrupted")
        raise
    return interrupted


def _settle(sessions: Sequence[RunSession]) -> None:
    """Wait for the rows of every run; then raise what stopped the first of them from being written."""
    errors = []
    for session in sessions:
        try:
            session.settle()
        except Exception as error:  # noqa: BLE001 - raised below, once the other runs are safe
            errors.append(error)
    if errors:
        raise errors[0]


def _set_all(sessions: Sequence[RunSession], status: str) -> None:
    for session in sessions:
        session.set_status(status)
