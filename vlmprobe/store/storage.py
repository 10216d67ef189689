"""Where a home keeps its runs: rows in the database, shards in the spool and in MLflow."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vlmprobe.file_hashes import FileHashes
from vlmprobe.settings import SPOOL
from vlmprobe.store.artifacts import local_shard, spooled_shard
from vlmprobe.store.shard_cache import make_room

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
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
    """The folder for shards downloaded from MLflow, and pieces of them."""
    cache_bytes: int | None = None
    """How much it holds; None = any amount."""
    hashes: FileHashes = field(default_factory=FileHashes)
    """Of shards that were read in this process: one that has not changed since is not read again for its check.

    What other processes found counts for nothing here, since a disk may have damaged a file meanwhile.
    """

    def fetch(self, place: ShardPlace, *, check: bool = True, keep: Collection[Path] = ()) -> Path:
        """Return a shard's file, downloaded from MLflow if the spool lacks it; see :func:`local_shard`.

        What was not used for longest leaves the cache, except the files to ``keep``.
        """
        path = local_shard(place, self.tracker, self.cache, check=check, hash_of=self.hashes.of)
        if path.is_relative_to(self.cache):
            self.make_room({path, *keep})
        return path

    def hash_ahead(self, places: Sequence[ShardPlace]) -> None:
        """Hash the shards of a run that are in the spool side by side, for the checks that follow."""
        here = [path for place in places if (path := spooled_shard(place, self.cache)) is not None]
        if len(here) > 1:
            with suppress(OSError):  # raised again for the shard that it is about
                self.hashes.of_all(here)

    def fetch_into_spool(self, place: ShardPlace) -> None:
        """Let a shard be a file that stays until MLflow has it, whatever the cache holds."""
        path = self.fetch(place)
        if path.is_relative_to(self.cache):
            spooled = self.cache.parent / SPOOL / path.relative_to(self.cache)
            spooled.parent.mkdir(parents=True, exist_ok=True)
            path.replace(spooled)

    def make_room(self, keep: Collection[Path] = ()) -> None:
        """Remove what was not used for longest from a cache that holds too much, except the files to ``keep``."""
        if self.cache_bytes is not None:
            make_room(self.cache, self.cache_bytes, keep)

    def can_hold(self, n_bytes: int) -> bool:
        """Return whether the cache may hold this much at once."""
        return self.cache_bytes is None or n_bytes <= self.cache_bytes
