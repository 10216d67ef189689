"""A home and everything behind it: settings, database, MLflow, and the terminal that is told how work goes."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from vlmprobe.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Self

    from vlmprobe.store.arrays import RunArrays
    from vlmprobe.store.delivery import Delivery
    from vlmprobe.store.engine import Database
    from vlmprobe.store.runs import Run
    from vlmprobe.store.storage import Storage
    from vlmprobe.store.tracking import Tracker

__all__ = ["Console", "Silent", "Workspace"]


class Console(Protocol):
    """Reports what happens and shows how far it is."""

    def say(self, text: str) -> None:
        """Report progress in a line."""

    def warn(self, text: str) -> None:
        """Report something that a user should know, also under ``--quiet``."""

    def track(self, what: str, total: int, done: int = 0) -> AbstractContextManager[Callable[[int], None]]:
        """Show a bar with rate and time left; the function it gives moves it on."""


class Silent:
    """A console that drops everything: for the library face."""

    def say(self, text: str) -> None:
        """Drop it."""

    def warn(self, text: str) -> None:
        """Drop it."""

    @contextmanager
    def track(self, what: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        """Count for nobody."""
        yield lambda _: None


class Workspace:
    """One home. Nothing is opened before it is used, and the database is held for one transaction at a time."""

    def __init__(self, settings: Settings, console: Console | None = None) -> None:
        """Store settings and console; ``console`` is silent when None."""
        self.settings = settings
        self.console: Console = console or Silent()

    @classmethod
    def open(
        cls, home: Path | None = None, *, experiment: str | None = None, console: Console | None = None
    ) -> Self:
        """Return the workspace of a home folder, with the settings of this process.

        Args:
            home: the folder; ``VLMPROBE_HOME`` or ``vlmprobe-data`` when None.
            experiment: the MLflow experiment; ``VLMPROBE_EXPERIMENT`` or ``vlmprobe`` when None.
            console: receives progress and warnings; nobody does when None.

        Raises:
            UsageError: a setting is not usable; the message names the variable.
        """
        return cls(Settings.load(home, experiment=experiment), console)

    @cached_property
    def unchecked_database(self) -> Database:
        """The database, whatever its schema; the file may not exist."""
        from vlmprobe.store.engine import Database

        return Database(self.settings.database_path, tell=self.console.warn)

    @cached_property
    def database(self) -> Database:
        """The database, known to exist with the schema of this version.

        Raises:
            DatabaseError: there is no database, or it is not current.
        """
        from vlmprobe.store.migrate import require_schema

        require_schema(self.unchecked_database)
        return self.unchecked_database

    def create_database(self) -> None:
        """Create the database unless it exists.

        Raises:
            StaleSchemaError: it has the schema of another version.
        """
        from vlmprobe.store.migrate import ensure_schema

        ensure_schema(self.unchecked_database)

    @cached_property
    def tracker(self) -> Tracker:
        """MLflow, which is not contacted before something is logged."""
        from vlmprobe.store.tracking import Tracker

        return Tracker(self.settings)

    @property
    def storage(self) -> Storage:
        """The places of this home's rows and shards."""
        from vlmprobe.store.storage import Storage

        return Storage(self.database, self.tracker, self.settings.home / "cache")

    def arrays(self, run: Run) -> RunArrays:
        """Return a run's hidden states, read layer by layer.

        Raises:
            VlmprobeError: a shard is neither in the spool nor in MLflow.
        """
        from vlmprobe.store.arrays import RunArrays

        return RunArrays(self.storage, run.run_id)

    def deliver(self, run: Run, *, replay: bool = False) -> Delivery:
        """Bring MLflow up to date with a complete run, see :func:`vlmprobe.store.delivery.deliver_run`."""
        from vlmprobe.figures import step_color
        from vlmprobe.store.delivery import deliver_run

        # In the colors of the figures; MLflow's own choice makes two scales alike.
        color = step_color(run.samples_seen)
        return deliver_run(self.storage, run, tell=self.console.warn, color=color, replay=replay)
