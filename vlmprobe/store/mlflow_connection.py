"""The way to MLflow: its store, one experiment in it, and its errors in a line."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from vlmprobe.errors import TrackingError, first_line, in_one_line
from vlmprobe.settings import without_password
from vlmprobe.store.engine import file_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient

    from vlmprobe.settings import Settings

__all__ = ["MlflowConnection", "mlflow_environment"]

_LOCAL_SCHEME = "sqlite:///"
#: A message is shown whole; beyond this it is the body of some web page.
_LONGEST = 2000
#: Refusals by HTTP status that pass by themselves: too slow, too early, too many requests.
_PASSING = frozenset({408, 425, 429})


def mlflow_environment(settings: Settings) -> dict[str, str]:
    """Return environment variables that keep MLflow safe and quiet, except those that the user has set."""
    defaults = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    merged = {**defaults, **settings.environment}
    return {name: value for name, value in merged.items() if name not in os.environ}


class MlflowConnection:
    """One MLflow store and one experiment in it, contacted when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        """Store the settings; MLflow is not contacted until something is logged."""
        # Here, and not where MLflow is loaded, which may be another thread: setting a variable while a
        # library reads the environment can crash the process.
        os.environ.update(mlflow_environment(settings))
        self._settings = settings
        self._uri = settings.tracking_uri
        self._client: MlflowClient | None = None
        self._experiment_id: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether the store is a file of ours, written without a server."""
        return self._uri.startswith(_LOCAL_SCHEME)

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
        with lock, _one_line_errors(self._uri):
            self._make_client().search_experiments(max_results=1)

    @property
    def address(self) -> str:
        """The store's address for display, without a password."""
        return without_password(self._uri)

    @property
    def _lock_path(self) -> Path:
        # Beside the store, not in the home: two homes may share one store.
        return self._store_path.with_name(self._store_path.name + ".lock")

    @property
    def _store_path(self) -> Path:
        return Path(self._uri.removeprefix(_LOCAL_SCHEME))

    @contextmanager
    def _connected(self) -> Iterator[tuple[MlflowClient, str]]:
        """Yield client and experiment id.

        Only one process at a time may create or write a local store: five that created one at once left it
        broken for good.
        """
        lock = file_lock(self._lock_path) if self.is_local else nullcontext()
        with lock, _one_line_errors(self._uri):
            if self._client is None:
                self._client = self._make_client()
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
        client = MlflowClient(f"sqlite:///{partial}")
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
        if type(error).__module__.split(".")[0] in {"mlflow", "requests", "sqlalchemy", "alembic", "urllib3"}:
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
