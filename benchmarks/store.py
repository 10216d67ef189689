"""Time the store: rows committed, shards written, one layer read back; beside an ORM's add_all and NPZ files.

    python benchmarks/store.py [--pairs 4800] [--layers 36] [--dim 2048] [--repeats 5]

Rows: two predictions a pair, in transactions of one shard, each with opening and closing the file, as in an extraction.
Files: one shard of bfloat16 states as we write it (fsynced and hashed), beside ``np.savez`` and
``np.savez_compressed`` of the same states in float32, since NumPy has no bfloat16. All medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy.orm import Session
from studies import PAIRS_A_SHARD, RUN, MadeUp, machine, make_home, shard_of

from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.predictions import commit_shard
from vlmprobe.store.schema import Prediction
from vlmprobe.store.shards import ShardFile, read_layer, write_shard

if TYPE_CHECKING:
    from collections.abc import Callable


def median_s(work: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of some runs."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def rows(args: argparse.Namespace, folder: Path) -> None:
    """Commit the same predictions both ways."""
    study = MadeUp(args.pairs, 4)
    thin = {0: study.layer(0)}
    right = study.both_correct
    shards: list[ShardFile] = []
    for number, start in enumerate(range(0, args.pairs, PAIRS_A_SHARD), start=1):
        places = range(start, min(start + PAIRS_A_SHARD, args.pairs))
        shards.append(write_shard(folder / "thin", shard_of(number, places, thin, right)))

    def ours(database: DuckDBStore) -> None:
        for shard in shards:
            with database.transaction() as connection:
                commit_shard(connection, shard)

    def orm(database: DuckDBStore) -> None:
        for shard in shards:
            places = {pair_id: row for row, pair_id in enumerate(shard.pair_ids)}
            with database.transaction() as connection, Session(connection) as session:
                session.add_all(
                    Prediction(
                        run_id=RUN, shard=shard.number, shard_row=places[answer.pair_id], **asdict(answer)
                    )
                    for answer in shard.answers
                )
                session.flush()

    print(f"Rows: {2 * args.pairs} predictions in {len(shards)} transactions")
    print(f"{'':34}{'rows/s':>10}")
    for name, way in (("ORM add_all", orm), ("ours (Arrow; shard row and lease too)", ours)):
        times = []
        for attempt in range(args.repeats):
            database = DuckDBStore(make_home(folder / f"{way.__name__}-{attempt}", study, 1).database_path)
            times.append(median_s(lambda database=database, way=way: way(database), 1))  # type: ignore[misc]
        print(f"{name:38}{2 * args.pairs / statistics.median(times):6.0f}")


def files(args: argparse.Namespace, folder: Path) -> None:
    """Write one shard and read one layer of it, both ways."""
    study = MadeUp(PAIRS_A_SHARD, args.dim)
    planes = {layer: study.layer(layer) for layer in range(args.layers)}
    content = shard_of(1, range(PAIRS_A_SHARD), planes, study.both_correct)
    arrays = {f"layer{layer}": plane for layer, plane in planes.items()}
    middle = args.layers // 2
    values = sum(plane.size for plane in planes.values())
    print(
        f"\nFiles: {PAIRS_A_SHARD} pairs x {args.layers} layers x {args.dim}, {values / 1e6:.0f} million values"
    )
    print(f"{'':34}{'MiB':>8}{'write s':>9}{'MB/s':>8}{'Mvalues/s':>11}{'one layer ms':>14}")
    shard_path = folder / "shards"
    written: list[ShardFile] = []
    npz, packed = folder / "plain.npz", folder / "packed.npz"

    def load(path: Path) -> np.ndarray:
        with np.load(path) as file:
            return file[f"layer{middle}"]

    ways: list[tuple[str, Path, int, Callable[[], object], Callable[[], object]]] = [
        (
            "np.savez_compressed, float32",
            packed,
            1,
            lambda: np.savez_compressed(packed, **arrays),
            lambda: load(packed),
        ),
        ("np.savez, float32", npz, args.repeats, lambda: np.savez(npz, **arrays), lambda: load(npz)),
        (
            "ours, bfloat16, fsynced, hashed",
            shard_path / "00001.safetensors",
            args.repeats,
            lambda: written.append(write_shard(shard_path, content)),
            lambda: read_layer(shard_path / "00001.safetensors", middle),
        ),
    ]
    read = []
    for name, path, repeats, write, back in ways:
        seconds = median_s(write, repeats)
        size = path.stat().st_size
        read.append(np.array(back()))
        print(
            f"{name:34}{size / 2**20:8.0f}{seconds:9.2f}{size / 1e6 / seconds:8.0f}{values / 1e6 / seconds:11.0f}"
            f"{1000 * median_s(back, 5 * args.repeats):14.1f}"
        )
    assert all((plane == planes[middle]).all() for plane in read)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=4800)
    parser.add_argument("--layers", type=int, default=36)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows(args, Path(folder))
        files(args, Path(folder))
    print(machine("duckdb", "sqlalchemy", "safetensors"))


if __name__ == "__main__":
    main()
