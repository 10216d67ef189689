"""The way to MLflow: its store, one experiment in it, and its errors in a line."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

from vlmprobe.errors import TrackingError, first_line, in_one_line
from vlmprobe.paths import can_write, is_sqlite, sqlite_address, sqlite_path
from vlmprobe.settings import without_password
from vlmprobe.store.engine import file_lock
from vlmprobe.store.mlflow_addresses import former_artifacts, mend_addresses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mlflow import MlflowClient

    from vlmprobe.settings import Settings

__all__ = ["MlflowConnection", "mlflow_environment"]

#: A message is shown whole; beyond this it is the body of some web page.
_LONGEST = 2000
#: Refusals by HTTP status that pass by themselves: too slow, too early, too many requests.
_PASSING = frozenset({408, 425, 429})
#: Whose errors are told in a line.
_MODULES = {"mlflow", "requests", "sqlalchemy", "sqlite3", "alembic", "urllib3"}


def mlflow_environment(settings: Settings) -> dict[str, str]:
    """Return environment variables that keep MLflow safe and quiet, except those that the user has set."""
    defaults = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # Standard output is for results, which may be JSON.
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    merged = {**defaults, **settings.environment}
    return {name: value for name, value in merged.items() if name not in os.environ}


class MlflowConnection:
    """One MLflow store and one experiment in it, contacted when it is first needed."""

    def __init__(self, settings: Settings, *, say: Callable[[str], None] | None = None) -> None:
        """Store the settings; MLflow is not contacted until something is logged.

        Args:
            settings: which store, and which experiment.
            say: receives one line when the addresses of a store in the home were mended.
        """
        # Here, and not where MLflow is loaded, which may be another thread: setting a variable while a
        # library reads the environment can crash the process.
        os.environ.update(mlflow_environment(settings))
        self._settings = settings
        self._uri = settings.tracking_uri
        self._say = say
        self._client: MlflowClient | None = None
        self._experiment_id: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether the store is a file of ours, written without a server."""
        return is_sqlite(self._uri)

    @property
    def is_server(self) -> bool:
        """Whether the store is behind an HTTP server."""
        return self._uri.startswith(("http://", "https://"))

    @property
    def tracking_uri(self) -> str:
        """The store's address with whatever password it has; not for display."""
        return self._uri

    def errors_in_a_line(self) -> AbstractContextManager[None]:
        """Turn what MLflow and its server can raise into a :class:`TrackingError`."""
        return _one_line_errors(self.address)

    @property
    def is_there(self) -> bool:
        """Whether a local store exists already."""
        return self._store_path.exists()

    def check(self) -> None:
        """Ask the store for its experiments; nothing is created in it.

        Raises:
            TrackingError: it does not answer, or refuses.
        """
        lock = file_lock(self._lock_path) if self.is_local else nullcontext()
        with lock, _one_line_errors(self.address):
            self._make_client().search_experiments(max_results=1)

    @property
    def address(self) -> str:
        """The store's address for display, without a password."""
        return f"sqlite:///{self._store_path}" if self.is_local else without_password(self._uri)

    @property
    def _lock_path(self) -> Path:
        # Beside the store, not in the home: two homes may share one store.
        return self._store_path.with_name(self._store_path.name + ".lock")

    @property
    def _store_path(self) -> Path:
        return sqlite_path(self._uri)

    @property
    def is_in_home(self) -> bool:
        """Whether the store is a file in the home, so that its addresses are the home's own."""
        return self.is_local and self._store_path.resolve().is_relative_to(self._settings.home)

    @property
    def is_read_only(self) -> bool:
        """Whether the store is a file that cannot be written, or created."""
        return self.is_local and not (can_write(self._store_path) and can_write(self._store_path.parent))

    def former_artifacts(self) -> list[Path]:
        """Return the folders outside of the home in which a store in the home would look for its artifacts.

        Raises:
            TrackingError: the store cannot be read.
        """
        if not (self.is_in_home and self.is_there):
            return []
        with _one_line_errors(self.address):
            return former_artifacts(self._store_path, self._settings.artifacts)

    def mend(self) -> None:
        """Let the addresses of a store in the home lead into it, and say so.

        Raises:
            TrackingError: the store cannot be read or written.
        """
        with file_lock(self._lock_path), _one_line_errors(self.address):
            self._mend_and_say()

    def copied_to(self, folder: Path) -> Settings:
        """Copy a store that cannot be written, if it is there; return settings that name the copy.

        Raises:
            TrackingError: it cannot be read.
        """
        copy = folder / self._store_path.name
        with _one_line_errors(self.address):
            if self.is_there:
                shutil.copyfile(self._store_path, copy)
                if self.is_in_home:
                    mend_addresses(copy, self._settings.artifacts)
        return replace(self._settings, tracking_uri=sqlite_address(copy))

    def _mend_and_say(self) -> None:
        if not self.is_in_home:
            return
        former = mend_addresses(self._store_path, self._settings.artifacts)
        if former and self._say is not None:
            places = ", ".join(str(folder.parent) for folder in former)
            self._say(
                f"MLflow's artifact addresses led to {places}, where this home was; they lead into this home now"
            )

    @contextmanager
    def _connected(self) -> Iterator[tuple[MlflowClient, str]]:
        """Yield client and experiment id.

        Only one process at a time may create or write a local store: five that created one at once left it
        broken for good.
        """
        lock = file_lock(self._lock_path) if self.is_local else nullcontext()
        with lock, _one_line_errors(self.address):
            if self._client is None:
                client = self._make_client()
                self._mend_and_say()
                self._client = client
            if self._experiment_id is None:
                self._experiment_id = self._find_experiment(self._client)
            yield self._client, self._experiment_id

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Load MLflow and open a local store in a background thread; together they take seconds.

        Errors are raised later, where the store is needed.
        """
        thread = Thread(target=self._connect_ahead, name="vlmprobe-mlflow", daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join()

    @staticmethod
    def preload() -> None:
        """Load MLflow's client, which takes seconds, before it is needed; the store is not contacted."""
        with suppress(Exception):  # raised again where it is needed
            import_module("mlflow.tracking")

    def _connect_ahead(self) -> None:
        with suppress(Exception):
            if self.is_local:
                self.experiment_id()
            elif self._client is None:
                # A server is contacted only when there is something to log.
                self._client = self._make_client()

    def _make_client(self) -> MlflowClient:
        from mlflow import MlflowClient

        self._hush()
        if self.is_local:
            if self.is_read_only:
                raise OSError(f"{self._store_path} is read-only")
            self._create_store(self._store_path)
        return MlflowClient(self._uri)

    def _create_store(self, path: Path) -> None:
        """Create a new store under a temporary name; a kill during these seconds would break it for good."""
        from mlflow import MlflowClient

        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*.partial*"):
            left.unlink()
        if path.exists():
            return
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        client = MlflowClient(sqlite_address(partial))
        client.search_experiments(max_results=1)
        client._tracking_client.store.engine.dispose()
        partial.replace(path)

    @staticmethod
    def _hush() -> None:
        import logging

        # Creating a new store logs every table at level INFO.
        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.WARNING)
        # The exception of a failing store is shown in one line; this logger would add its traceback.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

    def _find_experiment(self, client: MlflowClient) -> str:
        name = self._settings.experiment
        found = client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        # MLflow's own default would be a folder in whatever directory the command ran.
        location = self._settings.artifacts.as_uri() if self.is_local else None
        return str(client.create_experiment(name, artifact_location=location))

    def experiment_id(self) -> str:
        """Return the experiment's id, creating store and experiment if need be."""
        with self._connected() as (_, experiment_id):
            return experiment_id


@contextmanager
def _one_line_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        # A database driver or a cloud client, which MLflow itself does not install.
        raise TrackingError(
            f"{_line(uri, error)}; install the missing package with pip", lasts=True
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise TrackingError(_line(uri, error)) from error
    except Exception as error:
        # MLflow, requests and SQLAlchemy have no common base class; comparing names avoids importing them.
        if type(error).__module__.split(".")[0] in _MODULES:
            raise TrackingError(_line(uri, error), lasts=_lasts(error)) from error
        raise


def _lasts(error: Exception) -> bool:
    """Return whether MLflow will refuse again: the request itself is wrong, or its address or store."""
    if type(error).__name__ == "NoSuchModuleError":
        return True  # a kind of database that SQLAlchemy does not know
    status = getattr(error, "get_http_status_code", lambda: 500)()
    return 400 <= status < 500 and status not in _PASSING


def _line(uri: str, error: Exception) -> str:
    # SQLAlchemy adds the statement and a link below its message.
    is_sql = type(error).__module__.startswith("sqlalchemy")
    text = (first_line(error) if is_sql else in_one_line(error)) or type(error).__name__
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} ..."
    # An address may hold a password, and MLflow repeats it.
    return f"MLflow at {without_password(uri)}: {without_password(text)}"
