"""What the axes of the shipped checkpoints are of: writes ``docs/results/demo/axes.csv`` from a home, makes its tables.

``vlmprobe demo --home HOME``, then ``python docs/demo_page.py --home HOME``. The rows are those that ``vlmprobe
verdict``, ``control`` and ``robustness`` print, at the layer of each verdict. Two more say how far chance alone would
go: the participation ratio of the deltas of rule 5, and the cosine of two random directions of them, 1 of 20.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import robustness as names
from vlmprobe.analysis.controls import WORD_LEFT, WORD_OUT, Origin, chance_cosine, participation_ratio
from vlmprobe.analysis.controls.deltas import asked, without_axis
from vlmprobe.pairs.axes import SPACE
from vlmprobe.reports.numbers import decimals_of, measured, p_value, rounded
from vlmprobe.settings import Settings
from vlmprobe.study.controls import beside_controls
from vlmprobe.study.evidence import evidence_of, find_sources
from vlmprobe.study.pictured import BoxSources
from vlmprobe.study.robust_runs import robust_runs, rows_of
from vlmprobe.study.scene_layers import scene_rows
from vlmprobe.study.selection import Selection
from vlmprobe.workflows.control import BLIND
from vlmprobe.workflows.verdict import verdict
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmprobe.analysis.controls import Evidence
    from vlmprobe.reports.verdicts import AxisVerdict

__all__ = ["AXES", "Axes", "Row", "axes_tables", "read_axes", "write_axes"]

AXES = Path(__file__).resolve().parent / "results" / "demo" / "axes.csv"
VERDICT, NOTE, P_AXIS = "verdict", "note of the verdict", "p of the axis over layers, after Holm"
#: The conditions of rules 2 to 6, as they are stored -> their heads in the table.
CONDITIONS = {
    **{f"|alpha(real - {kind})|^2": f"less `{kind}`" for kind in BLIND},
    "|alpha|^2 of the space half": "space half",
    "|alpha|^2 of the scene half": "scene half",
    "|alpha(scene half - Null 1)|^2": "scene half less Null 1",
    "cosine of space half and scene half - Null 1": "cosine",
    "<alpha, alpha of scene half - Null 1>": "along the run's own",
}
COSINE = list(CONDITIONS)[-2]
COHERENCE, CHANCE = "coherence", "cosine of two random directions, 1 of 20"
FILL = "participation ratio of the deltas", "of the space half", "of the scene half less Null 1"
SHARES = names.SPACE_SHARE.name, names.READOUT_SHARE.name
#: What ``robustness`` says of exchanged pictures; the first four say in their text whether the word's axis is out.
SCENE = tuple(
    entry.name
    for entry in (
        names.SCENE_WORD_COSINE,
        names.SCENE_COHERENCE,
        names.SCENE_LESS_NULL_1,
        names.SCENE_DISJOINT,
        names.DISJOINT_COSINE,
    )
)
TEMPLATES = ("published", "mention-swapped", "options-swapped", "yes-no", "yes-no-opposite")
#: The chance draws of the verdict.
_SEED = 0
SCALES = ("vanilla", "80k", "400k", "800k", "2m")


@dataclass(frozen=True)
class Row:
    """One number of one axis of a scale, as a row of the file."""

    scale: str
    axis: str
    layer: int
    what: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    holds: str = ""
    """Of a condition: whether it holds."""
    text: str = ""
    """A verdict, or why there is no value."""


#: Scale, axis and what -> row.
Axes = dict[tuple[str, str, str], Row]


def write_axes(home: Path, file: Path = AXES) -> None:
    """Read a finished demo; write its rows."""
    workspace = Workspace(Settings.load(home))
    data = home / "demo" / "benchmark.tsv"
    columns = list(Row.__dataclass_fields__)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        for row in _rows(workspace, data):
            cells = [getattr(row, column) for column in columns]
            writer.writerow([repr(cell) if isinstance(cell, float) else cell for cell in cells])


def read_axes(file: Path = AXES) -> Axes:
    """Read the rows."""
    found: Axes = {}
    with file.open(encoding="utf-8", newline="") as stream:
        for each in csv.DictReader(stream):
            numbers = [float(each[part]) if each[part] else None for part in ("value", "low", "high")]
            head = each["scale"], each["axis"], int(each["layer"]), each["what"]
            row = Row(*head, *numbers, each["holds"], each["text"])
            found[row.scale, row.axis, row.what] = row
    return found


def _rows(workspace: Workspace, data: Path) -> Iterator[Row]:
    judged = verdict(workspace, "tiny", data)
    for each in judged:
        yield from _of_verdict(each)
    there = [each for each in judged if each.verdict.origin is not Origin.NO_AXIS]
    scales = tuple(dict.fromkeys(each.scale for each in there))
    for runs in robust_runs(workspace, Selection(("tiny",), scales, data), "published"):
        run, layer = runs.read.run, runs.read.layer
        of_scale = [each for each in there if each.scale == run.scale]
        if {each.layer for each in of_scale} != {layer}:
            raise SystemExit(f"{run.name}: verdict and robustness are of different layers")
        for control in beside_controls(workspace, run, BLIND):
            found = control.geometry
            if found is None:
                continue
            for what, estimate in (
                (COHERENCE, found.coherence),
                (f"{COHERENCE} of {control.control}", found.of_control),
                (f"{COHERENCE} above {control.control}", found.difference),
            ):
                # The run's own coherence comes once.
                if what != COHERENCE or control.control == BLIND[0]:
                    numbers = estimate.value, estimate.ci_low, estimate.ci_high
                    yield Row(run.scale, control.axis, layer, what, *numbers, text=estimate.reason)
        for row in rows_of(runs):
            axis = row.target.partition("->")[0].rpartition(":")[2].partition("@")[0]
            is_share = row.metric in SHARES and row.target == axis
            is_fill = row.metric == names.PARTICIPATION_RATIO.name and axis in set(map(str, SPACE))
            what = row.metric if is_share else FILL[0]
            if row.table == "transfer":
                of, on = (part.partition(":") for part in (row.target.split("->") * 2)[:2])
                if of[2] != on[2]:
                    continue
                what = f"direction of {of[0]} on {on[0]}"
            elif not is_share and not is_fill:
                continue
            found = row.estimate
            yield Row(
                *(run.scale, axis, layer, what, found.value, found.ci_low, found.ci_high), text=found.reason
            )
        for row in scene_rows(workspace, runs.read, BoxSources(None, None)):
            if row.layer == layer and row.metric in SCENE:
                found = row.estimate
                numbers = found.value, found.ci_low, found.ci_high
                text = row.note if found.value is not None else found.reason
                yield Row(run.scale, row.target, layer, row.metric, *numbers, text=text)
        with workspace.database.transaction() as connection:
            sources = find_sources(connection, run)
        evidence = evidence_of(workspace, sources, layer, [each.axis for each in of_scale])
        for axis, of_axis in evidence.items():
            yield from _by_chance(run.scale, axis, layer, of_axis)


def _of_verdict(found: AxisVerdict) -> Iterator[Row]:
    head = found.scale, found.axis, found.layer
    yield Row(*head, VERDICT, text=str(found.verdict))
    yield Row(*head, NOTE, text=found.verdict.note)
    for row in found.verdict.rows:
        holds = {True: "yes", False: "no", None: ""}[row.holds]
        yield Row(*head, row.statistic, row.value, row.low, holds=holds, text=row.reason)


def _by_chance(scale: str, axis: str, layer: int, evidence: Evidence) -> Iterator[Row]:
    """Yield in how many dimensions the deltas of rule 5 lie, and how alike two of their directions are by chance."""
    if evidence.answers is None or evidence.scene is None or evidence.null_1 is None:
        return
    canonical = evidence.canonical
    space = without_axis(evidence.answers.space, evidence.answers.word, canonical)
    scene = without_axis(evidence.scene.space - evidence.null_1.space, evidence.scene.word, canonical)
    for what, vectors in zip(FILL[1:], (space, scene), strict=True):
        yield Row(scale, axis, layer, what, participation_ratio(vectors[asked(vectors)]))
    yield Row(scale, axis, layer, CHANCE, chance_cosine(space, scene, canonical, seed=_SEED))


def axes_tables(axes: Axes) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Return head and rows of each table by its name on the page."""
    every = [(scale, str(axis)) for scale in SCALES for axis in SPACE]
    there = [key for key in every if (*key, COHERENCE) in axes]
    return {
        "axes verdicts": (
            ["scale", "axis", "layer", "p", *CONDITIONS.values(), "verdict"],
            [
                [
                    *key,
                    str(axes[(*key, VERDICT)].layer),
                    p_value(axes[(*key, P_AXIS)].value),
                    *(_bounded(axes.get((*key, what))) for what in CONDITIONS),
                    axes[(*key, VERDICT)].text,
                ]
                for key in every
            ],
        ),
        "axes controls": (
            [
                *("scale", "axis", COHERENCE, *(f"of `{kind}`" for kind in BLIND)),
                *(f"above `{kind}`" for kind in BLIND),
            ],
            [
                [
                    *key,
                    *(
                        _measured(axes.get((*key, what)))
                        for what in (
                            COHERENCE,
                            *(f"{COHERENCE} of {kind}" for kind in BLIND),
                            *(f"{COHERENCE} above {kind}" for kind in BLIND),
                        )
                    ),
                ]
                for key in there
            ],
        ),
        "axes shares": (
            [
                *("scale", "axis", *(f"`{name}`" for name in SHARES), "deltas fill", "space half fills"),
                *("scene half fills", "cosine of rule 5", "by chance", "note"),
            ],
            [
                [
                    *key,
                    *(_measured(axes.get((*key, name))) for name in SHARES),
                    *(_short(axes.get((*key, what)), 1) for what in FILL),
                    _bounded(axes.get((*key, COSINE))),
                    _short(axes.get((*key, CHANCE)), 2),
                    axes[(*key, NOTE)].text or "none",
                ]
                for key in there
            ],
        ),
        "axes scene": (
            ["scale", "axis", *(f"`{name}`" for name in SCENE), "the word's axis"],
            [
                [
                    *key,
                    *(_measured(axes.get((*key, name))) for name in SCENE),
                    {WORD_OUT: "taken out", WORD_LEFT: "left in"}[axes[(*key, SCENE[1])].text],
                ]
                for key in there
            ],
        ),
        "axes transfer": (
            ["scale", "axis", "direction of", *(f"on `{name}`" for name in TEMPLATES)],
            [
                [*key, f"`{of}`", *cells]
                for key in there
                for of in ("published", "yes-no")
                for cells in [[_measured(axes.get((*key, f"direction of {of} on {on}"))) for on in TEMPLATES]]
            ],
        ),
    }


def _bounded(row: Row | None) -> str:
    """Print a condition: its value and lower bound, and whether it fails."""
    if row is None:
        return "-"
    if row.low is None or row.value is None:
        return "n/a"
    decimals = decimals_of(row.low, 2 * row.value - row.low)
    failed = ", fails" if row.holds == "no" else ""
    return f"{rounded(row.value, decimals)} (> {rounded(row.low, decimals)}{failed})"


def _measured(row: Row | None) -> str:
    if row is None:
        return "-"
    return "not resolved" if row.value is None else measured(row.value, row.low, row.high)


def _short(row: Row | None, decimals: int) -> str:
    return "-" if row is None or row.value is None else f"{row.value:.{decimals}f}"
