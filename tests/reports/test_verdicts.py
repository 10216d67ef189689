"""The table of verdicts: what decided, what is missing and how it is run, and numbers for machines."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from html import unescape

import pytest

from vlmprobe.analysis.controls import Beside, Origin, Row, Verdict
from vlmprobe.reports.findings import Family, Findings, ScaleFindings
from vlmprobe.reports.html import render_report
from vlmprobe.reports.verdicts import (
    BLIND,
    EXCHANGED,
    MOST_COHERENT,
    RECOMMENDED,
    AxisVerdict,
    commands,
    condition_rows,
    shown_verdicts,
    verdicts_in_full,
)

#: A scale of which nothing but its layers is known.
SCALE = partial(ScaleFindings, "tiny", "2m", None, None, None, None, None, 5, (), (), (), ())
P = Row(1, "p of the axis over layers, after Holm", 0.0123, None, 0.05, holds=True)
SIZE = Row(1, "|alpha|^2", 12.5, 11.0, 0.0, holds=True, n_images=80)
IN_GREY = Row(2, "|alpha(real - grey)|^2", 0.31, -0.2, 0.0, holds=False, n_images=80)


@pytest.fixture
def judged() -> AxisVerdict:
    """Return an axis that grey pictures have as well."""
    return AxisVerdict(
        "tiny",
        "2m",
        "published",
        "run-2m",
        "vertical",
        5,
        RECOMMENDED,
        0.0123,
        6,
        Verdict(Origin.CONTROLS, (P, SIZE, IN_GREY), ("grey",)),
        (Beside("scene_word.cosine", None, 80, "an axis is not resolved", "the word's axis is taken out"),),
        {"real": "run-2m", "grey": "c1"},
    )


def without(judged: AxisVerdict, origin: Origin, lacks: str, **words: str) -> AxisVerdict:
    """Return a verdict that stops at a run that is not there."""
    return replace(
        judged, verdict=Verdict(origin, (P, SIZE), **words), lacks=lacks, command="vlmprobe control tiny"
    )


def test_the_condition_that_failed_decides_with_its_numbers(judged):
    """Of several, the first; where all hold, the last; a p-value is at most its limit."""
    (shown,) = shown_verdicts([judged])
    assert shown == {
        "scale": "2m",
        "axis": "vertical",
        "layer": "5",
        "verdict": "axis, but also in the controls (grey)",
        "decided_by": "rule 2: |alpha(real - grey)|^2 0.31, lower bound -0.20 not above 0",
    }
    after = replace(IN_GREY, statistic="|alpha(real - other-image:0)|^2", holds=True)
    found = replace(judged, verdict=Verdict(Origin.CONTROLS, (P, SIZE, IN_GREY, after), ("grey",)))
    assert "real - grey" in found.decided_by
    no_axis = replace(judged, verdict=Verdict(Origin.NO_AXIS, (replace(P, value=0.2, holds=False),)))
    assert no_axis.decided_by == "rule 1: p of the axis over layers, after Holm is 0.20 > 0.05"
    scene = replace(judged, verdict=Verdict(Origin.SCENE, (P, replace(SIZE, rule=5))))
    assert scene.decided_by == "rule 5: |alpha|^2 12.5, lower bound 11.0 above 0"


def test_a_value_far_below_its_limit_is_not_one_for_lack_of_data(judged):
    """Of an inner product and a cosine alone: a squared length cannot be below 0 in truth, whatever its bounds say."""
    product = Row(6, "<alpha, alpha of scene half>", -1120.0, -1380.0, 0.0, holds=False, n_images=80)

    def decided(row: Row) -> str:
        return replace(judged, verdict=Verdict(Origin.OPEN, (P, row))).decided_by

    assert decided(product) == (
        "rule 6: <alpha, alpha of scene half> -1120, lower bound -1380 not above 0; 4.3 half-widths below 0, "
        "so not for lack of data"
    )
    assert "half-widths below 0.2" in decided(replace(product, rule=5, value=-0.3, low=-0.5, limit=0.2))
    assert "lack" not in decided(replace(product, value=-200.0, low=-460.0))
    assert "lack" not in decided(replace(product, rule=4))
    assert "lack" not in decided(replace(product, value=2080.0, low=1750.0, holds=True))


def test_what_is_missing_is_said_once_for_all_scales(judged):
    """With the command that runs it; a layer that is not the recommended one is marked."""
    blind = without(judged, Origin.NONE, BLIND, missing="run the same questions with a gray picture")
    open_ = without(judged, Origin.OPEN, EXCHANGED, note="there are no exchanged pictures for this axis")
    assert shown_verdicts([blind])[0]["verdict"] == "no verdict"
    assert blind.decided_by == "run the same questions with a gray picture"
    assert open_.decided_by == "rules 1 to 1 hold; there are no exchanged pictures for this axis"
    both = [blind, replace(blind, axis="horizontal"), replace(blind, scale="80k"), open_, judged]
    assert commands(both) == [
        "no run without the picture of tiny @ 2m, 80k: run 'vlmprobe control tiny --scale 2m --scale 80k'",
        "no exchanged pictures for vertical of tiny @ 2m: run 'vlmprobe control tiny --scale 2m'",
    ]
    assert shown_verdicts([replace(judged, layer_is=MOST_COHERENT)])[0]["layer"] == "5 (most coherent)"


def test_rows_have_every_condition_and_what_stands_beside(judged):
    """Digits as the bound allows for people, floats for machines; what is beside has no bound."""
    shown = condition_rows([judged])
    assert [row["rule"] for row in shown] == [1, 1, 2, "beside"]
    assert [row["value"] for row in shown] == ["0.012", "12.5", "0.31", None]
    assert shown[-1]["reason"] == "an axis is not resolved"
    assert [row["note"] for row in shown] == ["", "", "", "the word's axis is taken out"]
    full = condition_rows([judged], in_full=True)
    assert [row["value"] for row in full] == [0.0123, 12.5, 0.31, None]
    assert {row["low"] for row in full} == {None, 11.0, -0.2}
    (row,) = verdicts_in_full([judged])
    assert (row["verdict"], row["controls"]) == ("axis, but also in the controls", "grey")
    assert (row["p_value"], row["n_tests"], row["runs"]) == (0.0123, 6, "real = run-2m; grey = c1")


def test_a_report_has_the_section_only_where_there_are_verdicts(report, judged):
    """With its family of p-values, the notes, and the commands."""
    assert 'id="verdicts"' not in render_report(report())
    noted = replace(judged, verdict=replace(judged.verdict, note="by chance as alike"))
    blind = without(replace(judged, scale="80k"), Origin.NONE, BLIND, missing="run it")
    findings = Findings([], Family(6, 3, 2, 0))
    page = render_report(report(findings=findings, verdicts=[noted, blind]))
    section = page.partition('<section id="verdicts">')[2].partition("</section>")[0]
    assert "Holm over 6 tests: 3 axes x 2 scales" in section
    assert "axis, but also in the controls (grey)" in section
    assert "tiny @ 2m, vertical: by chance as alike." in section
    assert "no run without the picture of tiny @ 80k" in section


def test_a_section_names_the_scales_that_are_read_at_the_last_stored_layer(report, judged):
    """Also where it is the recommended one: near the output a delta may be the answer's word."""
    words = "At the last stored layer, where a delta may be the answer's word: tiny @ 2m."
    for last, said in ((5, True), (6, False)):
        findings = Findings([SCALE(last_layer=last)], Family(3, 3, 1, 0))
        page = unescape(render_report(report(findings=findings, verdicts=[judged])))
        section = page.partition('<section id="verdicts">')[2].partition("</section>")[0]
        assert (words in section) == said


def test_a_report_says_how_far_its_rules_were_simulated(report, judged):
    """How often they err is known of made-up worlds alone, and bounds are not adjusted for the number of verdicts."""
    page = unescape(render_report(report(verdicts=[judged])))
    assert (
        "one layer, 100 pairs, or 200 of four an image (how often an axis of the scene is missed: also 40)"
        in page
    )
    assert (
        "an axis of the scene of .05 to .3, a word of at most .8. Other numbers of pairs and stronger axes were not"
        in page
    )
    assert "for what is left above a gray picture, of axes up to .7; beside other-image nothing was" in page
    assert ".22 (a trace of .05, a word of .3) and .31 (.1 and .8) of simulated studies ended with" in page
    assert (
        "In few dimensions (participation ratio 16 and 5), without such a trace, .026 and .042 did; a note"
        in page
    )
    assert "The bounds of rules 2 to 6 are not adjusted for the number of verdicts." in page
