"""Makes the tables and figures of "What the demo shows" from the committed results of its trainings.

``python docs/demo_page.py`` reads ``docs/results/demo/seed-*.csv`` (each the ``results.csv`` of one `vlmprobe demo
train`), ``shipped.csv`` (see ``docs/demo_shipped.py``) and ``axes.csv`` (see ``docs/demo_axes.py``), draws
``docs/images/demo_*.png`` and fills the marked places of ``docs/demo.md``. With ``--home HOME`` it first writes
``axes.csv`` from a finished demo. A test holds the page against the results.
"""

from __future__ import annotations

import argparse
import csv
from math import isnan, nan
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, NamedTuple

from demo_axes import axes_tables, read_axes, write_axes
from page_tables import fill_marked, markdown
from scipy.stats import ttest_1samp

from vlmprobe.analysis.inference import holm
from vlmprobe.demo import TAUGHT
from vlmprobe.figures import frame, theme, to_png
from vlmprobe.pairs.axes import SPACE
from vlmprobe.reports.numbers import measured, p_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS / "results" / "demo"
PAGE = DOCS / "demo.md"
SCALES = ("vanilla", "80k", "400k", "800k", "2m")
PERSPECTIVES = ("consistent", "counter")
#: VD-EI and its two controls, as `results.csv` names them.
AXIS_PAIRS = ("vertical-distance", "horizontal-vertical", "horizontal-distance")
PAIR_COLORS = {
    "vertical-distance": "#6A51A3",
    "horizontal-vertical": "#8C6D00",
    "horizontal-distance": "#5F6B6D",
}
PAIR_MARKERS = {"vertical-distance": "o", "horizontal-vertical": "D", "horizontal-distance": "v"}
#: The layer of the figures and tables that have one: the last, from which the answer is read.
LAST_LAYER = 5
#: Trainings have no test of an axis in their results. Below this coherence, of 1,200 pairs, an axis counts as absent.
#: Under the published template each is either at most .009 or at least .048.
NO_AXIS = 0.02
#: Scales whose sizes of VD-EI are compared over trainings.
STEPS = (("400k", "2m"), ("400k", "800k"), ("800k", "2m"))


class Key(NamedTuple):
    """What a number is about."""

    scale: str
    template: str
    perspective: str
    metric: str
    target: str
    layer: int


#: Training (its seed, ``2 again`` for a second one from seed 2) -> its numbers.
Results = dict[str, dict[Key, float]]


def read_results(folder: Path = RESULTS) -> Results:
    """Read every training's numbers."""
    results: Results = {}
    for path in sorted(folder.glob("seed-*.csv"), key=lambda path: path.stem):
        training = path.stem.removeprefix("seed-").replace("-", " ")
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                key = Key(
                    row["scale"],
                    row["template"],
                    row["perspective"],
                    row["metric"],
                    row["target"],
                    int(row["layer"]),
                )
                results.setdefault(training, {})[key] = float(row["value"])
    return results


def accuracy_table(results: Results, template: str) -> str:
    """One row per scale and training: how often a question and its swapped form were both answered right."""
    head = [
        "scale",
        "training",
        *(f"{axis}, {perspective}" for axis in SPACE.axes for perspective in PERSPECTIVES),
    ]
    rows = [
        [
            scale,
            training,
            *(
                f"{values[Key(scale, template, perspective, 'accuracy.both', axis, -1)]:.2f}"
                for axis in SPACE.axes
                for perspective in PERSPECTIVES
            ),
        ]
        for scale in SCALES
        for training, values in results.items()
    ]
    return markdown(head, rows)


def directions_table(results: Results, metric: str, targets: Iterable[str], perspective: str = "all") -> str:
    """One row per template and scale, mean over trainings and in brackets the smallest and largest; last layer."""
    targets = tuple(targets)
    rows = [
        [
            template,
            scale,
            *(
                _band(results, Key(scale, template, perspective, metric, target, LAST_LAYER))
                for target in targets
            ),
        ]
        for template in TAUGHT
        for scale in SCALES
    ]
    return markdown(["template", "scale", *targets], rows)


def _band(results: Results, key: Key) -> str:
    values = [value for training in results.values() if not isnan(value := _number(training, key))]
    if not values:
        return "no axis"
    if len(values) == 1:
        return f"{values[0]:.2f} (1 of {len(results)})"
    of_some = f"; {len(values)} of {len(results)}" if len(values) < len(results) else ""
    return f"{fmean(values):.2f} ({min(values):.2f} to {max(values):.2f}{of_some})"


