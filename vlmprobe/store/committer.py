"""Writes rows and uploads shards in background threads, so that extraction waits for neither.

Order of commit (DESIGN 5): a shard is on disk, fsynced and hashed, before its rows are written in one transaction; only
then is it uploaded and marked as synced. A foreign process that holds the database, or a server that is away for a
while, delays rows, not inference: shards pile up in the spool and their rows follow.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from vlmprobe.errors import InputError
from vlmprobe.store.artifacts import shard_places
from vlmprobe.store.delivery import Delivery, upload_shards
from vlmprobe.store.identity import utc_now
from vlmprobe.store.predictions import commit_failures, commit_shard
from vlmprobe.store.server_away import retried
from vlmprobe.store.shards import read_header, shard_name, shard_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from vlmprobe.store.engine import Database
    from vlmprobe.store.parts import Part
    from vlmprobe.store.shards import FailureRecord, ShardFile
    from vlmprobe.store.storage import Storage

__all__ = ["Committer", "adopt_orphans"]


@dataclass(frozen=True, slots=True)
class _Failed:
    """Pairs that failed, and when: written again after a lost connection, they are told from another attempt."""

    pairs: Sequence[FailureRecord]
    at: datetime


class Committer:
    """Runs two threads: one writes the rows of shards, the other uploads the shards to MLflow."""

    def __init__(self, storage: Storage, run_id: str, *, shared: bool = False) -> None:
        """Start the threads; ``shared``: other processes extract other parts of the run meanwhile."""
        self._storage, self._run_id, self._shared = storage, run_id, shared
        self._work: SimpleQueue[ShardFile | _Failed | None] = SimpleQueue()
        self._uploads: SimpleQueue[tuple[int, Path] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._pending = 0
        self._failure: BaseException | None = None
        self._closing = False
        self._delivery = Delivery(0, 0)
        self._threads = [
            threading.Thread(target=self._commit_all, name="vlmprobe-rows", daemon=True),
            threading.Thread(target=self._upload_all, name="vlmprobe-upload", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, shard: ShardFile) -> None:
        """Submit a shard that is on disk.

        Raises:
            Exception: whatever stopped an earlier shard's rows from being written.
        """
        self._raise_failure()
        with self._lock:
            self._pending += 1
        self._work.put(shard)

    def submit_failures(self, failures: Sequence[FailureRecord]) -> None:
        """Submit failed pairs, which have no shard."""
        self._raise_failure()
        if failures:
            self._work.put(_Failed(tuple(failures), utc_now()))

    @property
    def pending(self) -> int:
        """Shards on disk whose rows are not written yet."""
        with self._lock:
            return self._pending

    def close(self) -> Delivery:
        """Wait until every row is written and every upload tried; an unreachable MLflow costs one timeout."""
        self._closing = True
        self._work.put(None)
        for thread in self._threads:
            # A timeout lets the main thread react to Ctrl-C.
            while thread.is_alive():
                thread.join(0.2)
        self._raise_failure()
        return self._delivery

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _commit_all(self) -> None:
        try:
            while (item := self._work.get()) is not None:
                if isinstance(item, _Failed):
                    work = partial(commit_failures, run_id=self._run_id, failures=item.pairs, at=item.at)
                    retried(self._storage.database, work)
                    continue
                retried(self._storage.database, partial(commit_shard, shard=item))
                with self._lock:
                    self._pending -= 1
                self._uploads.put((item.number, item.path))
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._failure = error
        finally:
            self._uploads.put(None)

    def _upload_all(self) -> None:
        try:
            self._delivery = upload_shards(
                self._storage,
                self._run_id,
                iter(self._uploads.get, None),
                is_closing=lambda: self._closing,
                fenced=True,
                shared=self._shared,
            )
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._failure = self._failure or error


def adopt_orphans(
    database: Database,
    folder: Path,
    run_id: str,
    *,
    part: Part | None = None,
    warn: Callable[[str], None] | None = None,
) -> int:
    """Write the rows of shards that a crash left in the spool without rows; return how many shards.

    A shard gets its name only once it is complete, and it holds its predictions, so nothing needs to be
    inferred again. A damaged one is removed and reported; its pairs have no rows, so they are inferred again.
    With a ``part``, shards with numbers of others are left alone: their processes may be about to write the rows.
    """
    for unfinished in folder.glob("*.partial"):
        if _is_ours(unfinished, part):
            unfinished.unlink()
    with database.transaction(write=False) as connection:
        known = {place.number: place.path.name for place in shard_places(connection, run_id)}
    adopted = 0
    for path in sorted(folder.glob("*.safetensors")):
        number = shard_number(path)
        if number is None or not _is_ours(path, part) or known.get(number) in {path.name, shard_name(number)}:
            continue
        if number in known:
            # Another machine went on with this run, and its shard of this number is the one with rows.
            path.unlink()
            continue
        try:
            shard = read_header(path)
        except InputError as error:
            path.unlink()
            if warn is not None:
                warn(f"{error}; the file was removed, and its pairs will be extracted again")
            continue
        if shard.run_id == run_id:
            with database.transaction() as connection:
                commit_shard(connection, shard)
            adopted += 1
    return adopted


def _is_ours(path: Path, part: Part | None) -> bool:
    number = shard_number(path)
    return part is None or (number is not None and part.has_shard(number))
