"""One session of a run: what is done already, its status in the database, and its delivery to MLflow."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from vlmprobe import __version__
from vlmprobe.errors import TrackingError, VlmprobeError, first_line
from vlmprobe.extraction.asked import AskedRun
from vlmprobe.extraction.batches import plan_batches
from vlmprobe.extraction.control import check_random_weights
from vlmprobe.extraction.probing import first_prompt
from vlmprobe.extraction.remarks import resume_line
from vlmprobe.extraction.same_model import check_same_model, prompt_notes
from vlmprobe.extraction.shard_builder import ShardBuilder
from vlmprobe.extraction.unembedding import keep_output_layer
from vlmprobe.families import OutOfMemoryError
from vlmprobe.pairs import one_color_lines
from vlmprobe.store.committer import Committer, adopt_orphans
from vlmprobe.store.delivery import Delivery, deliver_end, warn_offline
from vlmprobe.store.predictions import has_failed_certificate, next_shard_number
from vlmprobe.store.runs import finished_pairs, get_run, set_status
from vlmprobe.store.server_away import retried

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from vlmprobe.extraction.batches import Batch
    from vlmprobe.extraction.request import Prepared
    from vlmprobe.families import Model
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["RunSession", "SessionResult"]


@dataclass(frozen=True, slots=True)
class SessionResult:
    """The outcome of a session."""

    interrupted: bool
    n_inferred: int
    failed: int
    first_failure: str | None
    notes: tuple[str, ...]


class RunSession:
    """One session of a run, under its lease."""

    def __init__(self, workspace: Workspace, prepared: Prepared, run: Run, *, resumed: bool) -> None:
        """Find the pairs that are already done, including those of shards left in the spool."""
        self.prepared, self.run = prepared, run
        self._workspace = workspace
        self._database, self._console = workspace.database, workspace.console
        # Now: MLflow's variables must be in the environment before a model's libraries may be reading it.
        self._storage = workspace.storage
        self.spool = workspace.settings.spool_of(run.run_id)
        self._delivery = Delivery(0, 0)
        self._committer: Committer | None = None
        self._notes: list[str] = []
        self.done = self._find_done(resumed=resumed)

    def _find_done(self, *, resumed: bool) -> set[str]:
        adopted = adopt_orphans(self._database, self.spool, self.run.run_id, warn=self._console.warn)
        with self._database.transaction(write=False) as connection:
            # Read it again: another process may have continued the run before we held the lease.
            self.run = get_run(connection, self.run.run_id)
            wanted = {pair.pair_id for pair in self.prepared.pairs}
            done = finished_pairs(connection, self.run.run_id) & wanted
        if resumed:
            self._console.say(resume_line(self.run, len(done), len(wanted), adopted))
        return done

    @property
    def todo(self) -> int:
        """How many pairs are left."""
        return len(self.prepared.pairs) - len(self.done)

    @property
    def is_plain(self) -> bool:
        """Whether an earlier session failed a certificate, so that the run goes on with plain forwards."""
        with self._database.transaction(write=False) as connection:
            return has_failed_certificate(connection, self.run.run_id)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Begin the session; record that the run failed, or was interrupted, before its first batch."""
        before = self.run.status
        self.set_status("running")
        try:
            yield
        except BaseException as error:
            # A complete run stays complete, even if retrying its failed pairs could not start.
            ended = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self.set_status(before if before == "complete" else ended)
            raise

    def check(self, model: Model) -> None:
        """Check that the loaded model is the one that the run began with.

        Raises:
            ModelError: it is not.
        """
        check_random_weights(self.prepared.options, self.run.family, model.info.manifest)
        check_same_model(self.run, model.info.manifest)

    def begin(self, model: Model, batch_size: int, *, alone: bool) -> AskedRun:
        """Plan batches, keep the first prompt and what there is to say about it, and make what takes the answers.

        Args:
            model: as :meth:`check` accepts it.
            batch_size: pairs a batch.
            alone: whether no other run is asked meanwhile, so that its warnings need not name it.
        """
        info = model.info
        self._keep_output_layer(model)
        batches = self._batches(batch_size)
        prompt = first_prompt(model, self.prepared.pictures, self.prepared.dataset.pairs)
        notes = [*info.manifest.get("notes", ()), *prompt_notes(prompt)]
        for note in notes:
            self._console.warn(f"{self.run.name}: {note}")
        # Said when the dataset was read, and kept with the run, whose answers to these mean nothing.
        notes += one_color_lines(self.prepared.dataset)
        self._notes = notes
        config = {
            **self.run.config,
            "batch_size": batch_size,
            "n_batches": len(batches),
            "manifest": info.manifest,
            "layers": list(info.layers),
            "first_prompt": prompt,
            "notes": notes,
        }
        with self._database.transaction(write=False) as connection:
            first_shard = next_shard_number(connection, self.run.run_id)
        self.set_status(
            "running",
            config=config,
            versions=_versions(info.manifest),
            n_layers=info.n_layers,
            dim=info.dim,
            dtype=info.dtype,
        )
        self._committer = Committer(self._storage, self.run.run_id)
        mark = self._database.shard_mark(self.run.run_id)
        builder = ShardBuilder(self._workspace.settings, self.run.run_id, info.layers, first_shard, mark)
        name = "" if alone else f"{self.run.name}: "
        return AskedRun(
            self.run,
            batches,
            self.done,
            builder,
            self._committer,
            warn=lambda text: self._console.warn(f"{name}{text}"),
        )

    def _batches(self, batch_size: int) -> list[Batch]:
        """Plan the dataset's own pairs as if there were no quads; boxes added later must not change them."""
        batches = plan_batches(self.prepared.dataset.pairs, batch_size)
        return [
            *batches,
            *plan_batches(self.prepared.quad_pairs, batch_size, first=len(batches)),
        ]

    @property
    def pending(self) -> int:
        """Shards on disk whose rows are not written yet."""
        return 0 if self._committer is None else self._committer.pending

    def settle(self) -> None:
        """Wait until every row is written and every upload tried."""
        if self._committer is not None:
            self._delivery = self._committer.close()

    def result(self, asked: AskedRun, notes: Sequence[str], *, interrupted: bool) -> SessionResult:
        """Return the outcome; ``notes``: what there is to say about the batches."""
        return SessionResult(
            interrupted, asked.n_inferred, asked.failed, asked.first_failure, (*self._notes, *notes)
        )

    def keep_unembedding(self, model: Model) -> None:
        """Keep the output layer of the model of a complete run; no pair is asked."""
        check_same_model(self.run, model.info.manifest)
        self._keep_output_layer(model)

    def _keep_output_layer(self, model: Model) -> None:
        try:
            keep_output_layer(
                model, self._workspace.settings.home, self.run.config["identity"], self.prepared.dataset.axes
            )
        except (OSError, RuntimeError, OutOfMemoryError) as error:
            # Only two tables need it.
            self._console.warn(f"{self.run.name}: its output layer is not kept: {first_line(error)}")

    def close(self, result: SessionResult) -> Delivery:
        """Record the run's status and, if it is complete, bring MLflow up to date.

        Raises:
            VlmprobeError: not one pair could be answered.
        """
        of_run = partial(finished_pairs, run_id=self.run.run_id)
        answered = len(retried(self._database, of_run, write=False))
        status = "interrupted" if result.interrupted else "complete" if answered else "failed"
        if status != self.run.status:
            self.set_status(status)
        if status == "failed":
            raise VlmprobeError(
                f"no pair could be answered; the first error was: {result.first_failure}; "
                f"see table failures for run {self.run.run_id}"
            )
        if self._delivery.gave_up and isinstance(self._delivery.problem, TrackingError):
            warn_offline(self._console.warn, self._delivery.problem)
            return self._delivery
        if status == "interrupted":
            deliver_end(self._workspace.tracker, self.run, self._console.warn)
            return self._delivery
        return self._workspace.deliver(self.run)

    def set_status(self, status: str, **values: Any) -> None:
        """Set the run's status and other columns; see :func:`set_status`."""
        run_id = self.run.run_id

        def set_it(connection: Connection) -> Run:
            set_status(connection, run_id, status, **values)
            return get_run(connection, run_id)

        self.run = retried(self._database, set_it)


def _versions(manifest: dict[str, Any]) -> dict[str, str]:
    names = ("python", "torch", "transformers", "numpy")
    return {
        "vlmprobe": __version__,
        **{name: str(manifest[name]) for name in names if name in manifest},
    }