def _number(training: dict[Key, float], key: Key) -> float:
    """Return a number of one training; NaN for the angle of axes of which one is absent."""
    if key.metric == "vd_ei.pooled":
        for axis in key.target.split("-"):
            if training[key._replace(metric="axis_coherence", target=axis)] < NO_AXIS:
                return nan
    return training[key]


def read_shipped(file: Path = RESULTS / "shipped.csv") -> dict[tuple[str, str, str], dict[str, str]]:
    """Read what the shipped checkpoints show: scale, metric and target -> row."""
    with file.open(encoding="utf-8", newline="") as stream:
        return {(row["scale"], row["metric"], row["target"]): row for row in csv.DictReader(stream)}


def shipped_accuracy_table(shipped: dict[tuple[str, str, str], dict[str, str]]) -> str:
    """One row per scale: distance accuracy by perspective, and the gap."""
    parts = (*PERSPECTIVES, "gap")
    rows = [
        [scale, *(_shown(shipped.get((scale, "accuracy.perspective", f"distance/{part}"))) for part in parts)]
        for scale in SCALES
    ]
    return markdown(["scale", *parts], rows)


def shipped_angles_table(shipped: dict[tuple[str, str, str], dict[str, str]]) -> str:
    """One row per scale: the p-value of each axis, the corrected angles, and VD-EI's size less its control's."""
    pairs = ("vertical/distance", "horizontal/vertical", "horizontal/distance")
    rows = []
    for scale in SCALES:
        tests = [shipped[scale, "axis_coherence.balanced", str(axis)]["p"] for axis in SPACE.axes]
        rows.append(
            [
                scale,
                ", ".join(p_value(float(p)) for p in tests),
                *(_shown(shipped.get((scale, "vd_ei.corrected", pair))) for pair in pairs),
                _shown(shipped.get((scale, "size less that of its control", pairs[0]))),
            ]
        )
    head = [
        "scale",
        "p of horizontal, vertical, distance",
        "VD-EI",
        "HV",
        "HD",
        "size of VD-EI less that of HV",
    ]
    return markdown(head, rows)


def _shown(row: dict[str, str] | None) -> str:
    if row is None or not row["value"]:
        return "not resolved"
    return measured(float(row["value"]), float(row["low"]), float(row["high"]))


def trainings_table(results: Results) -> str:
    """Test the size of VD-EI over trainings: three steps between scales, three excesses over the control HV."""

    def sizes(scale: str, pair: str) -> list[float]:
        return [abs(_number(training, _cosine_of(pair)(scale))) for training in results.values()]

    entangled, control = AXIS_PAIRS[:2]
    families = [
        {
            f"size, {first} to {later}": _differences(sizes(later, entangled), sizes(first, entangled))
            for first, later in STEPS
        },
        {
            f"size less that of HV, {scale}": _differences(sizes(scale, entangled), sizes(scale, control))
            for scale in SCALES[2:]
        },
    ]
    rows = []
    for family in families:
        tests = {name: ttest_1samp(values, 0.0) for name, values in family.items()}
        adjusted = holm([float(test.pvalue) for test in tests.values()])
        for (name, test), p in zip(tests.items(), adjusted, strict=True):
            values = family[name]
            rows.append(
                [
                    name,
                    f"{fmean(values):.2f}",
                    f"{stdev(values):.2f}",
                    f"{test.statistic:.1f}",
                    f"{test.pvalue:.3f}",
                    f"{p:.3f}",
                ]
            )
    return markdown(["what", "mean", "SD", f"t({len(results) - 1})", "p", "p, Holm over 3"], rows)


def _differences(later: list[float], first: list[float]) -> list[float]:
    return [a - b for a, b in zip(later, first, strict=True)]


def accuracy_figure(results: Results) -> Figure:
    """Accuracy over scales, a panel an axis: consistent scenes solid, counter ones dashed; bands over trainings."""
    figure = frame.blank(None, frame.FULL_WIDTH, 3.3)
    panels = figure.subplots(1, len(SPACE.axes), sharey=True)
    for axis, panel in zip(SPACE.axes, panels, strict=True):
        frame.dress(panel, str(axis))
        for perspective, line in zip(PERSPECTIVES, ("-", "--"), strict=True):
            _draw_band(
                panel,
                results,
                lambda scale, axis=axis, perspective=perspective: Key(
                    scale, "published", perspective, "accuracy.both", axis, -1
                ),
                axis.color,
                axis.marker if perspective == "consistent" else "",
                line,
                f"{perspective}: farther is {'higher' if perspective == 'consistent' else 'lower'}",
            )
        _scales_across(panel)
        panel.set_ylim(-0.03, 1.03)
        panel.legend(frameon=False, fontsize=theme.SMALL_SIZE, loc="lower right")
    frame.label_y(panels[0], "both answers right\n(share of held-out scenes)")
    frame.head(figure, f"Accuracy over fine-tuning scales; bands over {len(results)} trainings")
    return figure


