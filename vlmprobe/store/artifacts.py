"""Finds shards in the spool or downloads them from MLflow, and checks their hash before use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sqlalchemy import update

from vlmprobe.errors import (
    DamagedCopyError,
    ElsewhereError,
    ReadOnlyError,
    TrackingError,
    UnreadableError,
    VlmprobeError,
)
from vlmprobe.paths import can_write
from vlmprobe.safe_names import safe_name
from vlmprobe.settings import ARTIFACTS, SPOOL
from vlmprobe.store.identity import this_host, utc_now
from vlmprobe.store.layer_file import unreadable
from vlmprobe.store.places import is_shared, local_path, places_of
from vlmprobe.store.rows import fetch_as
from vlmprobe.store.schema import Shard
from vlmprobe.store.shard_cache import touch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from vlmprobe.store.tracking import Tracker

__all__ = [
    "ShardPlace",
    "artifact_here",
    "forget_artifacts",
    "is_copy",
    "is_in_mlflow",
    "is_of_this_host_alone",
    "is_present",
    "local_shard",
    "mark_synced",
    "set_place",
    "shard_places",
    "spooled_shard",
]


@dataclass(frozen=True, slots=True)
class ShardPlace:
    """The database's record of a shard: where it is, and what was written."""

    run_id: str
    number: int
    kind: str
    path: Path
    """Path in the spool, whole; the file may no longer exist."""
    artifact_uri: str | None
    """Address in MLflow, whole; None if it is not there."""
    sha256: str
    n_bytes: int
    layers: tuple[int, ...]
    dim: int
    dtype: str
    synced_at: datetime | None
    host: str | None = None
    """The host that wrote it, if its files are where other hosts cannot read them; None if nobody knows."""


def shard_places(connection: Connection, run_id: str, *, unsynced_only: bool = False) -> list[ShardPlace]:
    """Return the shards of a run, in order."""
    found = fetch_as(
        ShardPlace,
        connection,
        "SELECT *, shard AS number FROM shards WHERE run_id = $id AND (NOT $unsynced OR synced_at IS NULL) "
        "ORDER BY shard",
        {"id": run_id, "unsynced": unsynced_only},
    )
    places = places_of(connection)
    return [
        replace(
            place,
            path=places.whole(str(place.path)),
            artifact_uri=places.whole_address(place.artifact_uri),
            host=place.host if places.is_of_one_host(str(place.path), place.artifact_uri) else None,
        )
        for place in found
    ]


def mark_synced(connection: Connection, run_id: str, shard: int, artifact_uri: str) -> None:
    """Record that MLflow has a shard."""
    connection.execute(
        update(Shard)
        .where(Shard.run_id == run_id, Shard.shard == shard)
        .values(artifact_uri=places_of(connection).stored_address(artifact_uri), synced_at=utc_now())
    )


def forget_artifacts(connection: Connection, run_id: str, shards: Sequence[int] | None = None) -> None:
    """Record that MLflow no longer has these shards of a run; None means all of its shards."""
    which = Shard.run_id == run_id
    if shards is not None:
        which &= Shard.shard.in_(shards)
    connection.execute(update(Shard).where(which).values(artifact_uri=None, synced_at=None))


def local_shard(
    place: ShardPlace,
    tracker: Tracker,
    cache: Path,
    *,
    check: bool = True,
    hash_of: Callable[[Path], str] | None = None,
) -> Path:
    """Return the path of a shard; download it from MLflow if it is not in the spool.

    Args:
        place: its row.
        tracker: MLflow.
        cache: folder for downloads; the home's, next to its spool.
        check: whether to verify the hash of a file in the spool; downloads are always verified.
        hash_of: what hashes a file that is there already; None = read it now.

    Raises:
        DamagedCopyError: the download is not what was written.
        ElsewhereError: only another host has it.
        UnreadableError: the file in the spool cannot be read right now.
        VlmprobeError: the shard is in neither place, or the file in the spool is damaged.
    """
    path, cached = spooled_shard(place, cache), _cached(place, cache)
    if path is not None:
        if check and _sha256(path, hash_of) != place.sha256:
            raise VlmprobeError(
                f"{path} is damaged (its hash has changed since it was written); run 'vlmprobe verify' to "
                "see what can be done"
            )
        return path
    if is_copy(place, cached):
        touch(cached)
        return cached
    if cached.exists():
        # Another process may be quicker.
        cached.unlink(missing_ok=True)
    address = _address(place, cache.parent / ARTIFACTS)
    if not can_write(cached.parent):
        return _artifact_in_place(place, address, cached)
    cached.parent.mkdir(parents=True, exist_ok=True)
    # Into another folder first: a crash or a second process must not find half a file.
    with TemporaryDirectory(dir=cached.parent) as folder:
        fetched = tracker.download(address, Path(folder))
        _check_download(place, fetched)
        fetched.replace(cached)
    return cached


