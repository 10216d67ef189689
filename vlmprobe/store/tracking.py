"""MLflow as a projection of the database: everything here can be replayed from DuckDB and the spool (DESIGN 8)."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vlmprobe.errors import TrackingError
from vlmprobe.settings import without_password
from vlmprobe.store.mlflow_connection import MlflowConnection
from vlmprobe.store.places import local_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlflow import MlflowClient

    from vlmprobe.store.metrics import StoredMetric
    from vlmprobe.store.runs import Run

__all__ = ["MetricPoint", "Tracker", "metric_points"]

_BATCH = 1000  # the most that one log_batch request may hold
_RUN_ID_TAG = "vlmprobe.run_id"


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One point of an MLflow chart."""

    key: str
    value: float
    step: int
    timestamp_ms: int


def metric_points(metrics: Iterable[StoredMetric]) -> list[MetricPoint]:
    """Turn metrics into points: ``layer/<metric>.<target>`` with step = layer, otherwise ``summary/...``.

    A target's slash becomes a hyphen, since MLflow groups charts by the part before the last slash. Values
    that are not finite are left out, since MLflow would store 1.8e308.
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


class Tracker(MlflowConnection):
    """The MLflow runs that show runs of the database."""

    def start(self, name: str, tags: Mapping[str, str], parameters: Mapping[str, str]) -> str:
        """Start an MLflow run that has no run in the database, such as a training; return its id."""
        with self._connected() as (client, experiment_id):
            return _create(client, experiment_id, name, tags, parameters)

    def ensure_run(self, run: Run) -> str:
        """Return the MLflow run that shows ``run``; create it if it is missing or was deleted."""
        with self._connected() as (client, experiment_id):
            if run.mlflow_run_id is not None and _is_active(client, run.mlflow_run_id):
                return run.mlflow_run_id
            return _find_or_create(client, experiment_id, run)

    def shows(self, run: Run) -> bool:
        """Return whether the MLflow run that a run is linked to is there, and not deleted."""
        if run.mlflow_run_id is None:
            return False
        with self._connected() as (client, _):
            return _is_active(client, run.mlflow_run_id)

    def replace_run(self, run: Run) -> str:
        """Create a fresh MLflow run for changed values; tag the old one ``superseded`` and soft-delete it."""
        with self._connected() as (client, experiment_id):
            fresh = _find_or_create(client, experiment_id, run)
            # After a crash the old one may be deleted already, and a deleted run takes no tag.
            if run.mlflow_run_id is not None and _is_active(client, run.mlflow_run_id):
                client.set_tag(run.mlflow_run_id, "superseded", fresh)
                client.delete_run(run.mlflow_run_id)
            return fresh

    def upload(self, mlflow_run_id: str, path: Path, folder: str | None = None) -> str:
        """Log one file; return its artifact URI."""
        return self.upload_all(mlflow_run_id, [(path, folder)])[0]

    def upload_all(self, mlflow_run_id: str, files: Sequence[tuple[Path, str | None]]) -> list[str]:
        """Log files of one run, each into a folder or into none; return their artifact URIs."""
        with self._connected() as (client, _):
            # Looked up once: for a small file that takes longer than to log it.
            root = client.get_run(mlflow_run_id).info.artifact_uri
            for path, folder in files:
                if self.is_local:
                    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

                    # The client remembers the folder of a run's id for as long as the process lives, and a copy of a
                    # home has the same ids.
                    get_artifact_repository(root).log_artifact(str(path), folder)
                else:
                    client.log_artifact(mlflow_run_id, str(path), folder)
            root = _without_secrets(root, mlflow_run_id)
            return ["/".join(part for part in (root, folder, path.name) if part) for path, folder in files]

    def log_points(self, mlflow_run_id: str, points: Sequence[MetricPoint]) -> None:
        """Log metrics; logging the same points again adds nothing, since they carry the stored timestamps."""
        from mlflow.entities import Metric

        entities = [Metric(point.key, point.value, point.timestamp_ms, point.step) for point in points]
        with self._connected() as (client, _):
            for start in range(0, len(entities), _BATCH):
                client.log_batch(mlflow_run_id, metrics=entities[start : start + _BATCH])

    def remove_twins(self, run: Run, mlflow_run_id: str) -> None:
        """Soft-delete duplicate MLflow runs of ``run``, which arise when a response is lost and we retry.

        A hanging server may process a request long after we gave up, so each delivery checks for duplicates.
        """
        with self._connected() as (client, experiment_id):
            for twin in _runs_of(client, experiment_id, run):
                if twin.info.run_id != mlflow_run_id:
                    client.set_tag(twin.info.run_id, "superseded", mlflow_run_id)
                    client.delete_run(twin.info.run_id)

    def finish(self, mlflow_run_id: str, status: str, *, color: str | None = None) -> None:
        """Set the run's status (``FINISHED``, ``KILLED`` or ``FAILED``) and its color in charts, if given."""
        with self._connected() as (client, _):
            if color is not None:
                client.set_tag(mlflow_run_id, "mlflow.runColor", color)
            client.set_terminated(mlflow_run_id, status)

    def tag(self, mlflow_run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run; those that it has under other names stay."""
        with self._connected() as (client, _):
            for name, value in tags.items():
                client.set_tag(mlflow_run_id, name, value)

    def trash(self, mlflow_run_id: str) -> None:
        """Move a run to MLflow's trash, from which MLflow can restore it."""
        with self._connected() as (client, _):
            if _is_active(client, mlflow_run_id):
                client.delete_run(mlflow_run_id)

    def rename(self, run: Run) -> None:
        """Show a run under the name and the scale that it has now; MLflow's parameters cannot be changed."""
        with self._connected() as (client, _):
            if run.mlflow_run_id is not None and _is_active(client, run.mlflow_run_id):
                client.update_run(run.mlflow_run_id, name=run.name)
                for name in ("scale", "samples_seen", "global_steps"):
                    if (value := getattr(run, name)) is not None:
                        client.set_tag(run.mlflow_run_id, name, str(value))

    def download(self, artifact_uri: str, folder: Path) -> Path:
        """Fetch one artifact into a folder.

        Raises:
            TrackingError: MLflow does not have it, or does not answer; or the address leads to another server.
        """
        self._check_server(artifact_uri)
        path = local_path(artifact_uri)
        if path is not None and path.is_absolute():
            # Without MLflow, which would read some characters of a path as parts of an address.
            try:
                folder.mkdir(parents=True, exist_ok=True)
                return Path(shutil.copy(path, folder))
            except OSError as error:
                raise TrackingError(f"MLflow at {self.address}: {path}: {error.strerror}") from error
        with self._connected():
            from mlflow.artifacts import download_artifacts

            folder.mkdir(parents=True, exist_ok=True)
            return Path(
                download_artifacts(artifact_uri=artifact_uri, dst_path=str(folder), tracking_uri=self._uri)
            )

    def _check_server(self, artifact_uri: str) -> None:
        """Check that an address, which whoever writes rows can choose, gives our MLflow password to no other server."""
        parts = urlsplit(artifact_uri)
        if parts.scheme in {"mlflow-artifacts", "http", "https"} and parts.netloc:
            ours, theirs = (each.rpartition("@")[2] for each in (urlsplit(self._uri).netloc, parts.netloc))
            if ours != theirs:
                raise TrackingError(
                    f"MLflow at {self.address}: {without_password(artifact_uri)} is on another server, not asked"
                )


def _without_secrets(root: str, mlflow_run_id: str) -> str:
    """Return the root of a run's artifacts without secrets, since anyone with the database can read it."""
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
    """Find an MLflow run with our run's id, other than the linked one, or create one.

    A crash between MLflow's response and our own row leaves such a run; another would show every curve twice.
    """
    for found in _runs_of(client, experiment_id, run):
        if found.info.run_id != run.mlflow_run_id and "superseded" not in found.data.tags:
            return str(found.info.run_id)
    return _create_run(client, experiment_id, run)


def _runs_of(client: MlflowClient, experiment_id: str, run: Run) -> list[Any]:
    """Return the MLflow runs that are tagged with our run's id and not deleted."""
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
        "control": run.control,
        "serves": run.serves,
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
