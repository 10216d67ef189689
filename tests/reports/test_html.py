"""The report as one HTML file."""

from __future__ import annotations

import base64
import dataclasses
import math
from html.parser import HTMLParser

from vlmprobe.analysis import catalog
from vlmprobe.analysis.difference import Difference
from vlmprobe.analysis.inference import Estimate
from vlmprobe.analysis.leaks import Leak
from vlmprobe.reports import LayerRange, ReportFigure, render_report
from vlmprobe.reports.matrix import ScaleMatrix

HOSTILE = "<script>alert('x')</script>\"' onload=\"alert(1)"


class Page(HTMLParser):
    """What a browser sees: tags with attributes, and the text of each element that was asked for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def attributes(self, name):
        return [attrs[name] for _, attrs in self.tags if name in attrs]


def section(report, name):
    """Return the text of one section of the page."""
    return Page(render_report(report).partition(f'<section id="{name}">')[2].partition("</section>")[0]).text


def hostile(item):
    """Replace every text of a dataclass by an attack."""
    texts = {
        field.name: HOSTILE
        for field in dataclasses.fields(item)
        if isinstance(getattr(item, field.name), str)
        and getattr(item, field.name) not in ("vertical", "distance")
    }
    return dataclasses.replace(item, **texts)


def test_accuracy_comes_first_with_bounds_and_full_precision(report):
    """The digits that the bounds allow, all digits in data-value, the number of pairs beside them."""
    page = Page(render_report(report()))

    assert "0.67 [ 0.50 , 0.80 ] n = 32" in page.text
    assert "0.6666666666666666" in page.attributes("data-value")
    assert page.text.index("0.67 [") < page.text.index("Axis coherence High")


def test_the_answer_to_which_scale_is_right_most_often_is_a_sentence(report):
    """One sentence an axis, before any table."""
    text = Page(render_report(report())).text

    sentence = "Distance: highest observed at 2m, 0.67 [0.50, 0.80] (95 % bounds, n = 32)."
    assert sentence in text
    vertical = "Vertical: highest observed at 2m, 0.88 [0.72, 0.95] (95 % bounds, n = 32)"
    assert f"{vertical}; chosen after looking, not tested." in text


def test_scales_that_tie_are_all_named(report):
    """Two scales with one accuracy share the sentence."""
    points = [dataclasses.replace(point, acc_both=0.5, target="vertical") for point in report().accuracy[1:3]]

    assert (
        "Vertical: highest observed at vanilla and 2m, 0.50."
        in Page(render_report(report(accuracy=points))).text
    )


def test_no_data_reads_not_available_and_says_why(report):
    """NaN is never printed as a number; the reason is one pointer away."""
    html = render_report(report())

    assert '<span class="none" title="no answered pair on this axis">n/a</span>' in html
    assert '<span class="none" title="fewer than 10 images">n/a</span>' in html
    assert "nan" not in [word.lower() for word in Page(html).text.split()]
    assert "nan" not in Page(html).attributes("data-value")


def test_everything_that_others_wrote_is_escaped(report):
    """A script in any name, caption, path, note or query is text on the page, not part of it."""
    plain = report()
    attacked = report(
        title=HOSTILE,
        created=HOSTILE,
        dataset=hostile(plain.dataset),
        runs=[dataclasses.replace(hostile(run), peak_layers={HOSTILE: (1, 0.5)}) for run in plain.runs],
        accuracy=[hostile(point) for point in plain.accuracy],
        peaks=[hostile(peak) for peak in plain.peaks],
        figures=[hostile(figure) for figure in plain.figures],
        notes=[HOSTILE],
        queries={HOSTILE: HOSTILE},
        provenance={HOSTILE: HOSTILE},
    )
    page, expected = Page(render_report(attacked)), Page(render_report(plain))

    assert {tag for tag, _ in page.tags} == {tag for tag, _ in expected.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert page.text.count("<script>") >= 25


def test_the_page_loads_and_runs_nothing(report):
    """No script, no style sheet, no address: images are data, links point into the page."""
    html = render_report(report(provenance={"MLflow": "http://127.0.0.1:5000"}))
    page = Page(html)

    assert not {"script", "link", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    assert all(source.startswith("data:image/png;base64,") for source in page.attributes("src"))
    assert all(link.startswith("#") for link in page.attributes("href"))
    assert "url(" not in html
    assert "default-src 'none'" in html


def test_every_figure_is_embedded_with_its_caption(report):
    """The bytes on the page are the bytes handed in, in their order."""
    figures = [ReportFigure(f"f{i}", f"Figure {i}", f"Read {i} so.", bytes([i]) * 9) for i in range(3)]
    page = Page(render_report(report(figures=figures)))

    sources = [source.partition("base64,")[2] for source in page.attributes("src")]
    assert [base64.b64decode(source) for source in sources] == [figure.png for figure in figures]
    assert all(f"Read {i} so." in page.text for i in range(3))


def test_links_at_the_top_lead_to_sections_that_are_there(report):
    """Each link has one target, also when two figures have one name."""
    twins = [ReportFigure("a b", "One", "", b"1"), ReportFigure("a b", "Two", "", b"2")]
    page = Page(render_report(report(figures=twins)))

    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.attributes("href")} <= set(ids)
    assert {"accuracy", "figures", "peaks", "runs", "queries", "settings", "problems"} <= set(ids)


def test_runs_and_sql_say_where_the_numbers_come_from(report):
    """Run ids, checkpoints and a query to repeat it."""
    text = Page(render_report(report())).text

    assert "run-2m checkpoints/2m" in text
    assert "SELECT scale, round(acc_both, 4) FROM accuracy" in text
    assert "vlmprobe.duckdb" in text


def test_problems_are_listed(report):
    """Rows without a pair, failed pairs, unfinished runs, checkers that differ, and notes."""
    plain = report()
    troubled = report(
        dataset=dataclasses.replace(plain.dataset, n_problems=2),
        runs=[dataclasses.replace(plain.runs[0], n_failed=1, status="partial")],
        disagreements=3,
        notes=["both_correct has fewer than 2 pairs in close at vanilla"],
    )

    text = Page(render_report(troubled)).text
    assert "Problems (5)" in text
    assert "2 rows of demo gave no pair." in text
    assert "tiny @ vanilla (run-vanilla): 1 pair of 32 failed and have no answer." in text
    assert "tiny @ vanilla (run-vanilla) is partial, so its numbers cover only part of the pairs." in text
    assert (
        "The two answer checkers disagree on 3 answers; the numbers here use each run's own checker." in text
    )


def test_a_report_of_nothing_is_still_a_page(report):
    """No run, no number, no figure: it says so."""
    text = Page(render_report(report(runs=[], accuracy=[], peaks=[], figures=[], queries={}))).text

    assert "No accuracy was computed." in text
    assert "No runs." in text


def test_the_split_reading_stands_beside_the_peak(report):
    """The reader is told which of the two to read; where halves are too small there is none."""
    text = Page(render_report(report())).text

    assert "The peak is flattered by choosing" in text
    assert "0.300 [ 0.250 , 0.350 ]" in text


def test_without_an_axis_no_layer_is_recommended_in_words(report):
    """Not only as a missing number; where one is recommended, it is said for which axes."""
    ranges = [
        LayerRange("tiny", "vanilla", (), None, (), "no axis is resolved"),
        LayerRange("tiny", "2m", (3, 4), 4, ("vertical", "distance"), "", n_layers=36, cutoff=33),
    ]
    text = " ".join(Page(render_report(report(layer_ranges=ranges))).text.split())

    assert (
        "tiny @ vanilla unknown, none excluded n/a no layer is recommended: no axis is resolved n/a" in text
    )
    assert "tiny @ 2m 36, 34, 35 excluded 4 vertical, distance 3, 4" in text


def test_a_recommended_last_layer_is_flagged(report):
    """Near the output a delta may be the answer's word."""
    ranges = [LayerRange("tiny", "2m", (4, 5), 5, ("vertical",), "", n_layers=6, cutoff=6)]
    text = Page(render_report(report(layer_ranges=ranges))).text

    assert "6, none excluded 5 last stored layer: may be the answer's word vertical" in text


