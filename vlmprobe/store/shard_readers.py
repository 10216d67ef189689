"""Opens the shards of a run, each from where it can be read with the least traffic."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from vlmprobe.errors import UnreadableError
from vlmprobe.store.artifacts import is_present
from vlmprobe.store.ranges import NoRangesError, RangedShard, RemoteFile
from vlmprobe.store.shards import read_layer, read_pair_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy as np

    from vlmprobe.store.artifacts import ShardPlace
    from vlmprobe.store.storage import Storage

    Floats = np.ndarray[Any, np.dtype[np.float32]]

_T = TypeVar("_T")

__all__ = ["ShardReader", "for_each", "open_shards"]

#: A file of at most this size is fetched as a whole: its parts would not come much faster, and its hash is known.
_SMALL = 2**20
#: Requests at once. A store far away answers each late; its rate is reached with several.
_AT_ONCE = 8


class ShardReader(Protocol):
    """A shard that can be read, wherever it is."""

    def pair_ids(self) -> tuple[str, ...]:
        """Return the ids of its pairs, in order."""

    def read_layer(self, layer: int, rows: Sequence[int] | None = None) -> Floats:
        """Return one layer as float32, shape (pairs, 2, dim), or only some of its rows."""


class _Whole:
    """A shard that is here as a file."""

    def __init__(self, storage: Storage, place: ShardPlace, in_use: list[Path]) -> None:
        self._storage, self._place, self._in_use = storage, place, in_use
        self._path = self._fetch()

    def _fetch(self) -> Path:
        path = self._storage.fetch(self._place, keep=self._in_use)
        self._in_use.append(path)
        return path

    def _reading(self, read: Callable[[Path], _T]) -> _T:
        try:
            return read(self._path)
        except UnreadableError:
            # Another process may have made room in the cache.
            if self._path.exists():
                raise
            self._path = self._fetch()
            return read(self._path)

    def pair_ids(self) -> tuple[str, ...]:
        return self._reading(read_pair_ids)

    def read_layer(self, layer: int, rows: Sequence[int] | None = None) -> Floats:
        return self._reading(lambda path: read_layer(path, layer, rows))


class _Ranged:
    """A shard of which a server gives parts; fetched as a whole once it no longer does."""

    def __init__(self, storage: Storage, shard: RangedShard, in_use: list[Path]) -> None:
        self._storage, self._shard, self._in_use = storage, shard, in_use
        self._whole: _Whole | None = None

    def _fetched(self) -> _Whole:
        if self._whole is None:
            self._whole = _Whole(self._storage, self._shard.place, self._in_use)
        return self._whole

    def pair_ids(self) -> tuple[str, ...]:
        return self._shard.pair_ids()

    def read_layer(self, layer: int, rows: Sequence[int] | None = None) -> Floats:
        try:
            if self._whole is None:
                return self._shard.read_layer(layer, rows)
        except NoRangesError:
            pass
        return self._fetched().read_layer(layer, rows)


def open_shards(
    storage: Storage, places: Sequence[ShardPlace], *, every_layer: bool
) -> tuple[dict[int, ShardReader], bool]:
    """Return a reader for each shard of a run, by its number, and whether a server is asked for parts of some.

    A shard that is here is checked against its hash and read in place. One that only a server has is read by HTTP Range
    if a few layers of it are wanted, or if the run does not fit into the cache. Otherwise it is fetched as a whole.

    Args:
        storage: the database's MLflow, and the cache.
        places: the rows of the shards.
        every_layer: whether all layers will be read.

    Raises:
        TrackingError: MLflow does not answer, or its file is not what was written.
        VlmprobeError: a shard is nowhere, or damaged.
    """
    in_use: list[Path] = []
    away = [place for place in places if _is_away(storage, place)]
    pieces = [place for place in away if place.n_bytes > _SMALL]
    if every_layer and storage.can_hold(sum(place.n_bytes for place in places)):
        pieces = []
    ranged = _open_ranges(storage, pieces, in_use)
    others = [place for place in places if place.number not in ranged]
    storage.hash_ahead(others)
    readers: dict[int, ShardReader] = {place.number: _Whole(storage, place, in_use) for place in others}
    return readers | ranged, bool(ranged)


def _is_away(storage: Storage, place: ShardPlace) -> bool:
    """Return whether a server has a shard and this home has not."""
    if place.artifact_uri is None or not RemoteFile.is_one(storage.tracker, place.artifact_uri):
        return False
    return not is_present(place, storage.cache)


def _open_ranges(
    storage: Storage, places: Sequence[ShardPlace], in_use: list[Path]
) -> dict[int, ShardReader]:
    """Read the headers of these shards; return no reader where the server gives no parts of files."""
    if not places:
        return {}
    first, *others = places

    def opened(place: ShardPlace, *, signs: bool = True) -> RangedShard:
        remote = RemoteFile(storage.tracker, str(place.artifact_uri), place.n_bytes, signs=signs)
        return RangedShard(place, remote, storage.cache / place.run_id)

    try:
        # The first one shows what the server can do.
        shards = [opened(first)]
        signs = shards[0].remote.signs
        shards += for_each(others, lambda place: opened(place, signs=signs), at_once=True)
    except NoRangesError:
        return {}
    return {shard.place.number: _Ranged(storage, shard, in_use) for shard in shards}


def for_each(items: Iterable[Any], work: Callable[[Any], _T], *, at_once: bool) -> list[_T]:
    """Return what ``work`` returns for each item, in order; several at once where each waits for a server."""
    if not at_once:
        return [work(item) for item in items]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(work, items))
