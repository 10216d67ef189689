"""MLflow as a projection of the database: everything here can be replayed from DuckDB and the spool (DESIGN 8)."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import TrackingError, first_line
from vlmprobe.settings import without_password
from vlmprobe.store.engine import file_lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlflow import MlflowClient

    from vlmprobe.settings import Settings
    from vlmprobe.store.metrics import StoredMetric
    from vlmprobe.store.runs import Run

__all__ = ["MetricPoint", "Tracker", "metric_points", "mlflow_environment"]

_LOCAL_SCHEMES = ("sqlite:///",)
_BATCH = 1000  # the most that one log_batch request may hold
_RUN_ID_TAG = "vlmprobe.run_id"


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One point of an MLflow chart."""

    key: str
    value: float
    step: int
    timestamp_ms: int


def mlflow_environment(settings: Settings) -> dict[str, str]:
    """Return what MLflow should find in its environment, safe and quiet unless the user says otherwise."""
    defaults = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    merged = {**defaults, **settings.environment}
    return {name: value for name, value in merged.items() if name not in os.environ}


def metric_points(metrics: Iterable[StoredMetric]) -> list[MetricPoint]:
    """Turn metrics into points: ``layer/<metric>.<target>`` with step = layer, ``summary/...`` else.

    A target's slash becomes a hyphen, since MLflow groups charts by what stands before the last slash. What is no
    number is left out: MLflow would store 1.8e308.
    """
    points = []
    for metric in metrics:
        if not math.isfinite(metric.value):
            continue
        section = "layer" if metric.layer >= 0 else "summary"
        if metric.subset != "all":
            section += f"_{metric.subset}"
        key = f"{section}/{metric.name}.{metric.target.replace('/', '-')}"
        stamp = int(metric.computed_at.replace(tzinfo=UTC).timestamp() * 1000)
        points.append(MetricPoint(key, metric.value, max(metric.layer, 0), stamp))
    return points


class Tracker:
    """One MLflow store and one experiment in it."""

    def __init__(self, settings: Settings) -> None:
        """Name the store; nothing is contacted until something is logged."""
        # Here, in the thread that makes us, and not where MLflow is loaded, which may be another one: a variable that
        # is set while a library reads one moves what is being read, and the process dies.
        os.environ.update(mlflow_environment(settings))
        self._settings = settings
        self._uri = settings.tracking_uri
        self._client: MlflowClient | None = None
        self._experiment_id: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether the store is a file of ours, written without a server."""
        return self._uri.startswith(_LOCAL_SCHEMES)

    @property
    def address(self) -> str:
        """Where the store is, for people to read: without a password."""
        return without_password(self._uri)

    @property
    def _lock_path(self) -> Path:
        # Beside the store, not in the home: two homes may share one store.
        return self._store_path.with_name(self._store_path.name + ".lock")

    @property
    def _store_path(self) -> Path:
        return Path(self._uri.removeprefix(_LOCAL_SCHEMES[0]))

    @contextmanager
    def _connected(self) -> Iterator[tuple[MlflowClient, str]]:
        """Yield client and experiment id.

        A local store is created and written by one process at a time: five that started on a new one at once left it
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
        """Load MLflow, and open a local store, in a thread meanwhile: together they take seconds.

        What goes wrong comes up again where the store is needed.
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
                # A server is contacted only when there is something to say.
                self._client = self._make_client()

    def _make_client(self) -> MlflowClient:
        from mlflow import MlflowClient

        self._hush()
        if self.is_local:
            self._create_store(self._store_path)
        return MlflowClient(self._uri)

    def _create_store(self, path: Path) -> None:
        """Make a new store under another name: a kill in the seconds that it takes would leave one broken for good."""
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

        # Creating a new store tells of every table at level INFO.
        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.WARNING)
        # A store that fails is told by the exception, in one line; here it would come with its traceback as well.
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

    def start(self, name: str, tags: Mapping[str, str], parameters: Mapping[str, str]) -> str:
        """Begin an MLflow run that shows no run of the database, a training's say; return its id."""
        with self._connected() as (client, experiment_id):
            return _create(client, experiment_id, name, tags, parameters)

    def ensure_run(self, run: Run) -> str:
        """Return the MLflow run that shows ``run``, creating it if need be: also when someone has deleted it."""
        with self._connected() as (client, experiment_id):
            if run.mlflow_run_id is not None and _is_active(client, run.mlflow_run_id):
                return run.mlflow_run_id
            return _find_or_create(client, experiment_id, run)

    def replace_run(self, run: Run) -> str:
        """Make a fresh MLflow run for changed values; the old one is tagged ``superseded`` and deleted (restorable)."""
        with self._connected() as (client, experiment_id):
            fresh = _find_or_create(client, experiment_id, run)
            # After a crash the old one may be deleted already, and a deleted run takes no tag.
            if run.mlflow_run_id is not None and _is_active(client, run.mlflow_run_id):
                client.set_tag(run.mlflow_run_id, "superseded", fresh)
                client.delete_run(run.mlflow_run_id)
            return fresh

    def upload(self, mlflow_run_id: str, path: Path, folder: str | None = None) -> str:
        """Log one file; return its artifact URI."""
        with self._connected() as (client, _):
            client.log_artifact(mlflow_run_id, str(path), folder)
            root = _without_secrets(client.get_run(mlflow_run_id).info.artifact_uri, mlflow_run_id)
            return "/".join(part for part in (root, folder, path.name) if part)

    def log_points(self, mlflow_run_id: str, points: Sequence[MetricPoint]) -> None:
        """Log metrics; the same points again add nothing, since their time stamps are the stored ones."""
        from mlflow.entities import Metric

        entities = [Metric(point.key, point.value, point.timestamp_ms, point.step) for point in points]
        with self._connected() as (client, _):
            for start in range(0, len(entities), _BATCH):
                client.log_batch(mlflow_run_id, metrics=entities[start : start + _BATCH])

    def remove_twins(self, run: Run, mlflow_run_id: str) -> None:
        """Delete (restorable) further MLflow runs of ``run``: a request whose answer was lost is made once more.

        A server that hung may do what it was asked long after we gave up, so this is looked for at each delivery.
        """
        with self._connected() as (client, experiment_id):
            for twin in _runs_of(client, experiment_id, run):
                if twin.info.run_id != mlflow_run_id:
                    client.set_tag(twin.info.run_id, "superseded", mlflow_run_id)
                    client.delete_run(twin.info.run_id)

    def finish(self, mlflow_run_id: str, status: str, *, color: str | None = None) -> None:
        """Set the run's status (``FINISHED``, ``KILLED`` or ``FAILED``) and, if given, its colour in charts."""
        with self._connected() as (client, _):
            if color is not None:
                client.set_tag(mlflow_run_id, "mlflow.runColor", color)
            client.set_terminated(mlflow_run_id, status)

    def download(self, artifact_uri: str, folder: Path) -> Path:
        """Fetch one artifact into a folder."""
        with self._connected():
            from mlflow.artifacts import download_artifacts

            folder.mkdir(parents=True, exist_ok=True)
            return Path(
                download_artifacts(artifact_uri=artifact_uri, dst_path=str(folder), tracking_uri=self._uri)
            )


