"""Extraction: a checkpoint is asked every pair of a dataset; answers and hidden states are kept as it goes."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe import __version__
from vlmprobe.errors import UsageError, VlmprobeError
from vlmprobe.store.committer import Committer, Delivery, adopt_orphans
from vlmprobe.store.datasets import register_dataset
from vlmprobe.store.engine import Database
from vlmprobe.store.lease import hold_lease
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.store.predictions import has_failed_certificate, next_shard_number
from vlmprobe.store.quads import register_quads
from vlmprobe.store.runs import Run, begun_on_another_content, finished_pairs, get_run, open_run, set_status
from vlmprobe.store.tracking import Tracker
from vlmprobe.workflows.batches import Batch, plan_batches
from vlmprobe.workflows.deliver import deliver_end, deliver_run, tell_away
from vlmprobe.workflows.extraction_loop import Extraction
from vlmprobe.workflows.images_ahead import read_items
from vlmprobe.workflows.preparing import ExtractRequest, Prepared, prepare
from vlmprobe.workflows.resuming import changed_line, resume_line

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.families import Model
    from vlmprobe.settings import Settings
    from vlmprobe.workflows.console import Console

__all__ = ["ExtractRequest", "ExtractResult", "extract"]

#: Pairs that are asked to find out how many fit.
_PROBED = 4


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """What an extraction did, and where it is."""

    run: Run
    n_pairs: int
    reused: int
    asked: int
    failed: int
    problems: int
    seconds: float
    delivery: Delivery
    interrupted: bool
    spool: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    """How the asking went."""

    interrupted: bool
    asked: int
    failed: int
    first_failure: str | None
    notes: tuple[str, ...]


def extract(settings: Settings, request: ExtractRequest, console: Console) -> ExtractResult:
    """Ask one checkpoint every pair, resuming the run with the same key if there is one.

    Raises:
        UsageError: an option, the family or the scale is wrong.
        InputError: the dataset or the checkpoint is.
        LeaseHeldError: another process is at work on this run.
        VlmprobeError: not one pair could be answered.
    """
    if request.batch_size is not None and request.batch_size < 1:
        raise UsageError(f"--batch-size must be 1 or more, not {request.batch_size}")
    started = time.monotonic()
    prepared = prepare(request, console)
    try:
        return _extract(settings, request, prepared, console, started)
    finally:
        prepared.family.close()


def _extract(
    settings: Settings, request: ExtractRequest, prepared: Prepared, console: Console, started: float
) -> ExtractResult:
    database = Database(settings.database_path, tell=console.warn)
    ensure_schema(database)
    with database.transaction() as connection:
        register_dataset(connection, prepared.dataset)
        if prepared.quads is not None:
            register_quads(connection, prepared.dataset, prepared.quads)
        run, resumed = open_run(connection, prepared.plan, new=request.new)
        earlier = [] if resumed or request.new else begun_on_another_content(connection, run)
    for row in earlier:
        console.warn(changed_line(row))
    with hold_lease(settings.database_path, run.run_key):
        work = _Work(settings, request, prepared, database, console, run)
        done = work.find_done(resumed=resumed)
        asked = work.ask(done) if work.todo(done) else _Asked(False, 0, 0, None, ())
        delivery = work.close(asked)
    return ExtractResult(
        run=work.run,
        n_pairs=len(prepared.pairs),
        reused=len(done),
        asked=asked.asked,
        failed=asked.failed,
        problems=len(prepared.dataset.problems),
        seconds=time.monotonic() - started,
        delivery=delivery,
        interrupted=asked.interrupted,
        spool=work.spool,
        notes=asked.notes,
    )


class _Work:
    """One start of a run, under its lease."""

    def __init__(
        self,
        settings: Settings,
        request: ExtractRequest,
        prepared: Prepared,
        database: Database,
        console: Console,
        run: Run,
    ) -> None:
        self._settings, self._request, self._prepared = settings, request, prepared
        self._database, self._console = database, console
        self._tracker = Tracker(settings)
        self.run = run
        self.spool = settings.spool / run.run_id
        self._delivery = Delivery(0, 0)

    def find_done(self, *, resumed: bool) -> set[str]:
        """Return the pairs that need not be asked again, those of shards left in the spool included."""
        adopted = adopt_orphans(self._database, self.spool, self.run.run_id, tell=self._console.warn)
        with self._database.transaction() as connection:
            # Read again: until the lease was ours another process may have gone on with it.
            self.run = get_run(connection, self.run.run_id)
            wanted = {pair.pair_id for pair in self._prepared.pairs}
            done = finished_pairs(connection, self.run.run_id) & wanted
        if resumed:
            self._console.say(resume_line(self.run, len(done), len(wanted), adopted))
        return done

    def todo(self, done: set[str]) -> int:
        """Return how many pairs are to be asked."""
        return len(self._prepared.pairs) - len(done)

    def ask(self, done: set[str]) -> _Asked:
        """Load the model and ask; Ctrl-C ends it cleanly, any other error after keeping what is done."""
        before = self.run.status
        self._set_status("running")
        with self._load(before) as model:
            model.tell = self._console.warn
            return self._ask(model, done)

    def _ask(self, model: Model, done: set[str]) -> _Asked:
        info = model.info
        batch_size = self._batch_size(model)
        batches = self._batches(batch_size)
        first, _ = read_items(self._prepared.dataset, self._prepared.dataset.pairs[:1])
        prompt = model.first_prompt(first[0]) if first else {}
        config = {
            **self.run.config,
            "batch_size": batch_size,
            "n_batches": len(batches),
            "manifest": info.manifest,
            "layers": list(info.layers),
            "first_prompt": prompt,
        }
        with self._database.transaction() as connection:
            first_shard = next_shard_number(connection, self.run.run_id)
            plain = has_failed_certificate(connection, self.run.run_id)
        self._set_status(
            "running",
            config=config,
            versions=_versions(info.manifest),
            n_layers=info.n_layers,
            dim=info.dim,
            dtype=info.dtype,
        )
        committer = Committer(self._database, self._tracker, self.run.run_id)
        extraction = Extraction(
            self._settings,
            self._prepared.dataset,
            batches,
            model,
            committer,
            self._console,
            self.run,
            self.spool,
            first_shard,
            plain=plain,
        )
        interrupted = self._go(extraction, committer, done)
        return _Asked(
            interrupted,
            extraction.asked,
            extraction.failed,
            extraction.first_failure,
            tuple(extraction.notes),
        )

    def close(self, asked: _Asked) -> Delivery:
        """Record how the run stands; bring MLflow up to date when it is complete.

        Raises:
            VlmprobeError: not one pair could be answered.
        """
        with self._database.transaction() as connection:
            answered = len(finished_pairs(connection, self.run.run_id))
        status = "interrupted" if asked.interrupted else "complete" if answered else "failed"
        if status != self.run.status:
            self._set_status(status)
        if status == "failed":
            raise VlmprobeError(
                f"no pair could be answered; the first said: {asked.first_failure}; "
                f"see table failures of run {self.run.run_id}"
            )
        if self._delivery.waited:
            tell_away(self._console, str(self._delivery.problem))
            return self._delivery
        if status == "interrupted":
            deliver_end(self._tracker, self.run, self._console)
            return self._delivery
        return deliver_run(self._settings, self._database, self._tracker, self.run, self._console)

    def _go(self, extraction: Extraction, committer: Committer, done: set[str]) -> bool:
        """Run the loop and wait for its rows; return whether it was interrupted."""
        interrupted = False
        try:
            extraction.go(done)
        except KeyboardInterrupt:
            interrupted = True
            self._console.warn("stopping: writing what is done (Ctrl-C again to leave it to the next start)")
            extraction.flush()
        except BaseException:
            _abandon(extraction, committer)
            # The error that broke the run is the one to show: on a full disk, say, this fails too.
            with suppress(VlmprobeError):
                self._set_status("failed")
            raise
        if committer.pending:
            self._console.say(f"waiting for the rows of shards on disk ({committer.pending})")
        try:
            self._delivery = committer.close()
        except KeyboardInterrupt:
            if not interrupted:
                self._set_status("interrupted")
            raise
        return interrupted

    def _load(self, before: str) -> Model:
        options = self._prepared.options
        self._console.say(f"loading {options.checkpoint} ({options.dtype} on {options.device})")
        try:
            return self._prepared.family.load(options)
        except BaseException as error:
            # A complete run whose failed pairs were to be tried again is as complete as it was.
            ended = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self._set_status(before if before == "complete" else ended)
            raise

    def _set_status(self, status: str, **values: Any) -> None:
        with self._database.transaction() as connection:
            set_status(connection, self.run.run_id, status, **values)
            self.run = get_run(connection, self.run.run_id)

    def _batch_size(self, model: Model) -> int:
        """Return the size of the plan: a run keeps the one it began with, since its batches are redone whole."""
        begun = self.run.config.get("batch_size")
        asked = self._request.batch_size
        if begun is not None:
            if asked not in (None, begun):
                self._console.warn(
                    f"this run began with --batch-size {begun} and keeps it; --new starts another"
                )
            return int(begun)
        if asked is not None:
            return asked
        largest = sorted(self._prepared.pairs, key=lambda pair: -pair.image_width * pair.image_height)
        items, _ = read_items(self._prepared.dataset, largest[:_PROBED])
        return model.fitting_batch(items)

    def _batches(self, batch_size: int) -> list[Batch]:
        """Plan the dataset's own pairs as if there were no quads: boxes given later must change no number."""
        batches = plan_batches(self._prepared.dataset.pairs, batch_size)
        return [
            *batches,
            *plan_batches(self._prepared.quad_pairs, batch_size, first=len(batches)),
        ]


def _versions(manifest: dict[str, Any]) -> dict[str, str]:
    names = ("python", "torch", "transformers", "numpy")
    return {
        "vlmprobe": __version__,
        **{name: str(manifest[name]) for name in names if name in manifest},
    }


def _abandon(extraction: Extraction, committer: Committer) -> None:
    """Keep what is done although the run broke; the error that broke it is the one to show."""
    # Each by itself: rows of shards on disk are wanted also where the next shard does not fit on it.
    for step in (extraction.flush, committer.close):
        with suppress(Exception):  # the spool has it, and the next start takes it from there
            step()
