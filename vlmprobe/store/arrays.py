"""Hidden states of a run, one layer in memory at a time."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from vlmprobe.store.artifacts import shard_places
from vlmprobe.store.axes import read_axes
from vlmprobe.store.rows import fetch, fetch_as
from vlmprobe.store.runs import get_run
from vlmprobe.store.shard_readers import for_each, open_shards

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from vlmprobe.store.artifacts import ShardPlace
    from vlmprobe.store.shard_readers import ShardReader
    from vlmprobe.store.storage import Storage

    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Places = np.ndarray[Any, np.dtype[np.int64]]

_T = TypeVar("_T")

__all__ = ["Inputs", "Quads", "RunArrays", "read_inputs"]

_PAIRS_SQL = """
SELECT pairs.pair_id, pairs.category, pairs.axis,
    coalesce(nullif(pairs.image_sha256, ''), pairs.pair_id) AS image,
    pairs.perspective, pairs.origin, answers.shard, answers.shard_row, answers.both_correct
FROM (
    SELECT pair_id, min(shard) AS shard, min(shard_row) AS shard_row, bool_and(correct) AS both_correct
    FROM predictions WHERE run_id = $run_id
    GROUP BY pair_id HAVING count(*) = 2
) AS answers
INNER JOIN runs ON runs.run_id = $run_id
INNER JOIN swap_pairs AS pairs
    ON pairs.dataset_id = runs.dataset_id AND pairs.template = runs.template AND pairs.pair_id = answers.pair_id
ORDER BY pairs.position
"""
_QUADS_SQL = """
SELECT quads.distance_pair_id, quads.vertical_pair_id
FROM quads
INNER JOIN runs ON runs.run_id = $run_id AND quads.dataset_id = runs.dataset_id AND quads.template = runs.template
WHERE quads.vertical_pair_id IS NOT NULL
ORDER BY quads.distance_pair_id
"""


_ANSWERS_SQL = """
SELECT pair_id, side, parsed, correct FROM predictions WHERE run_id = $run_id ORDER BY pair_id, side
"""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the metrics of a run are computed from, without the arrays."""

    sha256: str
    """Of its pairs, quads, axes, answers and the hashes of its shards."""
    n_pairs: int
    """The dataset's own pairs with stored states."""


def read_inputs(connection: Connection, run_id: str) -> Inputs:
    """Hash everything that the metrics of a run depend on; no file is read."""
    of_run = {"run_id": run_id}
    # Rows as they are, in the order of their columns: a hash needs no objects, which would take most of the time.
    pairs = fetch(connection, _PAIRS_SQL, of_run)
    axes = read_axes(connection, get_run(connection, run_id).dataset_id)
    held = (
        pairs,
        fetch(connection, _QUADS_SQL, of_run),
        fetch(connection, _ANSWERS_SQL, of_run),
        [(shard.number, shard.sha256, shard.layers) for shard in shard_places(connection, run_id)],
        axes.meaning,
    )
    return Inputs(
        hashlib.sha256(json.dumps(held).encode()).hexdigest(),
        sum(pair["shard"] is not None and pair["origin"] == "row" for pair in pairs),
    )


@dataclass(frozen=True, slots=True)
class Quads:
    """The M quads of a run, with everything but their deltas.

    Imported quads come as deltas; they have categories, images and answers only if those were imported too.
    """

    ids: tuple[str, ...]
    vertical_ids: tuple[str, ...] | None
    vertical_categories: tuple[str, ...] | None
    distance_categories: tuple[str, ...] | None
    images: tuple[str, ...] | None
    both_correct: np.ndarray[Any, np.dtype[np.bool_]] | None
    """(M,): all four answers right."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A pair with both answers, and the location of its states."""

    pair_id: str
    category: str
    axis: str
    image: str
    """The hash of its image, or the pair's own id if the image is unknown."""
    perspective: str | None
    origin: str
    shard: int | None
    """None for pairs of imported quads, which have answers but no states."""
    shard_row: int | None
    both_correct: bool


