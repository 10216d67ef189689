"""Time what a user waits for before anything happens: ``--help`` and ad-hoc SQL.

    python benchmarks/startup.py [--repeats 11] [--pairs 4800]

Each command is a process of its own; medians, in seconds on the clock and of the processor. Beside them, on the same
machine: an empty Python, one that imports what a command would load if nothing were put off, and DuckDB asked the
same question in a Python without vlmprobe.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from studies import REPOSITORY, Clock, MadeUp, machine, make_home, store_states

_QUESTION = "SELECT family, scale, axis, acc_both FROM accuracy ORDER BY 1, 2, 3"
#: What is to be reached, in seconds.
_LIMITS = {"vlmprobe --help": 0.3, "vlmprobe sql": 0.6}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--pairs", type=int, default=4800, help="in the database that is asked")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = MadeUp(args.pairs, 4)
        settings = make_home(Path(folder, "home"), study, 1)
        store_states(settings, study, {0: study.layer(0)})
        database = settings.database_path
        plain = f"import duckdb; print(duckdb.connect({str(database)!r}, read_only=True).sql({_QUESTION!r}))"
        everything = "import torch, transformers, mlflow, sqlalchemy, alembic, duckdb, matplotlib, numpy"
        commands = {
            "python -c pass": ["-c", "pass"],
            "python, every package imported": ["-c", everything],
            "python, duckdb alone": ["-c", plain],
            "vlmprobe --help": ["-m", "vlmprobe", "--help"],
            "vlmprobe sql": ["-m", "vlmprobe", "sql", _QUESTION, "--home", str(settings.home)],
        }
        # In turn, so that all see the same machine.
        clocks: dict[str, list[Clock]] = {name: [] for name in commands}
        for attempt in range(args.repeats + 1):
            for name, words in commands.items():
                if attempt > 2 and name == "python, every package imported":
                    continue
                clock = Clock()
                with clock.running():
                    subprocess.run(
                        [sys.executable, *words], check=True, stdout=subprocess.DEVNULL, cwd=REPOSITORY
                    )
                if attempt:  # the first reads the files
                    clocks[name].append(clock)
    print(f"{'':34}{'wall s':>8}{'CPU s':>8}{'limit':>8}")
    for name, runs in clocks.items():
        wall, cpu = (statistics.median(getattr(run, kind) for run in runs) for kind in ("wall", "cpu"))
        limit = f"{_LIMITS[name]:8.1f}" if name in _LIMITS else ""
        print(f"{name:34}{wall:8.2f}{cpu:8.2f}{limit}")
    print(machine("duckdb", "typer", "sqlalchemy"))


if __name__ == "__main__":
    main()
