"""What an exchange of pictures does to random weights (Null 3): writes ``docs/results/controls/null-3.csv``.

``python docs/controls_null_3.py --homes DIR`` draws an honest benchmark and one whose names leak, runs the scale 2m and
``control`` on each in a home of its own below DIR, and writes what ``robustness`` says of exchanged pictures. What is
there is not run again. ``python docs/controls_page.py`` then fills ``docs/controls.md``.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING

from controls_plan import LIES, PAIRS_PER_CATEGORY
from page_tables import markdown

from vlmprobe import Workspace
from vlmprobe.analysis.catalog.robustness import NULL_3, SCENE_COHERENCE
from vlmprobe.demo import build_benchmark
from vlmprobe.reports.numbers import measured
from vlmprobe.settings import Settings
from vlmprobe.workflows.control import control
from vlmprobe.workflows.extract import ExtractOptions, ExtractRequest
from vlmprobe.workflows.robustness import robustness
from vlmprobe.workflows.scales import run_scales

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["LIES_OF_NULL_3", "null_3_table", "read_null_3"]

RESULTS = Path(__file__).resolve().parent / "results" / "controls"
LIES_OF_NULL_3 = ("none", "name-leak")
FAMILY, SCALE = "tiny", "2m"
COLUMNS = ("lie", "scale", "axis", "layer", "what", "value", "low", "high", "n", "note")
WHAT = {NULL_3.name: "random weights", SCENE_COHERENCE.name: SCALE}

Row = dict[str, str]


def study(lie: str, folder: Path) -> Iterator[Row]:
    """Draw a benchmark, extract what its scene needs, and yield what an exchange does to the scale and to no scale.

    Args:
        lie: what the benchmark lies about.
        folder: of the benchmark and the home.
    """
    files = build_benchmark(
        folder / "benchmark",
        pairs_per_category=PAIRS_PER_CATEGORY,
        seed=0,
        confounds=LIES[lie],
        image_swaps=True,
    )
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    workspace = Workspace(Settings.load(folder / "home", environ=store, folder=folder))
    options = ExtractOptions(files.tsv)
    run_scales(workspace, [ExtractRequest(FAMILY, SCALE, options)])
    control(workspace, FAMILY, options, scales=(SCALE,), image_swaps=files.swaps, without_axis=True)
    for row in robustness(workspace, FAMILY, files.tsv, scales=(SCALE,)):
        if row.metric in WHAT:
            found = row.estimate
            numbers = (found.value, found.ci_low, found.ci_high)
            cells = ["" if number is None else f"{number:.6g}" for number in numbers]
            head = (lie, SCALE, row.target, str(row.layer), WHAT[row.metric])
            yield dict(zip(COLUMNS, (*head, *cells, str(row.n), row.note or found.reason), strict=True))


def read_null_3(folder: Path = RESULTS) -> list[Row]:
    """Read the rows; none where nothing was run."""
    path = folder / "null-3.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def null_3_table(rows: Sequence[Row]) -> str:
    """Return a row for each benchmark and axis: what an exchange does to random weights, and at last to the scale."""
    head = [
        "lie",
        "axis",
        "`null_3.coherence`, last layer",
        "layers above 0",
        "lowest and highest over layers",
    ]
    head += [f"`axis_coherence.scene` of `{SCALE}`, last layer"]
    table = []
    for lie, axis in dict.fromkeys((row["lie"], row["axis"]) for row in rows):
        untrained, scale = (
            [row for row in rows if (row["lie"], row["axis"], row["what"]) == (lie, axis, what)]
            for what in WHAT.values()
        )
        above = sum(float(row["low"]) > 0 for row in untrained if row["low"])
        values = [float(row["value"]) for row in untrained if row["value"]]
        table.append(
            [
                lie,
                axis,
                _interval(untrained[-1]),
                f"{above} of {len(untrained)}",
                f"{min(values):.3f} to {max(values):.3f}",
                _interval(scale[-1]),
            ]
        )
    return markdown(head, table)


def _interval(row: Row) -> str:
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    return measured(value, low, high)


def main(homes: Path) -> None:
    """Run what is not there, and write all rows."""
    rows = [row for lie in LIES_OF_NULL_3 for row in study(lie, homes / lie)]
    with (RESULTS / "null-3.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--homes", type=Path, required=True, help="a folder for the benchmarks and homes")
    main(parser.parse_args().homes.resolve())