def _without_secrets(root: str, mlflow_run_id: str) -> str:
    """Return where a run's artifacts are: what is stored beside the shards is read by anyone who has the database."""
    return f"runs:/{mlflow_run_id}" if without_password(root) != root else root.rstrip("/")


def _is_active(client: MlflowClient, mlflow_run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(mlflow_run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _find_or_create(client: MlflowClient, experiment_id: str, run: Run) -> str:
    """Return a run that carries our id and is not the one we know of.

    A crash between MLflow's answer and our own row leaves such a run; a second one would show every curve twice.
    """
    for found in _runs_of(client, experiment_id, run):
        if found.info.run_id != run.mlflow_run_id and "superseded" not in found.data.tags:
            return str(found.info.run_id)
    return _create_run(client, experiment_id, run)


def _runs_of(client: MlflowClient, experiment_id: str, run: Run) -> list[Any]:
    """Return the MLflow runs that carry our id and are not deleted."""
    return list(client.search_runs([experiment_id], f"tags.`{_RUN_ID_TAG}` = '{run.run_id}'"))


def _create_run(client: MlflowClient, experiment_id: str, run: Run) -> str:
    facts = {
        "family": run.family,
        "scale": run.scale,
        "samples_seen": run.samples_seen,
        "global_steps": run.global_steps,
        "dataset": run.dataset,
        "template": run.template,
        "checkpoint": run.checkpoint,
        "dtype": run.dtype,
    }
    known = {name: str(value) for name, value in facts.items() if value is not None}
    return _create(client, experiment_id, run.name, {**known, _RUN_ID_TAG: run.run_id}, known)


def _create(
    client: MlflowClient,
    experiment_id: str,
    name: str,
    tags: Mapping[str, str],
    parameters: Mapping[str, str],
) -> str:
    from mlflow.entities import Param

    created = client.create_run(experiment_id, tags=dict(tags), run_name=name)
    mlflow_run_id = str(created.info.run_id)
    client.log_batch(mlflow_run_id, params=[Param(key, value) for key, value in parameters.items()])
    return mlflow_run_id


@contextmanager
def _one_line_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        # Of a database's driver or a cloud's client, which MLflow itself does not bring.
        raise TrackingError(f"{_line(uri, error)}; pip install what it needs") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise TrackingError(_line(uri, error)) from error
    except Exception as error:
        # MLflow, requests and SQLAlchemy each have a root of their own; their modules need not be imported to tell.
        if type(error).__module__.split(".")[0] in {"mlflow", "requests", "sqlalchemy", "alembic", "urllib3"}:
            raise TrackingError(_line(uri, error)) from error
        raise


def _line(uri: str, error: Exception) -> str:
    # An address may hold a password, and MLflow repeats it.
    host, text = without_password(uri), without_password(first_line(error) or type(error).__name__)
    return f"MLflow at {host}: {text[:200]}"