@dataclass(frozen=True, slots=True)
class _Link:
    """The two halves of a quad."""

    distance_pair_id: str
    vertical_pair_id: str


class RunArrays:
    """The answered pairs of a run in the dataset's order, its quads, and their arrays layer by layer."""

    def __init__(self, storage: Storage, run_id: str, *, every_layer: bool = False) -> None:
        """Read the rows; files are opened layer by layer.

        Args:
            storage: the database, MLflow, and the cache for what only MLflow has.
            run_id: the run.
            every_layer: whether all layers will be read, so that a server is asked for whole files.

        Raises:
            ElsewhereError: only another host has a shard.
            VlmprobeError: a shard is neither in the spool nor in MLflow.
        """
        with storage.database.transaction(write=False) as connection:
            shards = shard_places(connection, run_id)
        # Rows of 50,000 pairs take 1 s: where a file is lost, that is said before they are read.
        opened = open_shards(storage, shards, every_layer=every_layer)
        with storage.database.transaction(write=False) as connection:
            answered = fetch_as(_Pair, connection, _PAIRS_SQL, {"run_id": run_id})
            links = fetch_as(_Link, connection, _QUADS_SQL, {"run_id": run_id})
            self.axis_set = read_axes(connection, get_run(connection, run_id).dataset_id)
        stored = [pair for pair in answered if pair.shard is not None]
        self._files = _Files(storage, opened, shards, stored)
        self.layers: list[int] = sorted({layer for shard in shards for layer in shard.layers})
        own = [place for place, pair in enumerate(stored) if pair.origin == "row"]
        self._own: Places = np.array(own, dtype=np.int64)
        pairs = [stored[place] for place in own]
        self.pair_ids = [pair.pair_id for pair in pairs]
        self.categories = [pair.category for pair in pairs]
        self.axes = [pair.axis for pair in pairs]
        self.images = [pair.image for pair in pairs]
        self.perspectives = [pair.perspective for pair in pairs]
        self.both_correct = np.array([pair.both_correct for pair in pairs], dtype=bool)
        self._vertical = self._distance = np.empty(0, dtype=np.int64)
        if self._files.has_deltas:
            self.quads = _imported_quads(self._files.quad_ids(), answered, links)
        else:
            self.quads, self._vertical, self._distance = _link(stored, links)

    @property
    def layer_bytes(self) -> int:
        """Bytes of one layer's states, including those of the quads' pairs."""
        return self._files.layer_bytes(len(self.quads.ids))

    def layer(self, layer: int) -> Floats:
        """Return one layer's states of the dataset's own pairs: float32, (pairs, 2, dim), orig then swap."""
        return self._files.states(layer, self._own)

    def rows(self, layer: int, places: Places) -> Floats:
        """Return the same of the pairs at some places alone; the others' are not read."""
        return self._files.states(layer, self._own[places])

    @property
    def dim(self) -> int:
        """The length of a state."""
        return self._files.dim

    def quad_deltas(self, layer: int) -> tuple[Floats, Floats]:
        """Return one layer's vertical and distance deltas of the quads, each (M, dim)."""
        if self._files.has_deltas:
            return self._files.deltas(layer)
        vertical = self._files.states(layer, self._vertical)
        distance = self._files.states(layer, self._distance)
        return vertical[:, 1] - vertical[:, 0], distance[:, 1] - distance[:, 0]


