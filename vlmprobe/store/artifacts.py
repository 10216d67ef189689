"""Finds shards in the spool or downloads them from MLflow, and checks their hash before use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sqlalchemy import update

from vlmprobe.errors import DamagedCopyError, TrackingError, UnreadableError, VlmprobeError
from vlmprobe.safe_names import safe_name
from vlmprobe.store.identity import utc_now
from vlmprobe.store.layer_file import unreadable
from vlmprobe.store.rows import fetch_as
from vlmprobe.store.schema import Shard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from vlmprobe.store.tracking import Tracker

__all__ = [
    "ShardPlace",
    "forget_artifacts",
    "is_in_mlflow",
    "local_shard",
    "mark_synced",
    "shard_places",
]


@dataclass(frozen=True, slots=True)
class ShardPlace:
    """The database's record of a shard: where it is, and what was written."""

    run_id: str
    number: int
    kind: str
    path: Path
    """Path in the spool; the file may no longer exist."""
    artifact_uri: str | None
    """URI in MLflow; None if it is not there."""
    sha256: str
    n_bytes: int
    layers: tuple[int, ...]
    dim: int
    dtype: str
    synced_at: datetime | None


def shard_places(connection: Connection, run_id: str, *, unsynced_only: bool = False) -> list[ShardPlace]:
    """Return the shards of a run, in order."""
    return fetch_as(
        ShardPlace,
        connection,
        "SELECT *, shard AS number FROM shards WHERE run_id = $id AND (NOT $unsynced OR synced_at IS NULL) "
        "ORDER BY shard",
        {"id": run_id, "unsynced": unsynced_only},
    )


def mark_synced(connection: Connection, run_id: str, shard: int, artifact_uri: str) -> None:
    """Record that MLflow has a shard."""
    connection.execute(
        update(Shard)
        .where(Shard.run_id == run_id, Shard.shard == shard)
        .values(artifact_uri=artifact_uri, synced_at=utc_now())
    )


def forget_artifacts(connection: Connection, run_id: str, shards: Sequence[int] | None = None) -> None:
    """Record that MLflow no longer has these shards of a run; None means all of its shards."""
    which = Shard.run_id == run_id
    if shards is not None:
        which &= Shard.shard.in_(shards)
    connection.execute(update(Shard).where(which).values(artifact_uri=None, synced_at=None))


def local_shard(place: ShardPlace, tracker: Tracker, cache: Path, *, check: bool = True) -> Path:
    """Return the path of a shard; download it from MLflow if it is not in the spool.

    Args:
        place: its row.
        tracker: MLflow.
        cache: folder for downloads; the home's, next to its spool.
        check: whether to verify the hash of a file in the spool; downloads are always verified.

    Raises:
        DamagedCopyError: the download is not what was written.
        UnreadableError: the file in the spool cannot be read right now.
        VlmprobeError: the shard is in neither place, or the file in the spool is damaged.
    """
    # An id that someone else wrote into the database must not lead out of cache or spool.
    run_id = safe_name(place.run_id, "run")
    path = place.path
    try:
        is_here = path.exists()
        if not is_here and (moved := cache.parent / "spool" / run_id / path.name).exists():
            # The home was moved or copied: its spool came along, but the rows still hold the old path.
            path, is_here = moved, True
    except OSError as error:
        raise unreadable(path, error) from error
    if is_here:
        if check and _sha256(path) != place.sha256:
            raise VlmprobeError(
                f"{path} is damaged (its hash has changed since it was written); run 'vlmprobe verify' to "
                "see what can be done"
            )
        return path
    cached = cache / run_id / path.name
    if cached.exists() and _sha256(cached) != place.sha256:
        cached.unlink()
    if not cached.exists():
        if place.artifact_uri is None:
            raise VlmprobeError(
                f"shard {place.number} of run {place.run_id} is lost: {path} does not exist "
                "and was never uploaded to MLflow; extract the run again with --new"
            )
        cached.parent.mkdir(parents=True, exist_ok=True)
        # Into another folder first: a crash or a second process must not find half a file.
        with TemporaryDirectory(dir=cached.parent) as folder:
            fetched = tracker.download(place.artifact_uri, Path(folder))
            if _sha256(fetched) != place.sha256:
                raise DamagedCopyError(
                    f"shard {place.number} of run {place.run_id} was damaged in the download; try again"
                )
            fetched.replace(cached)
    return cached


def is_in_mlflow(place: ShardPlace, tracker: Tracker, scratch: Path) -> bool:
    """Return whether MLflow holds an intact copy of a shard, by downloading it into ``scratch``."""
    if place.artifact_uri is None:
        return False
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=scratch) as folder:
        try:
            return _sha256(tracker.download(place.artifact_uri, Path(folder))) == place.sha256
        except (TrackingError, UnreadableError):
            return False


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error
