"""How long a report takes after the last scale: ``vlmprobe merge`` on a made-up home of several analyzed scales.

    python benchmarks/report.py [--scales 2] [--pairs 1200] [--layers 36] [--dim 2048] [--home DIR] [--profile]

Three reports of the same runs. *Nothing kept*: every table is computed. *One to compute*: as at the end of ``vlmprobe
run``, which has computed the others while it asked. *All kept*: the same report once more. Each is a process of its
own, imports included. ``--home`` keeps the home, and goes on with one that is there; ``--profile`` shows where the time
of the main thread goes in the first of them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import studies
from studies import MadeUp, machine, make_home, run_vlmprobe, store_states

from vlmprobe.analysis.controls import OutputLayer
from vlmprobe.pairs.axes import SPACE
from vlmprobe.settings import Settings
from vlmprobe.store.engine import Database
from vlmprobe.store.listed_runs import list_runs
from vlmprobe.store.output_layers import output_layer_path, write_output_layer
from vlmprobe.store.rows import insert_rows
from vlmprobe.store.schema import RunRow

_WORDS, _VOCABULARY = 2_000, 8_192
_PROFILED = (
    "import cProfile, sys; from vlmprobe.cli.main import main; cProfile.run('main()', sort='cumulative')"
)


def make(home: Path, args: argparse.Namespace) -> Settings:
    """Make runs of several scales with states and an output layer each, and analyze them."""
    first = MadeUp(args.pairs, args.dim)
    settings = make_home(home, first, args.layers)
    database = Database(settings.database_path)
    with database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM runs")
    for scale in range(args.scales):
        study = MadeUp(args.pairs, args.dim, seed=scale)
        identity = {"fingerprint": f"weights {scale}", "dtype": "bfloat16"}
        studies.RUN = f"run-{scale}"
        row = studies.run_row(study, args.layers) | {
            "run_id": studies.RUN,
            "run_key": studies.RUN,
            "scale": f"{scale + 1}m",
            "fingerprint": identity["fingerprint"],
            "samples_seen": (scale + 1) * 1_000_000,
            "config": {"identity": identity},
        }
        with database.transaction() as connection:
            insert_rows(connection, RunRow, [row])
        store_states(settings, study, {layer: study.layer(layer) for layer in range(args.layers)})
        write_output_layer(output_layer_path(home, identity), _output_layer(args.dim, scale))
    run_vlmprobe("analyze", "--home", home)
    return settings


def _output_layer(dim: int, seed: int) -> OutputLayer:
    """Make one of a vocabulary of its own; four spellings of each label word, and words for the control."""
    rng = np.random.default_rng(seed)
    labels = list(map(str, SPACE.categories))
    n = 4 * len(labels) + _WORDS
    vocabulary = rng.normal(size=(_VOCABULARY, dim)).astype(np.float32)
    return OutputLayer(
        spellings={word: tuple(range(4 * place, 4 * place + 4)) for place, word in enumerate(labels)},
        tokens=tuple(range(n)),
        controls=tuple(range(4 * len(labels), n)),
        rows=vocabulary[:n],
        gain=rng.uniform(0.5, 2.0, dim),
        covariance=np.cov(vocabulary, rowvar=False),
        n_tokens=_VOCABULARY,
        tied=False,
        seed=seed,
    )


def report(home: Path, *, profile: bool = False) -> float:
    """Make a report; return its seconds."""
    started = time.perf_counter()
    if profile:
        command = [sys.executable, "-c", _PROFILED, "merge", "qwen25", "--home", str(home)]
        done = subprocess.run(command, cwd=studies.REPOSITORY, capture_output=True, text=True, check=True)
        print("\n".join(line for line in done.stdout.splitlines() if "vlmprobe" in line)[:6000])
    else:
        run_vlmprobe("merge", "qwen25", "--home", home)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, usual in (("scales", 2), ("pairs", 1200), ("layers", 36), ("dim", 2048)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--home", type=Path, help="default: a temporary folder")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = (args.home or Path(temporary) / "home").resolve()
        if not home.exists():
            make(home, args)
        settings = Settings.load(home, environ={}, folder=home.parent)
        with Database(settings.database_path).transaction() as connection:
            kept = [home / "cache" / run.run_id / "robustness.json" for run in list_runs(connection)]
        print(
            f"{args.scales} scales x {args.pairs} pairs x {args.layers} layers x {args.dim}, seconds of a report:"
        )
        for name, gone in (("nothing kept", kept), ("one to compute", kept[-1:]), ("all kept", [])):
            for path in gone:
                path.unlink(missing_ok=True)
            print(f"{name:16}{report(home, profile=args.profile and gone == kept):7.1f}", flush=True)
        print(machine())


if __name__ == "__main__":
    main()
