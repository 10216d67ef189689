"""Processes on several hosts, one Postgres, one MLflow server, for minutes: ``make faults`` ends with it.

    python -m tests.faults.many_hosts --hosts 3 --processes 6 --minutes 10

In each round two hosts are given the same run, and one of them gets it; then each analyzes, merges and asks by SQL.
Prints what was lost and doubled, and the longest wait for the database; exit code 1 if anything was lost or failed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.demo import DEMO_SCALES, build_benchmark

from ..hosts import Host
from ..postgres_server import Server, postgres_server
from .many import PAIRS_PER_CATEGORY, PATIENCE_S, Many, tell
from .mlflow_server import MlflowServer

if TYPE_CHECKING:
    from collections.abc import Sequence

_RUNS = "SELECT dataset_id, scale, run_id, status, lease FROM runs"
_ANSWERS = "SELECT run_id, pair_id, side, count(*) FROM predictions GROUP BY run_id, pair_id, side"
_LOCK = "LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE"


class Rounds:
    """The same benchmark for all processes of a round, who begin it together."""

    def __init__(self, folder: Path, processes: int, until: float) -> None:
        self.tsv = folder
        self.begun = 0
        self.is_over = False
        self._folder, self._until = folder, until
        self._together = threading.Barrier(processes, action=self._draw)

    def _draw(self) -> None:
        self.is_over = time.monotonic() >= self._until
        if not self.is_over:
            self.begun += 1
            drawn = build_benchmark(
                self._folder / f"benchmark-{self.begun}",
                pairs_per_category=PAIRS_PER_CATEGORY,
                seed=self.begun,
            )
            self.tsv = drawn.tsv

    def next(self) -> bool:
        """Wait for the others; return whether there is another round."""
        self._together.wait()
        return not self.is_over

    def stop(self) -> None:
        """Let nobody wait for one who failed."""
        self._together.abort()


def run_many_hosts(folder: Path, server: Server, n_hosts: int, processes: int, seconds: float) -> Many:
    """Let so many processes, shared out to hosts, work on one database until the time is up; look at the rows."""
    many, over, database = Many(), threading.Event(), server.migrated()
    n_scales = max(processes // 2, 1)
    mlflow = MlflowServer(folder / "mlflow")
    settings = {"VLMPROBE_DATABASE_URL": database, "MLFLOW_TRACKING_URI": mlflow.address}

    def work(number: int) -> None:
        # Neighbors are on one host, and those who share a scale are half of all apart.
        host = hosts[number * n_hosts // processes]
        scale = tuple(DEMO_SCALES)[number % n_scales % len(DEMO_SCALES)]
        try:
            while rounds.next():
                data = ("--data", rounds.tsv)
                study(number, host, "extract", "tiny", "--scale", scale, *data, "--batch-size", 8, "--wait")
                study(number, host, "analyze", "tiny", "--scale", scale, *data)
                study(number, host, "merge", "tiny", "--scale", scale, *data)
                study(number, host, "sql", "SELECT family, scale, axis, n, acc_both FROM accuracy", "--json")
        except threading.BrokenBarrierError:
            return
        except BaseException:
            rounds.stop()
            raise

    def study(number: int, host: Host, name: str, *words: object) -> None:
        out = ("--out", host.folder / f"report-{number}") if name == "merge" else ()
        process = host.run(name, *words, *out, VLMPROBE_SHARD_PAIRS="8", **settings)
        _, err = process.communicate(timeout=PATIENCE_S)
        many.commands[name] += 1
        if process.returncode != 0 or "Traceback" in err:
            many.failed.append(f"{host.name}: {name}: exit code {process.returncode}: {err[-400:]}")

    with ExitStack() as stack:
        stack.callback(mlflow.kill)
        mlflow.start()
        hosts = [stack.enter_context(Host(folder, f"n{number}")) for number in range(n_hosts)]
        rounds = Rounds(folder, processes, time.monotonic() + seconds)
        waiting = threading.Thread(target=_queue_up, args=(database, over, many))
        waiting.start()
        with ThreadPoolExecutor(processes) as threads:
            for done in [threads.submit(work, number) for number in range(processes)]:
                done.result()
        over.set()
        waiting.join()
        _count(server, database, many, rounds.begun * min(n_scales, len(DEMO_SCALES)))
        for host in hosts:
            process = host.run("verify", **settings)
            out, err = process.communicate(timeout=PATIENCE_S)
            if process.returncode != 0:
                many.failed.append(f"{host.name}: verify: {out[-800:]}{err[-400:]}")
        many.verified = not any(": verify: " in failed for failed in many.failed)
    return many


def _queue_up(database: str, over: threading.Event, many: Many) -> None:
    """Stand in the queue of writers again and again, as each transaction does, and note the longest wait."""
    import psycopg

    with psycopg.connect(database, autocommit=True) as session:
        while not over.wait(0.2):
            began = time.monotonic()
            with session.transaction():
                session.execute(_LOCK)
                many.longest_wait_s = max(many.longest_wait_s, time.monotonic() - began)


def _count(server: Server, database: str, many: Many, expected_runs: int) -> None:
    """Hold the rows against what was asked for: a run of each benchmark and scale, complete, each answer in it once."""
    name = database.rpartition("/")[2]
    runs: list[tuple[Any, ...]] = server.run(_RUNS, database=name)
    answers: list[tuple[Any, ...]] = server.run(_ANSWERS, database=name)
    many.runs = len(runs)
    per_run = 2 * 6 * PAIRS_PER_CATEGORY
    distinct = {(dataset, scale) for dataset, scale, *_ in runs}
    found = dict.fromkeys((run_id for _, _, run_id, *_ in runs), 0)
    for run_id, _, _, times in answers:
        found[run_id] = found.get(run_id, 0) + 1
        many.rows_doubled += times - 1
    many.rows_lost += (expected_runs - len(distinct)) * per_run
    many.rows_lost += sum(max(per_run - n, 0) for n in found.values())
    many.rows_doubled += (len(runs) - len(distinct)) * per_run
    many.rows_doubled += sum(max(n - per_run, 0) for n in found.values())
    many.failed += [
        f"run {run_id}: {status}, lease {lease}"
        for _, _, run_id, status, lease in runs
        if status != "complete" or lease is not None
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print what it came to; return the exit code."""
    parser = argparse.ArgumentParser(description="Processes on several hosts, one database.")
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=10)
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="vlmprobe-hosts-"))
    began = time.monotonic()
    with postgres_server() as server:
        many = run_many_hosts(folder, server, asked.hosts, asked.processes, asked.minutes * 60)
    minutes = (time.monotonic() - began) / 60
    return tell(many, f"{asked.processes} processes on {asked.hosts} hosts, {minutes:.1f} minutes", folder)


if __name__ == "__main__":
    sys.exit(main())
