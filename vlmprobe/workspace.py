"""A home and everything that belongs to it: settings, database, MLflow, and the console."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from vlmprobe.board import Lines
from vlmprobe.errors import ReadOnlyError
from vlmprobe.paths import can_write
from vlmprobe.settings import Settings
from vlmprobe.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Self

    from vlmprobe.families.batch_sizes import BatchSizes
    from vlmprobe.families.kept_workers import KeptWorkers
    from vlmprobe.file_hashes import FileHashes
    from vlmprobe.pairs import Benchmarks
    from vlmprobe.store.arrays import RunArrays
    from vlmprobe.store.delivery import Delivery
    from vlmprobe.store.engine import Database
    from vlmprobe.store.runs import Run
    from vlmprobe.store.storage import Storage
    from vlmprobe.store.tracking import Tracker

__all__ = ["Board", "Console", "Silent", "Workspace"]


class Console(Protocol):
    """Prints messages and shows progress."""

    def say(self, text: str) -> None:
        """Print a line about the progress."""

    def warn(self, text: str) -> None:
        """Print a warning, even with ``--quiet``."""

    def track(self, what: str, total: int, done: int = 0) -> AbstractContextManager[Callable[[int], None]]:
        """Show a bar with rate and time left; call the function that it yields to advance it."""

    def board(self, names: Sequence[str]) -> AbstractContextManager[Board]:
        """Show things that go on at once, a row each under its name."""


class Board(Protocol):
    """Rows of things that go on at once; any thread may change them."""

    def console(self, row: int) -> Console:
        """Return the console of what goes on in a row; rows count from 0."""

    def show(self, row: int, state: str, *, last: bool = False) -> None:
        """Show the state of a row; where nothing can be drawn in place, only the last one."""


class Silent:
    """A console that prints nothing, the default in the Python API."""

    def say(self, text: str) -> None:
        """Drop it."""

    def warn(self, text: str) -> None:
        """Drop it."""

    @contextmanager
    def track(self, what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        """Yield a function that does nothing."""
        yield lambda _: None

    @contextmanager
    def board(self, names: Sequence[str]) -> Iterator[Board]:
        """Yield rows that nobody sees."""
        yield Lines(self, names)


class Workspace:
    """One home. It opens everything on first use, and the database only for one transaction at a time."""

    def __init__(self, settings: Settings, console: Console | None = None) -> None:
        """Store settings and console; without a console, nothing is printed."""
        self.settings = settings
        self.console: Console = console or Silent()
        self.timeline = Timeline()
        """When the phases of a study began and ended; a command that shows it makes a new one."""
        self.workers: KeptWorkers | None = None
        """Processes of models on GPUs or several devices, while one scale or several are asked."""
        self.unshared_told = False
        """Whether :meth:`unshared_note` was printed, here or by the process that this one works for."""
        self._opened: dict[str, RunArrays] | None = None

    @classmethod
    def open(
        cls, home: Path | None = None, *, experiment: str | None = None, console: Console | None = None
    ) -> Self:
        """Return the workspace of a home folder, with the settings of this process.

        Args:
            home: the folder; ``VLMPROBE_HOME`` or ``vlmprobe-data`` when None.
            experiment: the MLflow experiment; ``VLMPROBE_EXPERIMENT`` or ``vlmprobe`` when None.
            console: prints progress and warnings; None = print nothing.

        Raises:
            UsageError: a setting is not usable; the message names the variable.
        """
        return cls(Settings.load(home, experiment=experiment), console)

    @contextmanager
    def printing_to(self, console: Console) -> Iterator[None]:
        """Print to another console meanwhile."""
        before, self.console = self.console, console
        try:
            yield
        finally:
            self.console = before

    @contextmanager
    def keeping_workers(self) -> Iterator[None]:
        """Let the processes of models outlive each scale meanwhile."""
        from vlmprobe.families.kept_workers import KeptWorkers

        if self.workers is not None:
            yield
            return
        with KeptWorkers() as self.workers:
            try:
                yield
            finally:
                self.workers = None

    @cached_property
    def unchecked_database(self) -> Database:
        """The database, whatever its schema; the file may not exist."""
        from vlmprobe.store.open import open_database

        return open_database(self.settings, warn=self.console.warn)

    @cached_property
    def database(self) -> Database:
        """The database, after a check that it exists with this version's schema.

        Raises:
            DatabaseError: there is no database, or it is not current.
        """
        from vlmprobe.store.migrate import require_schema

        require_schema(self.unchecked_database)
        return self.unchecked_database

    @cached_property
    def hashes(self) -> FileHashes:
        """The hashes of files, those of large ones also as other processes computed them."""
        from vlmprobe.file_hashes import FileHashes

        return FileHashes(self.settings.cache)

    @cached_property
    def batch_sizes(self) -> BatchSizes:
        """How many pairs fit in a batch, as it was found out for models of one shape."""
        from vlmprobe.families.batch_sizes import BatchSizes

        return BatchSizes(self.settings.cache)

    @cached_property
    def shard_hashes(self) -> FileHashes:
        """The hashes of shards that were read in this process, and by no other."""
        from vlmprobe.file_hashes import FileHashes

        return FileHashes()

    @cached_property
    def benchmarks(self) -> Benchmarks:
        """The benchmarks that were read here."""
        from vlmprobe.pairs import Benchmarks

        return Benchmarks(self.hashes, self.settings.cache)

    def create_database(self) -> None:
        """Create the database unless it exists.

        Raises:
            StaleSchemaError: it has the schema of another version.
        """
        from vlmprobe.store.migrate import ensure_schema

        ensure_schema(self.unchecked_database)

    def require_writable(self) -> None:
        """Check that this home can be written, before any work is done for it.

        Raises:
            ReadOnlyError: it cannot.
        """
        if not can_write(self.settings.home):
            raise ReadOnlyError(str(self.settings.home))

    def require_output(self, out: Path | None) -> None:
        """Check that the folder for figures or a report can be written: the one of ``--out``, or the home.

        Raises:
            ReadOnlyError: it cannot.
        """
        if not can_write(out or self.settings.home):
            raise ReadOnlyError(str(out or self.settings.home), "write to another folder with --out")

    @cached_property
    def tracker(self) -> Tracker:
        """MLflow; the first log call connects to it."""
        from vlmprobe.store.tracking import Tracker

        return Tracker(self.settings, say=self.console.say)

    def warn_unshared(self) -> None:
        """Print :meth:`unshared_note`, once however many scales are extracted."""
        if not self.unshared_told and (note := self.unshared_note()):
            self.console.warn(note)
        self.unshared_told = True

    def unshared_note(self) -> str | None:
        """Say so if machines share the database, but not the hidden states; None if all is well."""
        root = self.settings.store_root
        is_shared = root is not None and self.settings.home.is_relative_to(root)
        if is_shared or not (self.settings.is_postgres and self.tracker.is_local):
            return None
        return (
            f"{self.settings.database_name} is shared, but {self.tracker.address} is not: other machines "
            "cannot read the hidden states of this home's runs; name an MLflow server in MLFLOW_TRACKING_URI, or "
            "in VLMPROBE_STORE_ROOT a folder that all hosts share, with this home in it"
        )

    @property
    def storage(self) -> Storage:
        """Where this home keeps its rows and shards."""
        from vlmprobe.store.storage import Storage

        return Storage(
            self.database,
            self.tracker,
            self.settings.home / "cache",
            self.settings.shard_cache_bytes,
            self.shard_hashes,
        )

    def arrays(self, run: Run, *, every_layer: bool = False) -> RunArrays:
        """Return a run's hidden states, read layer by layer; ``every_layer`` says that all of them will be.

        Raises:
            ElsewhereError: only another host has a shard.
            VlmprobeError: a shard is neither in the spool nor in MLflow.
        """
        from vlmprobe.store.arrays import RunArrays

        if self._opened is None:
            return RunArrays(self.storage, run.run_id, every_layer=every_layer)
        if run.run_id not in self._opened:
            self._opened[run.run_id] = RunArrays(self.storage, run.run_id, every_layer=every_layer)
        return self._opened[run.run_id]

    @contextmanager
    def opening_once(self) -> Iterator[None]:
        """Open the arrays of each run once meanwhile, for what reads the same runs many times and writes none."""
        before = self._opened
        self._opened = {} if before is None else before
        try:
            yield
        finally:
            self._opened = before

    def deliver(self, run: Run, *, replay: bool = False) -> Delivery:
        """Bring MLflow up to date with a complete run; see :func:`vlmprobe.store.delivery.deliver_run`."""
        from vlmprobe.figures import step_color
        from vlmprobe.store.delivery import deliver_run

        # In the colors of the figures; MLflow's own choice makes two scales alike.
        color = step_color(run.samples_seen)
        return deliver_run(self.storage, run, warn=self.console.warn, color=color, replay=replay)
