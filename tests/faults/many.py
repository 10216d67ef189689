"""Many processes on one database for minutes: ``make faults`` ends with it.

    python -m tests.faults.many --processes 12 --minutes 10

Each process extracts, analyzes, merges and asks by SQL, over and over. Prints what was lost and doubled, and the
longest time that anyone stood in the database's queue; exit code 1 if anything was lost or a command failed.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.demo import DEMO_SCALES, build_benchmark
from vlmprobe.store.engine import file_lock

from ..command_line import Shell
from ..left_behind import read_rows
from ..postgres_server import add_database_option, home_url, on_database, postgres_lock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

PAIRS_PER_CATEGORY = 4
#: Everyone waits for two cores here: a command may take long without anything being wrong.
PATIENCE_S = 900.0


@dataclass
class Many:
    """What some minutes of many processes came to."""

    commands: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    runs: int = 0
    rows_lost: int = 0
    rows_doubled: int = 0
    longest_wait_s: float = 0.0
    verified: bool = False

    @property
    def is_well(self) -> bool:
        return self.verified and not (self.failed or self.rows_lost or self.rows_doubled)


def run_many(folder: Path, processes: int, seconds: float) -> Many:
    """Let so many processes work on one home until the time is up, each to the end of its round; look at the rows."""
    data = build_benchmark(folder / "benchmark", pairs_per_category=PAIRS_PER_CATEGORY, seed=3).tsv
    home, many, over = folder / "home", Many(), threading.Event()
    shell = Shell(folder, VLMPROBE_SHARD_PAIRS="8")
    until = time.monotonic() + seconds

    def work(number: int) -> None:
        scale = tuple(DEMO_SCALES)[number % len(DEMO_SCALES)]
        extract = ("extract", "tiny", "--scale", scale, "--data", data, "--batch-size", 8, "--new")
        merge = ("merge", "tiny", "--scale", scale, "--out", folder / f"report-{number}")
        sql = ("sql", "SELECT family, scale, axis, n, acc_both FROM accuracy", "--json")
        for command in itertools.cycle((extract, ("analyze", "tiny", "--scale", scale), merge, sql)):
            if time.monotonic() >= until and command is extract:
                return
            process = shell.start(*command, "--home", home)
            _, err = process.communicate(timeout=PATIENCE_S)
            many.commands[command[0]] += 1
            if process.returncode != 0 or "Traceback" in err:
                many.failed.append(
                    f"{' '.join(map(str, command))}: exit code {process.returncode}: {err[-400:]}"
                )

    waiting = threading.Thread(target=_queue_up, args=(home, over, many))
    waiting.start()
    with ThreadPoolExecutor(processes) as threads:
        for done in [threads.submit(work, number) for number in range(processes)]:
            done.result()
    over.set()
    waiting.join()
    _count(home, many)
    verified = shell("verify", "--home", home)
    many.verified = verified.code == 0
    if not many.verified:
        many.failed.append(f"verify: {verified.out[-800:]}{verified.err[-400:]}")
    return many


def _queue_up(home: Path, over: threading.Event, many: Many) -> None:
    """Stand in the database's queue again and again, as each transaction does, and note the longest wait."""
    while not over.wait(0.2):
        began = time.monotonic()
        with _queued(home):
            many.longest_wait_s = max(many.longest_wait_s, time.monotonic() - began)


def _queued(home: Path) -> AbstractContextManager[Any]:
    """Wait for the other writers of a home's database, as each transaction that writes does."""
    url = home_url(home)
    return file_lock(home / "vlmprobe.duckdb.lock") if url is None else postgres_lock(url)


def _count(home: Path, many: Many) -> None:
    """Hold the runs of each scale against each other: every one has every answer, once, and the same."""
    rows = read_rows(
        home,
        """
        SELECT runs.scale, runs.run_id, pair_id, side, text, margin
        FROM runs LEFT JOIN predictions USING (run_id)
        """,
    )
    runs = {(scale, run_id) for scale, run_id, *_ in rows}
    many.runs = len(runs)
    expected = 2 * 6 * PAIRS_PER_CATEGORY
    for scale in sorted({scale for scale, _ in runs}):
        n_runs = sum(of == scale for of, _ in runs)
        answers = Counter(repr(row[2:]) for row in rows if row[0] == scale and row[2] is not None)
        usual = [answer for answer, n in answers.most_common(expected)]
        many.rows_lost += sum(max(n_runs - answers[answer], 0) for answer in usual)
        many.rows_lost += n_runs * max(expected - len(usual), 0)
        many.rows_doubled += sum(max(n - n_runs, 0) for n in answers.values())
        many.rows_doubled += sum(n for answer, n in answers.items() if answer not in usual)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print what it came to; return the exit code."""
    parser = argparse.ArgumentParser(description="Many processes on one database.")
    parser.add_argument("--processes", type=int, default=12)
    parser.add_argument("--minutes", type=float, default=10)
    add_database_option(parser)
    asked = parser.parse_args(arguments)
    # A shell that starts us in the background lets us ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="vlmprobe-many-"))
    began = time.monotonic()
    with on_database(asked.database):
        many = run_many(folder, asked.processes, asked.minutes * 60)
    minutes = (time.monotonic() - began) / 60
    return tell(many, f"{asked.processes} processes, {minutes:.1f} minutes on one database", folder)


def tell(many: Many, who: str, folder: Path) -> int:
    """Print what it came to, and remove the folder unless something went wrong; return the exit code."""
    commands = ", ".join(f"{n} {name}" for name, n in many.commands.items())
    print(f"{who}: {commands}")
    print(
        f"{many.runs} runs: {many.rows_lost} rows lost, {many.rows_doubled} doubled; "
        f"longest wait for the database {many.longest_wait_s:.2f} s; {len(many.failed)} commands failed"
    )
    for failed in many.failed:
        print(failed)
    if many.is_well:
        shutil.rmtree(folder)
        return 0
    print(f"what went wrong is in {folder}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