class _Files:
    """The shards of a run, with the position of each pair's states in them."""

    def __init__(
        self,
        storage: Storage,
        opened: tuple[dict[int, ShardReader], bool],
        shards: Sequence[ShardPlace],
        pairs: Sequence[_Pair],
    ) -> None:
        self._storage = storage
        self._shards, self._in_parts = opened
        self._deltas = [shard.number for shard in shards if shard.kind == "deltas"]
        self._dim = shards[0].dim if shards else 0
        self._shard = np.array([pair.shard for pair in pairs], dtype=np.int64)
        self._row = np.array([pair.shard_row for pair in pairs], dtype=np.int64)

    @property
    def dim(self) -> int:
        """The length of a state."""
        return self._dim

    @property
    def has_deltas(self) -> bool:
        """Whether the run stores the deltas of quads instead of the states of their pairs."""
        return bool(self._deltas)

    def layer_bytes(self, n_quads: int) -> int:
        """Return the size in bytes of one layer's states or of its quads' deltas, whichever is larger."""
        return 4 * 2 * self._dim * max(len(self._shard), n_quads)

    def quad_ids(self) -> tuple[str, ...]:
        """Return the ids of the quads with stored deltas."""
        return tuple(name for number in self._deltas for name in self._shards[number].pair_ids())

    def states(self, layer: int, places: Places) -> Floats:
        """Return one layer's states of the pairs at ``places``: (places, 2, dim)."""
        states = np.empty((len(places), 2, self._dim), dtype=np.float32)
        shard, row = self._shard[places], self._row[places]

        def read(number: int) -> None:
            here = np.flatnonzero(shard == number)
            states[here] = self._shards[number].read_layer(layer, row[here].tolist())

        self._for_each(np.unique(shard).tolist(), read)
        return states

    def deltas(self, layer: int) -> tuple[Floats, Floats]:
        """Return one layer's stored deltas of quads, vertical and distance: (M, dim) each."""
        both = np.concatenate(
            self._for_each(self._deltas, lambda number: self._shards[number].read_layer(layer))
        )
        # Contiguous, like computed deltas: sums over strided rows may differ in the last bits.
        return np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])

    def _for_each(self, numbers: Sequence[int], read: Callable[[int], _T]) -> list[_T]:
        found = for_each(numbers, read, at_once=self._in_parts)
        if self._in_parts:
            self._storage.make_room()
        return found


def _imported_quads(ids: tuple[str, ...], answered: Sequence[_Pair], links: Sequence[_Link]) -> Quads:
    """Look up the quads whose deltas are stored; unless all of them have rows, only ids are known."""
    pair_of = {pair.pair_id: pair for pair in answered}
    vertical_of = {link.distance_pair_id: link.vertical_pair_id for link in links}
    if not all(name in pair_of and vertical_of.get(name) in pair_of for name in ids):
        return Quads(ids, None, None, None, None, None)
    return _quads([pair_of[vertical_of[name]] for name in ids], [pair_of[name] for name in ids])


def _link(pairs: Sequence[_Pair], links: Sequence[_Link]) -> tuple[Quads, Places, Places]:
    """Find both halves of each quad among the answered pairs; a quad that lacks one is left out."""
    place_of = {pair.pair_id: place for place, pair in enumerate(pairs)}
    halves = [
        (place_of[link.distance_pair_id], place_of[link.vertical_pair_id])
        for link in links
        if link.vertical_pair_id in place_of and link.distance_pair_id in place_of
    ]
    halves.sort()
    distance, vertical = [d for d, _ in halves], [v for _, v in halves]
    quads = _quads([pairs[place] for place in vertical], [pairs[place] for place in distance])
    return quads, np.array(vertical, dtype=np.int64), np.array(distance, dtype=np.int64)


def _quads(vertical: Sequence[_Pair], distance: Sequence[_Pair]) -> Quads:
    """Combine the two halves of each quad."""
    return Quads(
        ids=tuple(pair.pair_id for pair in distance),
        vertical_ids=tuple(pair.pair_id for pair in vertical),
        vertical_categories=tuple(pair.category for pair in vertical),
        distance_categories=tuple(pair.category for pair in distance),
        images=tuple(pair.image for pair in distance),
        both_correct=np.array(
            [v.both_correct and d.both_correct for v, d in zip(vertical, distance, strict=True)],
            dtype=bool,
        ),
    )
