"""One session of a run: what is done already, its status in the database, and its delivery to MLflow."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from vlmprobe import __version__
from vlmprobe.errors import ElsewhereError, TrackingError, VlmprobeError, first_line
from vlmprobe.extraction.asked import AskedRun
from vlmprobe.extraction.control import check_random_weights
from vlmprobe.extraction.plan import batches_of, check_batch_size, fix_batch_size, pairs_of, plan_run
from vlmprobe.extraction.probing import first_prompt
from vlmprobe.extraction.remarks import resume_line
from vlmprobe.extraction.same_model import check_same_model, prompt_notes
from vlmprobe.extraction.shard_builder import ShardBuilder
from vlmprobe.extraction.unembedding import keep_output_layer
from vlmprobe.families import OutOfMemoryError
from vlmprobe.pairs import one_color_lines
from vlmprobe.store.committer import Committer, adopt_orphans
from vlmprobe.store.delivery import Delivery, deliver_end, warn_offline
from vlmprobe.store.predictions import finished_pairs, has_failed_certificate, next_shard_number
from vlmprobe.store.run_parts import set_part
from vlmprobe.store.runs import get_run, set_status
from vlmprobe.store.server_away import retried

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from vlmprobe.extraction.request import Prepared
    from vlmprobe.families import Model
    from vlmprobe.pairs import SwapPair
    from vlmprobe.store.parts import Part
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
    """One session of a run, or of a part of it, under its lease."""

    def __init__(
        self, workspace: Workspace, prepared: Prepared, run: Run, *, resumed: bool, part: Part | None = None
    ) -> None:
        """Find the pairs that are already done, including those of shards left in the spool."""
        self.prepared, self.run, self.part = prepared, run, part
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
        run_id = self.run.run_id
        adopted = adopt_orphans(self._database, self.spool, run_id, part=self.part, warn=self._console.warn)
        with self._database.transaction(write=False) as connection:
            # Read it again: another process may have continued the run before we held the lease.
            self.run = get_run(connection, run_id)
            wanted = self._wanted()
            done = finished_pairs(connection, run_id) & wanted
        # Without a plan, nothing says which pairs are the part's.
        if resumed and (self.part is None or self.run.batch_size is not None):
            self._console.say(resume_line(self.run, self.part, len(done), len(wanted), adopted))
        return done

    def _wanted(self) -> set[str]:
        return {pair.pair_id for pair in self.pairs}

    @property
    def pairs(self) -> Sequence[SwapPair]:
        """The pairs of the run, or of the part; see :func:`pairs_of`."""
        return pairs_of(self.prepared, self.run, self.part)

    @property
    def todo(self) -> int:
        """How many pairs are left."""
        return len(self.pairs) - len(self.done)

    def fix_plan(self, batch_size: int, wanted: int | None) -> int:
        """Return how many pairs the run has in a batch; of a run in parts, whoever comes first decides.

        Raises:
            UsageError: that is not what is wanted.
        """
        if self.part is None:
            return batch_size
        fix = partial(fix_batch_size, run_id=self.run.run_id, batch_size=batch_size)
        self.run = retried(self._database, fix)
        check_batch_size(self.run, self.part, wanted)
        self.done &= self._wanted()
        return self.run.batch_size or batch_size

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
        prompt = first_prompt(model, self.prepared.pictures, self.prepared.dataset.pairs)
        notes = [*info.manifest.get("notes", ()), *prompt_notes(prompt)]
        for note in notes:
            self._console.warn(f"{self.run.name}: {note}")
        # Said when the dataset was read, and kept with the run, whose answers to these mean nothing.
        notes += one_color_lines(self.prepared.dataset)
        self._notes = notes
        changed = {
            "batch_size": batch_size,
            "n_batches": len(plan_run(self.prepared, batch_size)),
            "manifest": info.manifest,
            "layers": list(info.layers),
            "first_prompt": prompt,
            "notes": notes,
        }
        with self._database.transaction(write=False) as connection:
            first_shard = next_shard_number(connection, self.run.run_id, self.part)
        self.set_status(
            "running",
            changed=changed,
            versions=_versions(info.manifest),
            n_layers=info.n_layers,
            dim=info.dim,
            dtype=info.dtype,
        )
        self._committer = Committer(self._storage, self.run.run_id, shared=self.part is not None)
        builder = ShardBuilder(
            self._workspace.settings,
            self.run.run_id,
            info.layers,
            first_shard,
            self._database.shard_mark(self.run.run_id),
            step=1 if self.part is None else self.part.n_parts,
        )
        name = "" if alone else f"{self.run.name}: "
        return AskedRun(
            self.run,
            batches_of(self.prepared, batch_size, self.part),
            self.done,
            builder,
            self._committer,
            warn=lambda text: self._console.warn(f"{name}{text}"),
        )

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

        Of a run in parts the last one does that.

        Raises:
            VlmprobeError: not one pair could be answered.
        """
        before, of_part = self.run.status, "" if self.part is None else f" of part {self.part}"
        of_run = partial(finished_pairs, run_id=self.run.run_id)
        wanted, answered = self._wanted(), retried(self._database, of_run, write=False)
        # There may be more parts than batches.
        is_done = not wanted.isdisjoint(answered) or (self.part is not None and not wanted)
        status = "interrupted" if result.interrupted else "complete" if is_done else "failed"
        if status != before:
            self.set_status(status)
        if status == "failed":
            raise VlmprobeError(
                f"no pair{of_part} could be answered; the first error was: {result.first_failure}; "
                f"see table failures for run {self.run.run_id}"
            )
        if self._delivery.gave_up and isinstance(self._delivery.problem, TrackingError):
            warn_offline(self._console.warn, self._delivery.problem)
            return self._delivery
        if status == "interrupted":
            if self.run.status != "running":
                deliver_end(self._workspace.tracker, self.run, self._console.warn)
            return self._delivery
        if self.part is not None and (self.run.status != "complete" or before == "complete"):
            return self._delivery
        try:
            return self._workspace.deliver(self.run)
        except ElsewhereError as error:
            if self.part is None:
                raise
            self._console.warn(f"{self.run.name}: {error}; run 'vlmprobe sync' there")
            return self._delivery

    def set_status(self, status: str, changed: Mapping[str, Any] | None = None, **values: Any) -> None:
        """Set the status of the run, or of the part and what that makes of the run.

        Args:
            status: see :func:`vlmprobe.store.runs.set_status`.
            changed: keys of its config with their values.
            values: other columns.
        """
        run_id = self.run.run_id

        def set_it(connection: Connection) -> Run:
            of_run = status
            if changed is not None:
                # As it is now: another process may have begun with another part meanwhile.
                run = get_run(connection, run_id)
                check_same_model(run, changed["manifest"])
                values["config"] = {**run.config, **changed}
            if self.part is not None:
                wanted = {pair.pair_id for pair in self.prepared.pairs}
                of_run = set_part(connection, run_id, self.part, status, wanted)
            set_status(connection, run_id, of_run, **values)
            return get_run(connection, run_id)

        self.run = retried(self._database, set_it)


def _versions(manifest: dict[str, Any]) -> dict[str, str]:
    names = ("python", "torch", "transformers", "numpy")
    return {
        "vlmprobe": __version__,
        **{name: str(manifest[name]) for name in names if name in manifest},
    }
