"""Hidden states of a run, one layer in memory at a time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.store.predictions import shard_places
from vlmprobe.store.rows import fetch
from vlmprobe.store.shards import read_layer, read_pair_ids

if TYPE_CHECKING:
    from vlmprobe.store.predictions import ShardPlace
    from vlmprobe.store.storage import Storage

    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Places = np.ndarray[Any, np.dtype[np.int64]]

__all__ = ["Quads", "RunArrays"]

_PAIRS_SQL = """
SELECT pairs.pair_id, pairs.category, pairs.axis, pairs.image_sha256, pairs.perspective, pairs.origin,
    answers.shard, answers.shard_row, answers.both_correct
FROM (
    SELECT pair_id, any_value(shard) AS shard, any_value(shard_row) AS shard_row, bool_and(correct) AS both_correct
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


@dataclass(frozen=True, slots=True)
class Quads:
    """The quads of a run, M of them: what is known of each besides its deltas.

    Imported quads come as deltas. Unless more was imported with them, they have no categories, images and answers.
    """

    ids: tuple[str, ...]
    vertical_ids: tuple[str, ...] | None
    vertical_categories: tuple[str, ...] | None
    distance_categories: tuple[str, ...] | None
    images: tuple[str, ...] | None
    both_correct: np.ndarray[Any, np.dtype[np.bool_]] | None
    """(M,): all four answers right."""


class RunArrays:
    """The answered pairs of a run in the dataset's order, its quads, and their arrays layer by layer."""

    def __init__(self, storage: Storage, run_id: str) -> None:
        """Read the rows; files are opened layer by layer.

        Raises:
            VlmprobeError: a shard is neither in the spool nor in MLflow.
        """
        with storage.database.transaction() as connection:
            answered = fetch(connection, _PAIRS_SQL, {"run_id": run_id})
            links = fetch(connection, _QUADS_SQL, {"run_id": run_id})
            shards = shard_places(connection, run_id)
        self._places = {shard["shard"]: storage.fetch(shard) for shard in shards}
        self._deltas = [shard["shard"] for shard in shards if shard["kind"] == "deltas"]
        self.layers: list[int] = sorted({layer for shard in shards for layer in _layers(shard)})
        self._dim = int(shards[0]["dim"]) if shards else 0
        # Those of imported quads have answers, but no states.
        rows = [row for row in answered if row["shard"] is not None]
        self._shard = np.array([row["shard"] for row in rows], dtype=np.int64)
        self._row = np.array([row["shard_row"] for row in rows], dtype=np.int64)

        mine = [place for place, row in enumerate(rows) if row["origin"] == "row"]
        self._mine: Places = np.array(mine, dtype=np.int64)
        self.pair_ids: list[str] = [rows[place]["pair_id"] for place in mine]
        self.categories: list[str] = [rows[place]["category"] for place in mine]
        self.axes: list[str] = [rows[place]["axis"] for place in mine]
        self.images: list[str] = [rows[place]["image_sha256"] or rows[place]["pair_id"] for place in mine]
        self.perspectives: list[str | None] = [rows[place]["perspective"] for place in mine]
        self.both_correct = np.array([rows[place]["both_correct"] for place in mine], dtype=bool)
        if self._deltas:
            self.quads = self._imported_quads(answered, links)
            self._vertical = self._distance = np.empty(0, dtype=np.int64)
        else:
            self.quads, self._vertical, self._distance = self._link(rows, links)

    def _imported_quads(self, answered: list[dict[str, Any]], links: list[dict[str, Any]]) -> Quads:
        """Find what is known of the quads whose deltas are stored: all of it, or their ids alone."""
        ids = tuple(name for number in self._deltas for name in read_pair_ids(self._places[number]))
        row_of = {row["pair_id"]: row for row in answered}
        vertical_of = {link["distance_pair_id"]: link["vertical_pair_id"] for link in links}
        if not all(name in row_of and vertical_of.get(name) in row_of for name in ids):
            return Quads(ids, None, None, None, None, None)
        return _quads([row_of[vertical_of[name]] for name in ids], [row_of[name] for name in ids])

    def _link(self, rows: list[dict[str, Any]], links: list[dict[str, Any]]) -> tuple[Quads, Places, Places]:
        """Find both halves of each quad among the answered pairs; a quad that lacks one is left out."""
        place_of = {row["pair_id"]: place for place, row in enumerate(rows)}
        whole = [
            link
            for link in links
            if link["vertical_pair_id"] in place_of and link["distance_pair_id"] in place_of
        ]
        whole.sort(key=lambda link: place_of[link["distance_pair_id"]])
        vertical = [place_of[link["vertical_pair_id"]] for link in whole]
        distance = [place_of[link["distance_pair_id"]] for link in whole]
        quads = _quads([rows[place] for place in vertical], [rows[place] for place in distance])
        return quads, np.array(vertical, dtype=np.int64), np.array(distance, dtype=np.int64)

    @property
    def layer_bytes(self) -> int:
        """How large one layer's states are, those of the quads' pairs included."""
        return 4 * 2 * self._dim * max(len(self._shard), len(self.quads.ids))

    def layer(self, layer: int) -> Floats:
        """Return one layer's states of the dataset's own pairs: float32, (pairs, 2, dim), orig then swap."""
        return self._states(layer, self._mine)

    def quad_deltas(self, layer: int) -> tuple[Floats, Floats]:
        """Return one layer's vertical and distance deltas of the quads, each (M, dim)."""
        if self._deltas:
            both = np.concatenate([read_layer(self._places[number], layer) for number in self._deltas])
            # Contiguous, as those that are computed: sums over strided rows may end in other last bits.
            return np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])
        vertical, distance = self._states(layer, self._vertical), self._states(layer, self._distance)
        return vertical[:, 1] - vertical[:, 0], distance[:, 1] - distance[:, 0]

    def _states(self, layer: int, places: Places) -> Floats:
        states = np.empty((len(places), 2, self._dim), dtype=np.float32)
        shard, row = self._shard[places], self._row[places]
        for number in np.unique(shard):
            here = np.flatnonzero(shard == number)
            states[here] = read_layer(self._places[int(number)], layer, row[here].tolist())
        return states


def _quads(vertical: list[dict[str, Any]], distance: list[dict[str, Any]]) -> Quads:
    """Join the rows of both halves, quad for quad."""
    return Quads(
        ids=tuple(row["pair_id"] for row in distance),
        vertical_ids=tuple(row["pair_id"] for row in vertical),
        vertical_categories=tuple(row["category"] for row in vertical),
        distance_categories=tuple(row["category"] for row in distance),
        images=tuple(row["image_sha256"] or row["pair_id"] for row in distance),
        both_correct=np.array(
            [v["both_correct"] and d["both_correct"] for v, d in zip(vertical, distance, strict=True)],
            dtype=bool,
        ),
    )


def _layers(place: ShardPlace) -> list[int]:
    layers = place["layers"]
    return list(json.loads(layers) if isinstance(layers, str) else layers)
