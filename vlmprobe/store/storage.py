"""Where a home keeps its runs: rows in the database, shards in the spool and in MLflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.store.artifacts import local_shard

if TYPE_CHECKING:
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

    def fetch(self, place: ShardPlace, *, check: bool = True) -> Path:
        """Return a shard's file, downloaded from MLflow if the spool lacks it; see :func:`local_shard`."""
        return local_shard(place, self.tracker, self.cache, check=check)