def is_present(place: ShardPlace, cache: Path) -> bool:
    """Return whether a shard is in the spool or the cache, intact or not.

    Raises:
        UnreadableError: the spool cannot be read right now.
    """
    return spooled_shard(place, cache) is not None or _cached(place, cache).exists()


def _cached(place: ShardPlace, cache: Path) -> Path:
    # An id that someone else wrote into the database must not lead out of cache or spool.
    return cache / safe_name(place.run_id, "run") / place.path.name


def spooled_shard(place: ShardPlace, cache: Path) -> Path | None:
    """Return the path of a shard in the spool, whether or not it is intact; None if it is not there.

    Raises:
        UnreadableError: its folder cannot be read right now.
    """
    path = place.path
    own = cache.parent / SPOOL / safe_name(place.run_id, "run") / path.name
    try:
        is_here = path.exists()
        if own != path and own.exists():
            # The row names a place outside of this home, which was moved or copied, but its spool came along.
            return own
    except OSError as error:
        raise unreadable(path, error) from error
    return path if is_here else None


def _address(place: ShardPlace, artifacts: Path) -> str:
    """Return the address that MLflow has of a shard.

    Raises:
        ElsewhereError: it is on another host, or on a file system that is not mounted here.
        VlmprobeError: it is lost.
    """
    address = place.artifact_uri
    if (here := artifact_here(place, artifacts)) is not None:
        return here.as_uri()
    path = local_path(address or "")
    is_file = path is not None or is_shared(address or "")
    if address is not None and (not is_file or (path is not None and path.exists())):
        return address
    which = f"shard {place.number} of run {place.run_id}"
    if unmounted := [each for each in (str(place.path), address or "") if is_shared(each)]:
        raise ElsewhereError(
            f"{which} is {unmounted[0]}, in a folder that hosts share; set VLMPROBE_STORE_ROOT to where that folder is "
            "mounted here",
            "in a folder that hosts share, which VLMPROBE_STORE_ROOT does not name here",
        )
    if place.host is not None and place.host != this_host():
        raise ElsewhereError(
            f"{which} is on host {place.host} alone ({place.path}), and this is host {this_host()}; run the command "
            "there, or run 'vlmprobe sync' there with an MLflow server that both reach",
            f"on host {place.host} alone",
        )
    if address is None:
        raise VlmprobeError(
            f"{which} is lost: {place.path} does not exist and was never uploaded to MLflow; extract the run again "
            "with --new"
        )
    return address


def is_of_this_host_alone(place: ShardPlace) -> bool:
    """Return whether this host has a shard that no other host can read."""
    return place.host == this_host()


def is_copy(place: ShardPlace, path: Path) -> bool:
    """Return whether a file is a shard as it was written; False if it is not there or cannot be read."""
    try:
        return path.is_file() and _sha256(path) == place.sha256
    except (OSError, UnreadableError):
        return False


def artifact_here(place: ShardPlace, artifacts: Path) -> Path | None:
    """Return this home's copy of a shard's artifact whose address leads to another home; None if there is none.

    Args:
        place: the shard's row.
        artifacts: where the local MLflow store of this home keeps its artifacts.
    """
    path = local_path(place.artifact_uri or "")
    if path is None or path.is_relative_to(artifacts) or artifacts.name not in path.parts:
        return None
    tail = path.parts[path.parts.index(artifacts.name) + 1 :]
    here = artifacts.joinpath(*tail)
    return here if ".." not in tail and is_copy(place, here) else None


def set_place(connection: Connection, place: ShardPlace) -> None:
    """Store where a shard is."""
    places = places_of(connection)
    address = place.artifact_uri
    connection.execute(
        update(Shard)
        .where(Shard.run_id == place.run_id, Shard.shard == place.number)
        .values(
            path=places.stored(place.path),
            host=this_host(),
            artifact_uri=None if address is None else places.stored_address(address),
        )
    )


def _artifact_in_place(place: ShardPlace, address: str, cached: Path) -> Path:
    """Return MLflow's own file of a shard, for a home where no copy can be kept."""
    path = local_path(address)
    if path is None or not path.exists():
        todo = f"shard {place.number} of run {place.run_id} would be fetched into it; use a copy of the home"
        raise ReadOnlyError(str(cached.parent), todo)
    _check_download(place, path)
    return path


def _check_download(place: ShardPlace, path: Path) -> None:
    if _sha256(path) != place.sha256:
        raise DamagedCopyError(
            f"shard {place.number} of run {place.run_id} was damaged in the download; try again"
        )


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


def _sha256(path: Path, hash_of: Callable[[Path], str] | None = None) -> str:
    try:
        if hash_of is not None:
            return hash_of(path)
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error
