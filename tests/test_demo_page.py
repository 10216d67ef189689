"""docs/demo.md: its tables are those of the committed results, and the shipped checkpoints are one of the trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vlmprobe.demo import DEMO_SCALES
from vlmprobe.resources import checkpoints_folder

from .docs_script import docs_script

ROOT = Path(__file__).resolve().parents[1]
PAGE: Any = docs_script("demo_page")
RESULTS = PAGE["read_results"]()
Key = PAGE["Key"]
AXES = PAGE["read_axes"]()


def test_the_tables_are_made_from_the_results() -> None:
    """Running docs/demo_page.py changes nothing."""
    page = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    assert PAGE["fill"](page, RESULTS) == page


def test_there_are_several_trainings_of_every_scale() -> None:
    """Bands are over three at least, and no number is missing."""
    assert len(RESULTS) >= 3
    keys = {frozenset(values) for values in RESULTS.values()}
    assert len(keys) == 1
    assert {key.scale for key in next(iter(keys))} == set(DEMO_SCALES)


@pytest.mark.parametrize("training", RESULTS)
def test_every_training_tells_the_story(training: str) -> None:
    """Horizontal is learnt first; distance where perspective agrees, then where it lies; nothing before fine-tuning."""

    def both(scale: str, axis: str, perspective: str) -> float:
        value: float = RESULTS[training][Key(scale, "published", perspective, "accuracy.both", axis, -1)]
        return value

    for axis in ("horizontal", "vertical", "distance"):
        for perspective in ("consistent", "counter"):
            assert both("vanilla", axis, perspective) < 0.2
    assert both("2m", "horizontal", "consistent") > 0.95
    assert both("2m", "horizontal", "counter") > 0.95
    assert both("2m", "distance", "consistent") > 0.95
    assert both("2m", "distance", "counter") > 0.8
    climb = [both(scale, "distance", "counter") for scale in ("80k", "400k", "800k", "2m")]
    assert climb == sorted(climb)
    assert climb[1] < both("400k", "horizontal", "counter")
    assert climb[1] < both("400k", "distance", "consistent")


def test_where_no_axis_is_resolved_no_angle_is_printed() -> None:
    """Refutes: a VD-EI of noise for vanilla or 80k of the shipped checkpoints, or for any training at vanilla."""
    shipped = PAGE["read_shipped"]()
    for line in PAGE["shipped_angles_table"](shipped).splitlines()[2:]:
        scale, _, *angles = [cell.strip() for cell in line.strip("|").split("|")]
        assert (set(angles) == {"not resolved"}) is (scale in {"vanilla", "80k"})
    table = PAGE["directions_table"](RESULTS, "vd_ei.pooled", PAGE["AXIS_PAIRS"])
    assert all(line.count("no axis") == 3 for line in table.splitlines() if "| vanilla |" in line)


def test_the_page_says_of_sizes_what_the_results_say() -> None:
    """At 2m no larger than the control; over trainings the fall from 400k survives, and no excess does."""
    excess = PAGE["read_shipped"]()["2m", "size less that of its control", "vertical/distance"]
    assert float(excess["low"]) < 0 < float(excess["high"])
    rows = [line.strip("|").split("|") for line in PAGE["trainings_table"](RESULTS).splitlines()[2:]]
    p_values = {what.strip(): float(p) for what, *_, p in rows}
    assert [what for what, p in p_values.items() if p <= 0.05] == ["size, 400k to 2m"]


def test_the_card_is_that_of_a_committed_training() -> None:
    """What ships with the checkpoints says the numbers of one of them."""
    card = (checkpoints_folder() / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in card.splitlines() if line.startswith("| 2m |")]
    shown = [cell.strip() for cell in line.split("|")[3:-1]]
    trainings = [
        [
            f"{values[Key('2m', 'published', perspective, 'accuracy.both', axis, -1)]:.2f}"
            for axis in ("horizontal", "vertical", "distance")
            for perspective in ("consistent", "counter")
        ]
        for values in RESULTS.values()
    ]
    assert shown in trainings


def test_the_page_says_of_verdicts_what_the_results_say() -> None:
    """No axis before 400k; distance at 400k is of the answer's words, horizontal at 2m open, the rest of the scene."""
    said = {(scale, axis): row.text for (scale, axis, what), row in AXES.items() if what == "verdict"}
    assert len(said) == 15
    assert {text for (scale, _), text in said.items() if scale in {"vanilla", "80k"}} == {"no axis"}
    later = {key: text for key, text in said.items() if key[0] not in {"vanilla", "80k"}}
    assert later.pop(("400k", "distance")) == "axis, of the answer's words"
    assert later.pop(("2m", "horizontal")) == "axis, origin open"
    assert set(later.values()) == {"axis of the scene"}
    assert AXES["400k", "distance", "|alpha|^2 of the space half"].holds == "no"


def test_no_verdict_is_one_by_chance() -> None:
    """Where deltas fill few dimensions two random directions are alike; each bound is above that, by .31 at least."""
    chance = {key[:2]: row.value for key, row in AXES.items() if key[2].startswith("cosine of two random")}
    bounds = {key[:2]: row.low for key, row in AXES.items() if key[2].startswith("cosine of space half")}
    assert len(bounds) == 8
    assert 0.31 < min(bounds[key] - chance[key] for key in bounds) < 0.32
    assert {row.text for key, row in AXES.items() if key[2] == "note of the verdict"} == {""}
    fill = [row.value for key, row in AXES.items() if key[2] == "participation ratio of the deltas"]
    assert (min(fill), max(fill)) == (pytest.approx(1.2, abs=0.05), pytest.approx(1.8, abs=0.05))


def test_the_page_says_of_words_and_controls_what_the_results_say() -> None:
    """Shares, blind coherences, and the one published direction that gets both yes/no wordings right."""

    def values(what: str) -> list[float]:
        return [row.value for key, row in AXES.items() if key[2] == what and row.value is not None]

    readout, space = values("readout_share"), values("answer_balanced.space_share")
    assert (min(readout), max(readout)) == (pytest.approx(0.88, abs=0.005), pytest.approx(0.94, abs=0.005))
    assert (min(space), max(space)) == (pytest.approx(0.002, abs=0.0005), pytest.approx(0.14, abs=0.005))
    for kind in ("grey", "other-image:0"):
        assert max(row.high for key, row in AXES.items() if key[2] == f"coherence of {kind}") < 0.07
        for key, row in AXES.items():
            if key[2] == f"|alpha(real - {kind})|^2":
                assert row.value > 0.85 * AXES[(*key[:2], "|alpha|^2")].value
    both = [f"direction of published on {template}" for template in ("yes-no", "yes-no-opposite")]
    carried = [
        key[:2]
        for key in AXES
        if key[2] == both[0] and min(AXES[(*key[:2], each)].low for each in both) > 0.5
    ]
    assert carried == [("800k", "distance")]


def test_every_axis_has_its_line() -> None:
    """All in the table of verdicts; those that are there in the others."""
    tables = PAGE["axes_tables"](AXES)
    assert [len(rows) for _, rows in tables.values()] == [15, 9, 9, 9, 18]
    for head, rows in tables.values():
        assert {len(row) for row in rows} == {len(head)}
