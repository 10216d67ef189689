"""Writes a small artifact to an MLflow server and reads it back as shards are read, for ``vlmprobe doctor``."""

from __future__ import annotations

import getpass
import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import TrackingError
from vlmprobe.settings import without_password
from vlmprobe.store.identity import this_host
from vlmprobe.store.ranges import NoRangesError, RemoteFile

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from vlmprobe.store.tracking import Tracker

__all__ = ["ArtifactCheck", "By", "artifact_folder", "check_artifacts", "server_version"]

_FOLDER = "vlmprobe-doctor"
_SIZE = 2**13
#: Of the default experiment, which every server makes for itself.
_DEFAULT = "0"


class By(StrEnum):
    """How parts of an artifact are read."""

    SIGNED = "signed addresses"
    """Straight from the store behind the server."""
    SERVER = "the server"
    WHOLE = "whole files"
    """Not at all."""


@dataclass(frozen=True, slots=True)
class ArtifactCheck:
    """What came of an artifact that was written, read back in part and as a whole, and removed.

    Where the store that the server signs addresses of does not answer, MLflow's client gets no whole file either.
    """

    by: By
    signed: str | None
    """The store whose addresses the server signs, such as ``http://s3.lab:9000``; None if it signs none."""


def server_version(tracker: Tracker) -> str | None:
    """Return the version that an MLflow server says it has; None if it does not say.

    Raises:
        TrackingError: it does not answer.
    """
    with tracker.errors_in_a_line():
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        answer = http_request(get_default_host_creds(tracker.tracking_uri), "/version", "GET")
        text = str(answer.text).strip()
        return text if answer.status_code == 200 and 0 < len(text) <= 40 else None


def artifact_folder(tracker: Tracker, experiment: str) -> str:
    """Return where an MLflow server has the artifacts of an experiment kept, or would have them kept.

    Raises:
        TrackingError: it does not answer, or refuses.
    """
    with tracker.errors_in_a_line():
        from mlflow import MlflowClient

        client = MlflowClient(tracker.tracking_uri)
        found = client.get_experiment_by_name(experiment) or _default_experiment(client)
        return str(found.artifact_location) if found is not None else "mlflow-artifacts:/"


def _default_experiment(client: MlflowClient) -> Any:
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):  # someone may have deleted it, or we may not see it
        return client.get_experiment(_DEFAULT)
    return None


def check_artifacts(tracker: Tracker, folder: str) -> ArtifactCheck:
    """Write an artifact into a folder that MLflow keeps, read it back, and remove it.

    Each user of each host has one name for it, since who may write need not have the right to remove.

    Raises:
        TrackingError: it cannot be written or read, or is not what was written.
    """
    content = secrets.token_bytes(_SIZE)
    with TemporaryDirectory(prefix="vlmprobe-doctor-") as scratch, tracker.errors_in_a_line():
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        path = Path(scratch) / f"{_whose()}.bin"
        path.write_bytes(content)
        store = get_artifact_repository(folder, tracking_uri=tracker.tracking_uri)
        store.log_artifact(str(path), _FOLDER)
        address = f"{folder.rstrip('/')}/{_FOLDER}/{path.name}"
        try:
            found = _read_part(tracker, address, content)
            if found.by is not By.WHOLE or found.signed is None:
                # Not by the tracker, which would make the experiment.
                (whole := Path(scratch) / "whole").mkdir()
                copy = Path(store.download_artifacts(f"{_FOLDER}/{path.name}", str(whole)))
                if copy.read_bytes() != content:
                    raise TrackingError(f"{without_password(address)} is not what was written a moment ago")
            return found
        finally:
            with suppress(Exception):  # who may write need not have the right to remove
                store.delete_artifacts(f"{_FOLDER}/{path.name}")


def _whose() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "?"
    return hashlib.sha256(f"{this_host()}/{user}".encode()).hexdigest()[:16]


def _read_part(tracker: Tracker, address: str, content: bytes) -> ArtifactCheck:
    if not RemoteFile.is_one(tracker, address):
        return ArtifactCheck(By.WHOLE, None)
    remote = RemoteFile(tracker, address, len(content))
    signed = remote.signing_for()
    start, end = _SIZE // 4, _SIZE // 2
    try:
        if remote.read(start, end) != content[start:end]:
            raise TrackingError(f"a part of {without_password(address)} is not what was written a moment ago")
    except NoRangesError:
        return ArtifactCheck(By.WHOLE, signed)
    return ArtifactCheck(By.SIGNED if remote.signs else By.SERVER, signed)
