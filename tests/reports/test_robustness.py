"""What axes hang on, as tables: of a terminal, of a report, and row by row."""

from __future__ import annotations

from dataclasses import replace
from html import unescape

from vlmprobe.analysis.controls import WORD_LEFT, WORD_OUT
from vlmprobe.analysis.inference import Estimate
from vlmprobe.reports import render_report
from vlmprobe.reports.robustness import (
    READING_OF_SCENE,
    RobustnessRow,
    answers_table,
    folded_tables,
    probe_table,
    products_table,
    reasons,
    rows_in_full,
    scene_table,
    transfer_table,
)


def row(table, metric, target, value, *, low=None, high=None, reason="", note="", layer_is="recommended"):
    """Make one number of scale 2m."""
    estimate = Estimate(value, 40, ci_low=low, ci_high=high, reason=reason)
    return RobustnessRow(
        table, "tiny", "2m", "published", "run-1", 4, layer_is, metric, target, estimate, 80, note
    )


ROWS = [
    row("products", "axis_coherence.metric", "vertical@euclid", 0.61),
    row("products", "axis_coherence.metric", "vertical@causal", None, reason="no output layer"),
    row("products", "rogue_share", "vertical@top1", 0.04),
    row("products", "participation_ratio", "vertical@deltas", 1.97),
    row("products", "vd_ei.metric", "vertical/distance@euclid", 0.34, note="not known"),
    row("products", "vd_ei.metric", "vertical/distance@causal", None, reason="no output layer"),
    row("products", "participation_ratio", "@states", 5.96),
    row("products", "anisotropy", "@states", 0.16),
    row("answers", "answer_balanced.space_share", "vertical", 0.011, low=0.008, high=0.015),
    row("answers", "readout_share", "vertical", 0.88, low=0.85, high=0.92),
    row("answers", "readout_share", "vertical@random", 0.02, note="median of 20 draws"),
    row("answers", "answer_following", "vertical", None, reason="fewer than 10 pairs"),
    row("answers", "order_coherence", "vertical", 0.3, low=0.2, high=0.4, note="an order effect"),
    row("transfer", "direction.accuracy", "published:vertical", 1.0, low=0.95, high=1.0),
    row("transfer", "transfer", "published:vertical->yes-no:distance", 0.1, low=0.05, high=0.19),
    row("probe", "probe.accuracy", "vertical/object-disjoint", 0.9, low=0.8, high=1.0),
]


def test_each_axis_is_a_line_with_its_inner_products():
    """What is of all states stands in every line; an angle has the word, and no dimensions of its own."""
    vertical, both = products_table(ROWS)
    assert (vertical["euclid"], vertical["causal"], vertical["rogue_1"]) == ("0.61", None, "0.04")
    assert (vertical["deltas_fill"], vertical["states_fill"], vertical["robust"]) == ("1.97", "5.96", None)
    assert (both["axis"], both["robust"], both["rogue_1"]) == ("vertical/distance", "not known", None)
    assert list(vertical) == list(both)


def test_random_words_stand_beside_the_answers_words():
    """In parentheses; a dash is told below, with its reason."""
    (line,) = answers_table(ROWS)
    assert line["readout_share"] == "0.880 [0.850, 0.920] (0.02)"
    assert line["answer_following"] is None
    told = reasons(ROWS)
    assert "2m: answer_following: fewer than 10 pairs (vertical)" in told
    assert "2m: order_coherence: an order effect (vertical)" in told
    assert "2m: axis_coherence.metric: no output layer (vertical)" in told
    assert not any("median" in text for text in told)


def test_directions_and_probes_have_a_line_each():
    """The diagonal is the direction's own accuracy."""
    own, other = transfer_table(ROWS)
    assert (own["direction_of"], own["on"], own["vertical"]) == (
        "published:vertical",
        "published",
        "1.000 [0.950, 1.000]",
    )
    assert (other["on"], other["distance"], other["vertical"]) == ("yes-no", "0.100 [0.050, 0.190]", None)
    (line,) = probe_table(ROWS)
    assert (line["axis"], line["split"], line["accuracy"]) == (
        "vertical",
        "object-disjoint",
        "0.90 [0.80, 1.00]",
    )


def test_exchanged_pictures_have_a_line_for_each_axis_and_layer():
    """Null 2 says whether it holds 0, and the rest whether the word is out.

    A layer without any number has no line, and the answers are of no layer. A word that is taken out of random weights
    is not the run's.
    """
    rows = [
        row("scene", "scene_word.cosine", "vertical", 0.7, low=0.6, high=0.8, note=WORD_OUT),
        row("scene", "axis_coherence.scene", "distance", 0.1, note=WORD_LEFT),
        row("scene", "null_2.size", "vertical", 1.5, low=0.5, high=2.5, note="does not hold 0"),
        row("scene", "null_2.answers_changed", "vertical", 0.25),
        row("scene", "null_2.size", "distance", 0.1, low=-0.5, high=0.7, note="holds 0"),
        row("scene", "null_3.coherence", "distance", 0.01, low=-0.02, high=0.04, note=WORD_OUT),
        replace(row("scene", "scene_word.cosine", "vertical", None, reason="not resolved"), layer=0),
    ]
    vertical, distance = scene_table(rows)
    assert (vertical["axis"], vertical["layer"], vertical["scene_word"]) == (
        "vertical",
        4,
        "0.70 [0.60, 0.80]",
    )
    assert (vertical["holds_0"], distance["holds_0"], vertical["changed"]) == ("no", "yes", "0.25")
    assert (vertical["word_out"], distance["word_out"]) == ("yes", "no")
    assert (vertical["null_3"], distance["null_3"]) == (None, "0.010 [-0.020, 0.040]")
    assert list(vertical) == list(distance)
    assert "2m: scene_word.cosine: not resolved (vertical)" in reasons(rows)
    assert scene_table(ROWS) == []


def test_machines_get_every_number_with_its_reason():
    """One row a number, in full."""
    full = rows_in_full(ROWS)
    assert len(full) == len(ROWS)
    assert full[1]["value"] is None
    assert full[1]["reason"] == "no output layer"
    assert (full[8]["ci_low"], full[8]["n"], full[8]["n_images"]) == (0.008, 80, 40)
    alone = replace(ROWS[8], estimate=Estimate(0.5, 0))
    assert rows_in_full([alone])[0]["n_images"] is None


def test_a_report_explains_the_columns_that_it_has(report):
    """What exchanged pictures show has no table there; without an axis a share of directions is read as nothing."""
    page = unescape(render_report(report(robustness=ROWS)))
    assert "without an axis read no share as the opposite" in page
    assert ("null_3:" in page, "disjoint, cosine_disjoint:" in page) == (False, False)
    assert any(line.startswith("null_3:") for line in READING_OF_SCENE)


def test_the_report_folds_its_tables(report):
    """Behind a heading, with a link; without stored states there is no section."""
    html = render_report(report(robustness=ROWS))
    section = html.partition('<section id="robustness">')[2].partition("</section>")[0]
    assert section.count("<details>") == 4
    assert '<a href="#robustness">' in html
    assert "not known" in section
    assert "fewer than 10 pairs" in section
    assert [title for title, _ in folded_tables(ROWS[:1])] == ["Other inner products"]
    assert 'id="robustness"' not in render_report(report())
