"""What a run left behind, read without vlmprobe's code and compared bit by bit."""

from __future__ import annotations

import contextlib
import json
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.store.engine import file_lock

from .postgres_server import home_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_EXCLUDED = re.compile(r"\* EXCLUDE \(([^)]*)\)")
_IN_ORDER = re.compile(r"\s+ORDER BY ALL\s*$")


@dataclass(frozen=True, slots=True)
class Left:
    """Everything that a run of one scale left which numbers are made of."""

    answers: list[tuple[Any, ...]]
    """Every column of ``predictions`` but the run and the place in a shard, in order."""
    states: dict[str, dict[str, bytes]]
    """Per layer and pair the bytes of its two hidden states."""
    certificates: list[tuple[Any, ...]]
    in_shards: list[str]
    """The pair ids that the shards' headers name, in order, as often as they name them."""


def read_rows(home: Path, sql: str) -> list[tuple[Any, ...]]:
    """Ask a home's database through its driver alone, in the queue of vlmprobe's processes: looking disturbs none."""
    if url := home_url(home):
        return _rows_of_postgres(url, sql)
    import duckdb

    with _queued(home), duckdb.connect(str(home / "vlmprobe.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def change_rows(home: Path, *statements: str) -> None:
    """Change a home's database behind vlmprobe's back, in the SQL of both databases."""
    if url := home_url(home):
        import psycopg

        with psycopg.connect(url) as session:
            for statement in statements:
                session.execute(statement.encode())
        return
    import duckdb

    with _queued(home), duckdb.connect(str(home / "vlmprobe.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement)


def _rows_of_postgres(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Ask with the two forms of DuckDB that whole tables are read with; JSON comes as its text, as from DuckDB."""
    import psycopg
    from psycopg.types.string import TextLoader

    hidden = {name for names in _EXCLUDED.findall(sql) for name in names.split(", ")}
    statement = _EXCLUDED.sub("*", sql)
    with psycopg.connect(url) as session:
        session.adapters.register_loader("json", TextLoader)
        cursor = session.execute(_IN_ORDER.sub("", statement).encode())
        names = [column.name for column in cursor.description or ()]
        rows = [
            tuple(value for name, value in zip(names, row, strict=True) if name not in hidden)
            for row in cursor.fetchall()
        ]
    if _IN_ORDER.search(statement):
        rows.sort(key=lambda row: [(value is None, value) for value in row])
    return rows


@contextlib.contextmanager
def _queued(home: Path) -> Iterator[None]:
    with file_lock(home / "vlmprobe.duckdb.lock"):
        yield


def read_left(home: Path, scale: str = "2m", *, dataset: str | None = None, root: Path | None = None) -> Left:
    """Read what the one run of a scale (and, if there are several, of a dataset) left in a home.

    Where hosts share a folder, ``root``, the shards may be in another one's home.
    """
    of_dataset = "" if dataset is None else f" AND dataset_id = '{dataset}'"
    ((run_id,),) = read_rows(home, f"SELECT run_id FROM runs WHERE scale = '{scale}'{of_dataset}")
    run = f"run_id = '{run_id}'"
    answers = read_rows(
        home,
        f"SELECT * EXCLUDE (run_id, shard, shard_row) FROM predictions WHERE {run} ORDER BY pair_id, side",
    )
    places = read_rows(home, f"SELECT DISTINCT pair_id, shard, shard_row FROM predictions WHERE {run}")
    named = read_rows(home, f"SELECT shard, path FROM shards WHERE {run} AND n_pairs > 0")
    paths = {number: _found(home, run_id, _whole(home, root, path)) for number, path in named}
    shards = {number: _bits_of(path) for number, path in paths.items()}
    layers = next(iter(shards.values())).keys()
    states: dict[str, dict[str, bytes]] = {
        layer: {pair: shards[number][layer][row] for pair, number, row in places} for layer in layers
    }
    certificates = read_rows(
        home, f"SELECT * EXCLUDE (run_id, created_at) FROM certificates WHERE {run} ORDER BY batch"
    )
    in_shards = sorted(pair for path in paths.values() for pair in _pairs_in(path))
    return Left(answers, states, certificates, in_shards)


def read_metrics(home: Path, *, dataset: str | None = None) -> list[tuple[Any, ...]]:
    """Return every metric of a home, or of one dataset's runs, with its interval: all but run and times."""
    of_dataset = "" if dataset is None else f"WHERE dataset_id = '{dataset}'"
    return read_rows(
        home,
        f"""
        SELECT metrics.* EXCLUDE (run_id, computed_at, synced_at)
        FROM metrics INNER JOIN runs USING (run_id) {of_dataset} ORDER BY ALL
        """,
    )


def _whole(home: Path, root: Path | None, path: str) -> Path:
    return home / path if root is None else root / path.removeprefix("shared:/")


def _found(home: Path, run_id: str, path: Path) -> Path:
    """Return the spool's copy of a shard, or the one that was fetched from MLflow."""
    return path if path.exists() else home / "cache" / run_id / path.name


def _bits_of(path: Path) -> dict[str, list[bytes]]:
    """Return, of each layer, the bytes of each row: two states. NumPy could not read bfloat16."""
    header, data = _parts(path)
    del header["__metadata__"]
    layers = {}
    for layer, tensor in header.items():
        n_rows, n_sides, _ = tensor["shape"]
        assert n_sides == 2  # orig and swap
        start, end = tensor["data_offsets"]
        size = (end - start) // n_rows
        layers[layer] = [data[start + row * size : start + (row + 1) * size] for row in range(n_rows)]
    return layers


def _parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the header of a safetensors file, and what follows it."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        return json.loads(stream.read(length)), stream.read()


def _pairs_in(path: Path) -> list[str]:
    header, _ = _parts(path)
    pairs: list[str] = json.loads(header["__metadata__"]["vlmprobe"])["pair_ids"]
    return pairs
