"""Where a home keeps its runs: rows in the database, shards in the spool and in MLflow."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vlmprobe.file_hashes import FileHashes
from vlmprobe.store.artifacts import local_shard, spooled_shard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.store.artifacts import ShardPlace
    from vlmprobe.store.engine import Database
    from vlmprobe.store.tracking import Tracker

__all__ = ["Storage"]


@dataclass(frozen=True, slots=True)
class Storage:
    """A database and the MLflow store that mirrors it."""

    database: Database
    tracker: Tracker
    cache: Path
    """The folder for shards downloaded from MLflow."""
    hashes: FileHashes = field(default_factory=FileHashes)
    """Of shards that were read in this process: one that has not changed since is not read again for its check.

    What other processes found counts for nothing here, since a disk may have damaged a file meanwhile.
    """

    def fetch(self, place: ShardPlace, *, check: bool = True) -> Path:
        """Return a shard's file, downloaded from MLflow if the spool lacks it; see :func:`local_shard`."""
        return local_shard(place, self.tracker, self.cache, check=check, hash_of=self.hashes.of)

    def fetch_all(self, places: Sequence[ShardPlace]) -> dict[int, Path]:
        """Return the files of a run's shards by their numbers; those in the spool are hashed side by side."""
        known: dict[Path, str] = {}
        here = [path for place in places if (path := spooled_shard(place, self.cache)) is not None]
        if len(here) > 1:
            with suppress(OSError):  # raised again for the shard that it is about
                known = dict(zip(here, self.hashes.of_all(here), strict=True))

        def hash_of(path: Path) -> str:
            return known[path] if path in known else self.hashes.of(path)

        return {
            place.number: local_shard(place, self.tracker, self.cache, hash_of=hash_of) for place in places
        }