def directions_figure(results: Results) -> Figure:
    """Coherence of each axis, and VD-EI beside its controls, over scales; bands over trainings."""
    figure = frame.blank(None, frame.FULL_WIDTH, 3.3)
    left, right = figure.subplots(1, 2)
    frame.dress(left, "axis coherence", "last layer")
    for axis in SPACE.axes:
        _draw_band(
            left,
            results,
            lambda scale, axis=axis: Key(scale, "published", "all", "axis_coherence", axis, LAST_LAYER),
            axis.color,
            axis.marker,
            "-",
            str(axis),
        )
    frame.dress(right, "cosine of two axes' mean deltas", "last layer")
    vertical_distance, *controls = AXIS_PAIRS
    for pair in controls:
        _draw_band(
            right, results, _cosine_of(pair), PAIR_COLORS[pair], PAIR_MARKERS[pair], "--", f"control: {pair}"
        )
    # Trainings differ in its sign: a mean over them would hide how large it is in each.
    for number, training in enumerate(results.values()):
        right.plot(
            range(len(SCALES)),
            [_number(training, _cosine_of(vertical_distance)(scale)) for scale in SCALES],
            color=PAIR_COLORS[vertical_distance],
            marker=PAIR_MARKERS[vertical_distance],
            markersize=3.5,
            linewidth=1.2,
            label="_" if number else "VD-EI (vertical-distance), each training",
        )
    left.set_ylim(-0.05, 1.03)
    right.set_ylim(-1.05, 1.65)
    right.set_yticks([-1, -0.5, 0, 0.5, 1])
    for panel in (left, right):
        panel.axhline(0, color=theme.FAINT, linewidth=0.8)
        _scales_across(panel)
        panel.legend(frameon=False, fontsize=theme.SMALL_SIZE, loc="upper left")
    frame.head(figure, f"Directions over fine-tuning scales; bands over {len(results)} trainings")
    return figure


def _cosine_of(pair: str) -> Callable[[str], Key]:
    return lambda scale: Key(scale, "published", "all", "vd_ei.pooled", pair, LAST_LAYER)


def _draw_band(
    panel: Axes,
    results: Results,
    key: Callable[[str], Key],
    color: str,
    marker: str,
    line: str,
    label: str,
) -> None:
    found = [[_number(training, key(scale)) for training in results.values()] for scale in SCALES]
    values = [[value for value in each if not isnan(value)] or [nan] for each in found]
    places = range(len(SCALES))
    panel.fill_between(
        places,
        [min(each) for each in values],
        [max(each) for each in values],
        color=color,
        alpha=0.18,
        linewidth=0,
    )
    panel.plot(
        places,
        [fmean(each) for each in values],
        color=color,
        linestyle=line,
        marker=marker,
        markersize=4.5,
        label=label,
    )


def _scales_across(panel: Axes) -> None:
    panel.set_xticks(range(len(SCALES)), SCALES)
    frame.label_x(panel, "relation questions seen in fine-tuning")


def fill(page: str, results: Results) -> str:
    """Return the page with each marked place filled anew."""
    shipped = read_shipped()
    blocks = {f"accuracy {template}": accuracy_table(results, template) for template in TAUGHT}
    blocks["coherence"] = directions_table(results, "axis_coherence", SPACE.axes)
    for perspective in ("all", *PERSPECTIVES):
        blocks[f"entanglement {perspective}"] = directions_table(
            results, "vd_ei.pooled", AXIS_PAIRS, perspective
        )
    blocks["shipped accuracy"] = shipped_accuracy_table(shipped)
    blocks["shipped angles"] = shipped_angles_table(shipped)
    blocks["trainings"] = trainings_table(results)
    blocks |= {name: markdown(*table) for name, table in axes_tables(read_axes()).items()}
    return fill_marked(page, blocks, PAGE.name)


def main() -> None:
    """Draw the figures and fill the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--home", type=Path, help="a finished demo, whose axes are written first")
    if home := parser.parse_args().home:
        write_axes(home)
    results = read_results()
    for name, figure in (("accuracy", accuracy_figure(results)), ("directions", directions_figure(results))):
        (DOCS / "images" / f"demo_{name}.png").write_bytes(to_png(figure))
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main()
