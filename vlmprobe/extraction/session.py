"""One session of a run: infers the pairs that are left and records the run's status in the database."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe import __version__
from vlmprobe.errors import TrackingError, VlmprobeError, first_line
from vlmprobe.extraction.batches import Batch, plan_batches
from vlmprobe.extraction.control import check_random_weights
from vlmprobe.extraction.loop import Extraction
from vlmprobe.extraction.probing import accepted_items, first_prompt
from vlmprobe.extraction.remarks import resume_line
from vlmprobe.extraction.same_model import check_same_model, prompt_notes
from vlmprobe.extraction.unembedding import keep_output_layer
from vlmprobe.families import OutOfMemoryError
from vlmprobe.pairs import one_color_lines
from vlmprobe.store.committer import Committer, adopt_orphans
from vlmprobe.store.delivery import Delivery, deliver_end, warn_offline
from vlmprobe.store.predictions import has_failed_certificate, next_shard_number
from vlmprobe.store.runs import finished_pairs, get_run, set_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from vlmprobe.extraction.request import Prepared
    from vlmprobe.families import LoadOptions, Model, OpenFamily
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Console, Workspace

__all__ = ["LazyModel", "RunSession", "SessionResult"]

#: Pairs to try when measuring how many fit in memory.
_PROBED = 4


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

    def __init__(
        self,
        workspace: Workspace,
        prepared: Prepared,
        model: LazyModel,
        run: Run,
        batch_size: int | None,
    ) -> None:
        """Store the arguments; nothing is loaded yet. ``batch_size``: None = as many pairs as fit."""
        self._workspace, self._prepared, self._model = workspace, prepared, model
        self._database, self._console = workspace.database, workspace.console
        # Now: MLflow's variables must be in the environment before a model's libraries may be reading it.
        self._storage = workspace.storage
        self._wanted_batch_size = batch_size
        self.run = run
        self.spool = workspace.settings.spool_of(run.run_id)
        self._delivery = Delivery(0, 0)

    def find_done(self, *, resumed: bool) -> set[str]:
        """Return the pairs that are already done, including those of shards left in the spool."""
        adopted = adopt_orphans(self._database, self.spool, self.run.run_id, warn=self._console.warn)
        with self._database.transaction() as connection:
            # Read it again: another process may have continued the run before we held the lease.
            self.run = get_run(connection, self.run.run_id)
            wanted = {pair.pair_id for pair in self._prepared.pairs}
            done = finished_pairs(connection, self.run.run_id) & wanted
        if resumed:
            self._console.say(resume_line(self.run, len(done), len(wanted), adopted))
        return done

    def todo(self, done: set[str]) -> int:
        """Return how many pairs are left."""
        return len(self._prepared.pairs) - len(done)

    def infer(self, done: set[str]) -> SessionResult:
        """Load the model and run inference; keep what is finished on Ctrl-C and on errors."""
        before = self.run.status
        self._set_status("running")
        with self._ending(before):
            model = self._model.load()
            check_random_weights(self._prepared.options, self.run.family, model.info.manifest)
            check_same_model(self.run, model.info.manifest)
            extraction, committer, notes = self._prepare(model)
        interrupted = self._run_loop(extraction, committer, done)
        return SessionResult(
            interrupted,
            extraction.n_inferred,
            extraction.failed,
            extraction.first_failure,
            (*notes, *extraction.notes),
        )

    def _prepare(self, model: Model) -> tuple[Extraction, Committer, list[str]]:
        """Plan batches, keep the first prompt and what there is to say about it, and make what runs the loop."""
        info = model.info
        self._keep_output_layer(model)
        batch_size = self._batch_size(model)
        batches = self._batches(batch_size)
        prompt = first_prompt(model, self._prepared.pictures, self._prepared.dataset.pairs)
        notes = [*info.manifest.get("notes", ()), *prompt_notes(prompt)]
        for note in notes:
            self._console.warn(f"{self.run.name}: {note}")
        # Said when the dataset was read, and kept with the run, whose answers to these mean nothing.
        notes += one_color_lines(self._prepared.dataset)
        config = {
            **self.run.config,
            "batch_size": batch_size,
            "n_batches": len(batches),
            "manifest": info.manifest,
            "layers": list(info.layers),
            "first_prompt": prompt,
            "notes": notes,
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
        committer = Committer(self._storage, self.run.run_id)
        extraction = Extraction(
            self._workspace,
            self._prepared.pictures,
            batches,
            model,
            committer,
            self.run,
            first_shard,
            plain=plain,
        )
        return extraction, committer, notes

    def keep_unembedding(self) -> None:
        """Load the model of a complete run, only to keep its output layer; no pair is asked."""
        model = self._model.load()
        check_same_model(self.run, model.info.manifest)
        self._keep_output_layer(model)

    def _keep_output_layer(self, model: Model) -> None:
        try:
            keep_output_layer(
                model, self._workspace.settings.home, self.run.config["identity"], self._prepared.dataset.axes
            )
        except (OSError, RuntimeError, OutOfMemoryError) as error:
            # Only two tables need it.
            self._console.warn(f"{self.run.name}: its output layer is not kept: {first_line(error)}")

    def close(self, result: SessionResult) -> Delivery:
        """Record the run's status and, if it is complete, bring MLflow up to date.

        Raises:
            VlmprobeError: not one pair could be answered.
        """
        with self._database.transaction() as connection:
            answered = len(finished_pairs(connection, self.run.run_id))
        status = "interrupted" if result.interrupted else "complete" if answered else "failed"
        if status != self.run.status:
            self._set_status(status)
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

    def _run_loop(self, extraction: Extraction, committer: Committer, done: set[str]) -> bool:
        """Run the loop and wait for its rows; return whether it was interrupted."""
        interrupted = False
        try:
            extraction.run(done)
        except KeyboardInterrupt:
            interrupted = True
            self._console.warn(
                "stopping: saving finished work (press Ctrl-C again to exit now; the next run then saves it)"
            )
            extraction.flush()
        except BaseException:
            _abandon(extraction, committer)
            # Show the error that broke the run; this update may fail as well, for example on a full disk.
            with suppress(VlmprobeError):
                self._set_status("failed")
            raise
        if committer.pending:
            self._console.say(f"waiting until the rows of {committer.pending} shards are in the database")
        try:
            self._delivery = committer.close()
        except KeyboardInterrupt:
            if not interrupted:
                self._set_status("interrupted")
            raise
        return interrupted

    @contextmanager
    def _ending(self, before: str) -> Iterator[None]:
        """Record that a run failed, or was interrupted, before its first batch."""
        try:
            yield
        except BaseException as error:
            # A complete run stays complete, even if retrying its failed pairs could not start.
            ended = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self._set_status(before if before == "complete" else ended)
            raise

    def _set_status(self, status: str, **values: Any) -> None:
        with self._database.transaction() as connection:
            set_status(connection, self.run.run_id, status, **values)
            self.run = get_run(connection, self.run.run_id)

    def _batch_size(self, model: Model) -> int:
        """Return the planned batch size; a run keeps its first one, since batches are redone whole."""
        begun = self.run.batch_size
        wanted = self._wanted_batch_size
        if begun is not None:
            if wanted not in (None, begun):
                self._console.warn(
                    f"this run began with --batch-size {begun} and keeps it; pass --new to start another run"
                )
            return begun
        if wanted is not None:
            return wanted
        largest = sorted(self._prepared.pairs, key=lambda pair: -pair.image_width * pair.image_height)
        return model.fitting_batch(accepted_items(model, self._prepared.pictures, largest, _PROBED))

    def _batches(self, batch_size: int) -> list[Batch]:
        """Plan the dataset's own pairs as if there were no quads; boxes added later must not change them."""
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
    """Keep what is finished after an error, and suppress further errors so that the first one is shown."""
    # Separately: shards on disk need their rows even if the next shard no longer fits there.
    for step in (extraction.flush, committer.close):
        with suppress(Exception):  # it is in the spool, and the next session adopts it
            step()


class LazyModel:
    """A checkpoint that is loaded on first use and closed, with its family, on exit."""

    def __init__(self, family: OpenFamily, options: LoadOptions, console: Console) -> None:
        """Load nothing yet; complete runs need no model."""
        self._family, self._options, self._console = family, options, console
        self._model: Model | None = None

    def load(self) -> Model:
        """Return the model, loaded once.

        Raises:
            ModelError: the checkpoint is missing, incomplete or of another architecture.
            UsageError: the device, the number format or a layer does not exist.
        """
        if self._model is None:
            options = self._options
            self._console.say(f"loading {options.checkpoint} ({options.dtype} on {options.device})")
            self._model = self._family.load(options)
            self._model.warn = self._console.warn
        return self._model

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._model is not None:
                self._model.close()
        finally:
            self._family.close()