def test_the_highest_accuracy_says_from_which_scales_it_is_resolved(report):
    """The highest is chosen by its value; the paired test of the matrix says what it is worth."""
    for p_holm, words in ((0.2, "not resolved from vanilla"), (0.01, "resolved from every other scale")):
        row = Difference(
            catalog.DELTA_ACCURACY, "vertical", Estimate(0.84, 32), 0.01, "exact McNemar", 32, p_holm=p_holm
        )
        matrix = ScaleMatrix("tiny", ("vanilla", "2m"), (("vanilla", "2m", row),), 32, 0, "", 1)
        text = Page(render_report(report(matrices=[matrix]))).text
        highest = "Vertical: highest observed at 2m, 0.88 [0.72, 0.95] (95 % bounds, n = 32)"
        assert f"{highest}; {words}, see Which scales differ; the bounds ignore the choice." in text


def test_a_coherence_of_few_images_is_not_shown(report):
    """Refutes: a peak of .62 of three pairs. Its pairs were chosen by the answer, which the row says."""
    few = dataclasses.replace(report().peaks[1], value=0.6179, n=3, n_images=3, subset="both_correct")
    text = section(report(peaks=[few]), "peaks")

    assert "both_correct selected by the answer n/a n/a fewer than 10 images n/a 3" in text
    assert "0.62" not in text
    enough = dataclasses.replace(few, n=30, n_images=10)
    assert "selected by the answer 4 0.62" in section(report(peaks=[enough]), "peaks")


def test_the_head_counts_images_and_says_what_the_numbers_are_about(report):
    """Bounds count images. What quads add is said where the runs' pairs are counted."""
    facts = dataclasses.replace(report().dataset, n_images=30, n_of_quads=8)
    text = Page(render_report(report(dataset=facts))).text

    assert "32 pairs about 30 images, 2 runs." in text
    assert "One training each: about these checkpoints. Another training may differ" in text
    assert "A run answers 40 pairs: 32 of the dataset, and 8 that quads add" in section(
        report(dataset=facts), "runs"
    )


def test_infinite_bounds_are_not_numbers(report):
    """A bound that went nowhere prints n/a, not inf."""
    peak = dataclasses.replace(report().peaks[1], split_high=math.inf)
    text = Page(render_report(report(peaks=[peak]))).text

    assert "[ 0.25 , n/a ]" in text


def test_what_leaks_stands_at_the_head(report):
    """Alarms in the open, the other checks folded away; nothing where the dataset was never checked."""
    alarm = Leak(
        name="names", target="vertical", value=0.9, n=80, n_images=80, p_holm=0.005, says="Names tell."
    )
    quiet = Leak(name="duplicates", target="overall", value=0.0, n=80, n_images=80, says="No copies.")
    page = render_report(report(leaks=[alarm, quiet]))

    head = page.partition("<header>")[2].partition("</header>")[0]
    shown, folded = head.split("<details>")
    assert "Leaks before any model is asked: names vertical (1 test under Holm&#39;s rule)." in shown
    assert ("Names tell." in shown, "No copies." in shown) == (True, False)
    assert ("Names tell." in folded, "No copies." in folded) == (False, True)
    assert "eaks before any model" not in render_report(report())
    assert HOSTILE not in render_report(report(leaks=[dataclasses.replace(alarm, says=HOSTILE)]))
