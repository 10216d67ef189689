"""How many hosts one Postgres database takes: each writes rows and shard rows at the rate of a GPU, under its lease.

    python benchmarks/many_writers.py --database postgresql://... [--hosts 100] [--minutes 10] [--rate 80]

A host is a thread here, with a run, a lease that it renews, and a shard of 256 pairs every 256 / RATE seconds, written
as an extraction does: the fence, 512 predictions, the shard's row. There are no hidden states, which go to a store of
their own. A host that is late writes its next shard at once, so what is sustained is what the database takes. The
database's processors are this machine's, and the hosts share them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from studies import MadeUp, machine, run_row

from vlmprobe.pairs import Side
from vlmprobe.store.identity import new_run_id, utc_now
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.store.postgres_store import PostgresStore
from vlmprobe.store.predictions import commit_shard
from vlmprobe.store.rows import insert_rows
from vlmprobe.store.schema import DatasetRow, RunRow
from vlmprobe.store.shards import Answer, ShardFile

PAIRS_A_SHARD = 256


@dataclass
class Written:
    """What one host wrote."""

    pairs: int = 0
    shards: int = 0
    longest: float = 0.0
    """Seconds of its longest commit, the wait for other writers included."""
    behind: float = 0.0
    """Seconds that its last shard was later than the rate wants."""
    error: str = ""


def main() -> int:
    """Write, and print what was sustained."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", required=True, help="an empty one, whose role may make tables")
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=80.0, help="pairs a second of one host")
    parser.add_argument("--processes", type=int, default=4, help="that the hosts are threads of")
    asked = parser.parse_args()
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as home:
        runs = _make_runs(PostgresStore(asked.database, home=Path(home)), asked.hosts)
        begin = time.time() + 10.0
        shares = [runs[place :: asked.processes] for place in range(asked.processes)]
        given = [(asked.database, home, share, asked.rate, begin, 60 * asked.minutes) for share in shares]
        with multiprocessing.get_context("spawn").Pool(asked.processes) as pool:
            written = [each for part in pool.starmap(_hosts, given) for each in part]
    seconds = 60 * asked.minutes
    pairs, shards = sum(each.pairs for each in written), sum(each.shards for each in written)
    wanted = asked.hosts * asked.rate
    print(
        f"{asked.hosts} hosts at {asked.rate:g} pairs/s each want {wanted:,.0f} pairs/s ({2 * wanted:,.0f} rows/s)\n"
        f"sustained over {asked.minutes:g} minutes: {pairs / seconds:,.0f} pairs/s, {2 * pairs / seconds:,.0f} rows/s, "
        f"{shards / seconds:.1f} shards/s: {100 * pairs / seconds / wanted:.0f} %\n"
        f"longest commit: {max(each.longest for each in written):.1f} s; latest host: "
        f"{max(each.behind for each in written):.0f} s behind its rate"
    )
    for error in sorted({each.error for each in written if each.error}):
        print(f"error: {error}")
    return int(any(each.error for each in written))


def _make_runs(database: PostgresStore, n: int) -> list[str]:
    ensure_schema(database)
    row = run_row(MadeUp(6, 1), 36)
    runs = [
        {**row, "run_id": run, "run_key": run, "status": "running"}
        for run in (new_run_id() for _ in range(n))
    ]
    dataset = {
        "dataset_id": "made-up",
        "name": "made-up",
        "path": "made-up.tsv",
        "form": "embspatial",
        "options": {},
        "n_rows": 0,
        "created_at": utc_now(),
    }
    with database.transaction() as connection:
        insert_rows(connection, DatasetRow, [dataset])
        insert_rows(connection, RunRow, runs)
    return [str(run["run_id"]) for run in runs]


def _hosts(url: str, home: str, runs: list[str], rate: float, begin: float, seconds: float) -> list[Written]:
    """Write for some hosts, each in a thread; each has a store, and so connections, of its own."""
    sys.setswitchinterval(0.001)
    written = [Written() for _ in runs]
    threads = [
        threading.Thread(target=_host, args=(url, home, run, place / len(runs), rate, begin, seconds, each))
        for place, (run, each) in enumerate(zip(runs, written, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return written


def _host(
    url: str, home: str, run: str, share: float, rate: float, begin: float, seconds: float, written: Written
) -> None:
    every = PAIRS_A_SHARD / rate
    database = PostgresStore(url, home=Path(home))
    shard = _shard(run)
    time.sleep(max(begin - time.time(), 0.0))
    # GPUs do not start at one moment.
    due = time.monotonic() + share * every
    end = time.monotonic() + seconds
    try:
        with database.lease(run):
            while (now := time.monotonic()) < end:
                if now < due:
                    time.sleep(min(due, end) - now)
                    continue
                shard = _next(shard)
                started = time.monotonic()
                with database.transaction() as connection:
                    written.pairs += commit_shard(connection, shard)
                written.longest = max(written.longest, time.monotonic() - started)
                written.shards += 1
                written.behind = max(time.monotonic() - due, 0.0)
                due += every
    except Exception as error:  # noqa: BLE001 - printed at the end
        written.error = f"{type(error).__name__}: {error}"


def _shard(run: str) -> ShardFile:
    return ShardFile(
        Path("/nowhere"), "0" * 64, 0, run, 0, (), tuple(range(36)), 2048, "bfloat16", (), (), False, "states"
    )


def _next(shard: ShardFile) -> ShardFile:
    number = shard.number + 1
    pairs = tuple(f"{number}-{place}" for place in range(PAIRS_A_SHARD))
    answers = tuple(
        Answer(pair, str(side), "left", "left", True, "published", "left", True, 0.5)
        for pair in pairs
        for side in Side
    )
    return replace(
        shard, path=Path(f"/nowhere/{number:05d}.safetensors"), number=number, pair_ids=pairs, answers=answers
    )


if __name__ == "__main__":
    raise SystemExit(main())
