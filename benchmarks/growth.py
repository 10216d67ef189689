"""Time and memory of commands on homes that have grown large.

    python benchmarks/growth.py [--predictions 1e6 1e7] [--runs 100] [--layers 94] [--analyze 20000x4096]
                                [--only merge] [--home DIR] [--database URL] [--limit 600]

Each size of ``--predictions`` is a home of that many answers, spread over ``--runs`` scales of ``--layers`` layers with
every metric, on which ``runs``, ``sql``, ``db check`` and ``merge`` run, each as a process of its own. ``--database``
is an address of Postgres whose role may create databases, but is no superuser, for whom ``sql`` runs nothing: each
size gets one there; memory of the server is not counted. ``--analyze`` makes a home with one run of as many pairs, one
layer with states of that width, and analyzes it. Memory is the largest sum over the processes of a command, and what
the interpreter with vlmprobe's imports takes is on a line of its own. With ``--home`` the filled homes are kept there,
and used again; databases of Postgres stay in any case.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filled_home import FAMILY, Filling, fill, keep, run_id, scale_of, sink_of
from studies import REPOSITORY, MadeUp, machine, make_home, store_states

from vlmprobe.settings import Settings
from vlmprobe.store.open import open_database

_EVERY_S = 0.05
_MIB = 2**20


@dataclass(frozen=True)
class Measured:
    """What a command took."""

    seconds: float
    cpu: float
    """Of the processors, which what else the machine does moves less."""
    peak: int
    """Bytes, of all its processes together; pages that they share count once."""
    outcome: str


def measure(arguments: list[str], limit_s: float, database: str | None = None) -> Measured:
    """Run Python with these arguments, in a process group of its own; it is stopped at the limit.

    Args:
        arguments: those of Python.
        limit_s: seconds.
        database: the address of a database that is not in the home.
    """
    environ = {
        name: text for name, text in os.environ.items() if not name.startswith(("VLMPROBE_", "MLFLOW_"))
    }
    environ["PYTHONPATH"] = str(REPOSITORY)
    if database is not None:
        environ["VLMPROBE_DATABASE_URL"] = database
    started, cpu, peak = time.perf_counter(), _cpu_of_children(), 0
    with tempfile.TemporaryFile() as errors:
        command = subprocess.Popen(
            [sys.executable, *arguments],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        outcome = ""
        while command.poll() is None:
            peak = max(peak, _memory(command.pid))
            if time.perf_counter() - started > limit_s:
                os.killpg(command.pid, signal.SIGKILL)
                command.wait()
                outcome = f"stopped after {limit_s:g} s"
            time.sleep(_EVERY_S)
        seconds = time.perf_counter() - started
        if command.returncode and not outcome:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").splitlines() or [f"exit code {command.returncode}"]
            outcome = lines[-1][:100]
    return Measured(seconds, _cpu_of_children() - cpu, peak, outcome or "ok")


def _cpu_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _memory(group: int) -> int:
    """Return the bytes that the processes of a group hold (Linux)."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may end at any time.
        with suppress(OSError, ProcessLookupError, ValueError):
            if os.getpgid(int(folder.name)) == group:
                for line in (folder / "smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += 1024 * int(line.split()[1])
    return total


def report(name: str, found: Measured) -> None:
    """Print a row."""
    print(
        f"{name:44}{found.seconds:9.1f}{found.cpu:9.1f}{found.peak / _MIB:10.0f}  {found.outcome}", flush=True
    )


def home_of(folder: Path, size: Filling, server: str | None) -> tuple[Path, str | None]:
    """Return a filled home, and the address of its database if that is on a server; print how long it took to fill."""
    name = f"{size.predictions}_{size.runs}x{size.layers}"
    home, url = folder / f"{name}{'' if server is None else '_postgres'}", None
    environ = {}
    if server is not None:
        url = f"{server.rpartition('/')[0]}/growth_{name}"
        environ["VLMPROBE_DATABASE_URL"] = url
    settings = Settings.load(home, environ=environ, folder=folder)
    done = home / "filled"
    if not done.exists():
        home.mkdir(parents=True)
        if server is not None:
            _asked(server, f"CREATE DATABASE growth_{name}")
        started = time.perf_counter()
        sink = sink_of(settings)
        counts = fill(sink, size)
        sink.close()
        rows = ", ".join(f"{n} {table}" for table, n in counts.items())
        print(f"filled in {time.perf_counter() - started:.0f} s: {rows}")
        started = time.perf_counter()
        keep(open_database(settings), size)
        seconds = time.perf_counter() - started
        print(f"rows of complete runs kept in {seconds:.0f} s, {seconds / size.runs:.2f} s a run")
        if url is not None:
            _asked(url, "VACUUM ANALYZE")
        done.touch()
    n_bytes = (
        sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
        if url is None
        else _asked(url, "SELECT pg_database_size(current_database())")
    )
    kind = "DuckDB" if url is None else "Postgres"
    print(
        f"{size.predictions} predictions of {size.runs} runs, {size.layers} layers, {kind}: {n_bytes / _MIB:.0f} MiB"
    )
    return home, url


def _asked(url: str, sql: str) -> int:
    """Run one statement outside of a transaction; return the number that it gives, if it gives one."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as session:
        cursor = session.execute(sql.encode())
        found = cursor.fetchone() if cursor.description else None
    return int(found[0]) if found else 0


def commands(size: Filling, report_folder: Path) -> dict[str, list[str]]:
    """Return the arguments of each command, by its name in the table."""
    query, middle = "select family, scale, axis, acc_both from accuracy", size.runs // 2
    of_scale = f"where scale = '{scale_of(middle)}'"
    answers = f"select count(*) as n, sum(orig_margin) as m from pair_answers {of_scale}"  # noqa: S608 - our own names
    return {
        "runs": ["runs"],
        "sql: select 1": ["sql", "select 1"],
        "sql: accuracy of one scale": ["sql", f"{query} {of_scale}", "--timeout", "3600"],
        "sql: accuracy of all": ["sql", query, "--timeout", "3600"],
        "sql: pair answers of one scale": ["sql", answers, "--timeout", "3600"],
        "db check of one run": ["db", "check", "--run", run_id(middle)],
        "db check": ["db", "check"],
        f"merge of {size.runs} x {size.layers}": ["merge", FAMILY, "--out", str(report_folder)],
    }


def analyze_home(folder: Path, pairs: int, dim: int) -> Path:
    """Return a home with one run of one layer."""
    home = folder / f"analyze-{pairs}x{dim}"
    if not home.exists():
        study = MadeUp(pairs, dim)
        settings = make_home(home, study, 1)
        store_states(settings, study, {0: study.layer(0)})
    return home


def main() -> None:
    """Fill, run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--predictions", type=float, nargs="*", default=[1e6])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--layers", type=int, default=94)
    parser.add_argument("--analyze", nargs="*", default=["20000x4096"], metavar="PAIRSxDIM")
    parser.add_argument("--memory", default=None, help="passed to analyze")
    parser.add_argument("--only", nargs="*", default=[], help="only commands whose name begins so")
    parser.add_argument(
        "--database", default=None, help="postgresql://...; DuckDB files in the homes without it"
    )
    parser.add_argument("--home", type=Path, default=None, help="keep the homes in this folder")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds after which a command is stopped")
    asked = parser.parse_args()

    def wanted(name: str) -> bool:
        return not asked.only or any(name.startswith(one) for one in asked.only)

    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.home or Path(temporary)).resolve()
        print(f"{'':44}{'seconds':>9}{'CPU':>9}{'peak MiB':>10}")
        report("the interpreter, started", measure(["-m", "vlmprobe", "--version"], asked.limit))
        for predictions in asked.predictions:
            size = Filling(asked.runs, round(predictions / 2 / asked.runs), asked.layers)
            home, database = home_of(folder, size, asked.database)
            for name, arguments in commands(size, home / "report").items():
                if wanted(name):
                    report(
                        name,
                        measure(["-m", "vlmprobe", *arguments, "--home", str(home)], asked.limit, database),
                    )
        for shape in asked.analyze if wanted("analyze") else []:
            pairs, dim = map(int, shape.split("x"))
            home = analyze_home(folder, pairs, dim)
            how = ["--memory", asked.memory] if asked.memory else []
            name = f"analyze of {pairs} pairs x {dim}, one layer"
            report(
                name,
                measure(["-m", "vlmprobe", "analyze", "--force", *how, "--home", str(home)], asked.limit),
            )
    print(machine("duckdb", "matplotlib"))


if __name__ == "__main__":
    main()
