"""Runs of several templates: compared side by side, and shown one template at a time."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ASKED = ("published", "options-swapped", "yes-no")
METRICS = """
    SELECT name, metrics.version, subset, target, layer, value, std, n, ci_low, ci_high, p_value, seed
    FROM metrics JOIN runs USING (run_id) WHERE template = '{}' ORDER BY ALL
"""


@pytest.fixture(scope="module")
def command(inside: Any, mlflow_store: dict[str, str]) -> Callable[..., Any]:
    """Run a command on a home."""

    def run(home: Path, *arguments: object) -> Any:
        return inside(*arguments, "--home", home, "--experiment", "templates", **mlflow_store)

    return run


@pytest.fixture(scope="module")
def ask(inside: Any) -> Callable[..., Any]:
    """Run a command that logs nothing to MLflow on a home."""

    def run(home: Path, *arguments: object) -> Any:
        return inside(*arguments, "--home", home)

    return run


def _tables(out: str) -> list[list[list[str]]]:
    """Split printed tables into rows of words."""
    return [
        [line.split() for line in table.splitlines() if "─" not in line]
        for table in out.strip().split("\n\n")
    ]


def test_analyze_compares_templates_in_a_second_table(panel: Any, rows: Any) -> None:
    """Accuracy and coherence per axis and the corrected angle with its controls, of the scale that has several."""
    runs, (head, *body) = _tables(panel.analyzed.out)
    assert len(runs) == 5
    assert head == ["family", "scale", "dataset", "metric", "target", *ASKED]
    assert {row[1] for row in body} == {"2m"}
    axes = ["horizontal", "vertical", "distance"]
    assert [tuple(row[3:5]) for row in body] == [
        *(("accuracy.both", target) for target in [*axes, "overall"]),
        *(("axis_coherence.balanced", target) for target in axes),
        *(
            ("vd_ei.corrected", t)
            for t in ("vertical/distance", "horizontal/vertical", "horizontal/distance")
        ),
        ("consistent_share", "distance"),
    ]
    cells = {
        (row[3], row[4], name): value for row in body for name, value in zip(ASKED, row[5:], strict=True)
    }
    stored = rows(
        panel.home,
        """
        SELECT 'accuracy.both', axis, template, acc_both FROM accuracy WHERE scale = '2m'
        """,
    )
    assert len(stored) == 12
    for metric, target, template, value in stored:
        shown = cells[metric, target, template]
        assert float(shown) == pytest.approx(value, abs=0.51 * 10 ** -len(shown.partition(".")[2]))


def test_metrics_of_layers_are_read_where_the_axes_are_most_coherent(panel: Any, ask: Any, rows: Any) -> None:
    """Each run at its own such layer, which the rows for machines name."""
    told = json.loads(ask(panel.home, "query", "consistency/over_templates", "--json").ok().out)
    layers = dict(
        rows(
            panel.home,
            """
            SELECT run_id, layer FROM (
                SELECT run_id, layer, row_number() OVER (PARTITION BY run_id ORDER BY avg(value) DESC) AS place
                FROM consistency WHERE metric = 'axis_coherence' AND subset = 'all' GROUP BY run_id, layer
            ) AS ranked WHERE place = 1
            """,
        )
    )
    of_layers = [row for row in told if row["metric"] == "vd_ei.corrected"]
    assert len(of_layers) == 9
    assert {row["run_id"]: row["layer"] for row in of_layers}.items() <= layers.items()
    for row in of_layers:
        where = f"run_id = '{row['run_id']}' AND target = '{row['target']}' AND layer = {row['layer']}"
        value = (
            f"SELECT value FROM consistency WHERE metric = 'vd_ei.corrected' AND subset = 'all' AND {where}"
        )
        assert rows(panel.home, value) == [(row["value"],)]


def test_a_metric_can_be_chosen(panel: Any, command: Any) -> None:
    """Several, in the order given; for machines the comparison is what is printed."""
    out = command(panel.home, "analyze", "--metric", "delta_ratio", "--metric", "accuracy.orig").ok().out
    metrics = [row[3] for row in _tables(out)[1][1:]]
    assert metrics == ["delta_ratio"] * 6 + ["accuracy.orig"] * 4
    as_json = json.loads(command(panel.home, "analyze", "--metric", "accuracy.orig", "--json").ok().out)
    as_csv = command(panel.home, "analyze", "--metric", "accuracy.orig", "--csv").ok().out
    assert len(as_json) == 12
    assert [row["value"] for row in as_json] == [
        float(row["value"]) for row in csv.DictReader(io.StringIO(as_csv))
    ]
    assert [row["template"] for row in as_json[:3]] == list(ASKED)


def test_without_a_metric_machines_get_the_runs(panel: Any, command: Any) -> None:
    """One list, a row a run, whatever templates there are."""
    told = json.loads(command(panel.home, "analyze", "--json").ok().out)
    assert [(row["scale"], row["template"]) for row in told] == [
        ("vanilla", "published"),
        *(("2m", template) for template in ASKED),
    ]


def test_an_unknown_metric_is_told_before_the_analysis(panel: Any, command: Any) -> None:
    """One line that lists the right ones, exit code 2."""
    ran = command(panel.home, "analyze", "--metric", "accuracy")
    assert ran.code == 2
    (line,) = ran.errors
    assert line.startswith("error: unknown metric 'accuracy'; known: accuracy.both, accuracy.orig, ")
    assert "metrics" not in ran.err.replace(line, "")


def test_a_scale_under_one_template_has_no_second_table(panel: Any, command: Any) -> None:
    """Who asks for a comparison is told how to get one."""
    ran = command(panel.home, "analyze", "--scale", "vanilla", "--metric", "axis_coherence").ok()
    assert len(_tables(ran.out)) == 1
    assert "no scale was run with several templates; add some with 'vlmprobe extract --templates'" in ran.err


@pytest.fixture(scope="module")
def merged(panel: Any, command: Any, undrawn: Any) -> Any:
    """Compare the published runs into ``report`` of the home."""
    with undrawn():
        return command(panel.home, "merge", "tiny", "--out", panel.home / "report").ok()


def test_distance_by_perspective_is_stored_and_leads(panel: Any, merged: Any, rows: Any) -> None:
    """The first table and the report show what SQL has; the share of consistent pairs is a metric as well."""
    stored = dict(
        rows(
            panel.home,
            """
            SELECT target, value FROM consistency
            WHERE metric = 'accuracy.perspective' AND scale = '2m' AND template = 'published'
            """,
        )
    )
    view = dict(
        rows(
            panel.home,
            """
            SELECT perspective, acc_both FROM accuracy_by_perspective
            WHERE scale = '2m' AND template = 'published' AND perspective <> 'ambiguous'
            """,
        )
    )
    assert {f"distance/{name}": value for name, value in view.items()}.items() <= stored.items()
    assert stored["distance/gap"] == pytest.approx(view["consistent"] - view["counter"])
    share = "SELECT value FROM consistency WHERE metric = 'consistent_share' AND template = 'published'"
    assert rows(panel.home, share) == [(0.5,)] * 2
    page = (panel.home / "report" / "report.html").read_text()
    first = page.partition("<table>")[2].partition("</table>")[0]
    assert f'data-value="{stored["distance/counter"]!r}"' in first


def test_a_comparison_of_scales_is_of_one_template(panel: Any, merged: Any) -> None:
    """The published one unless another is named; a line tells of the others, and the table holds none of them."""
    assert (
        "other templates: options-swapped (tiny @ 2m); yes-no (tiny @ 2m); show them with --template NAME"
        in merged.err
    )
    assert "where template = 'published'" in merged.err
    by_perspective, by_axis, verdicts = _tables(merged.out)
    assert [row[0] for row in verdicts[1:]] == ["vanilla"] * 3 + ["2m"] * 3
    assert by_perspective[0][2:] == ["horizontal", "vertical", "distance:", "consistent", "counter", "gap"]
    assert [row[1] for row in by_perspective[1:]] == ["vanilla", "2m"]
    assert [row[1] for row in by_axis[1:]] == ["vanilla"] * 4 + ["2m"] * 4
    with (panel.home / "report" / "summary.csv").open(newline="") as file:
        summary = list(csv.DictReader(file))
    assert [(row["scale"], row["axis"]) for row in summary] == [
        (scale, axis)
        for scale in ("vanilla", "2m")
        for axis in ("horizontal", "vertical", "distance", "overall")
    ]


def test_the_report_shows_the_panel(panel: Any, merged: Any) -> None:
    """Values side by side, and what each template changes."""
    page = (panel.home / "report" / "report.html").read_text()
    section = page.partition('<section id="templates">')[2].partition("</section>")[0]
    for name in ASKED:
        assert f'<th scope="col" class="n">{name}</th>' in section
    assert "the opposite category is the first option" in section
    assert "mention-swapped" not in section
    assert section.count("tiny @ 2m") == 11
    assert "tiny @ vanilla" not in section


@pytest.mark.full
def test_another_template_has_a_report_of_its_own(panel: Any, command: Any, rows: Any, undrawn: Any) -> None:
    """In its own folder, so that the published one stays; its title says which it is."""
    with undrawn():
        ran = command(panel.home, "merge", "tiny", "--template", "yes-no", "--json").ok()
    stored = "SELECT axis, acc_both FROM accuracy WHERE template = 'yes-no'"
    assert {row["axis"]: row["acc_both"] for row in json.loads(ran.out)} == dict(rows(panel.home, stored))
    (distance,) = [row for row in json.loads(ran.out) if row["axis"] == "distance"]
    assert distance["gap"] == pytest.approx(distance["consistent"] - distance["counter"])
    assert {row["gap"] for row in json.loads(ran.out) if row["axis"] != "distance"} == {None}
    assert "where template = 'yes-no'" in ran.err
    page = (panel.home / "reports" / "tiny-benchmark-yes-no" / "report.html").read_text()
    assert "<h1>tiny on benchmark, template yes-no</h1>" in page
    assert "<dt>template</dt><dd>yes-no</dd>" in page


@pytest.mark.full
def test_a_study_under_one_template_has_no_such_section(
    panel: Any, command: Any, tmp_path: Path, undrawn: Any
) -> None:
    """Nor a line about others."""
    with undrawn():
        ran = command(panel.home, "merge", "tiny", "--scale", "vanilla", "--out", tmp_path).ok()
    assert "other templates" not in ran.err
    page = (tmp_path / "report.html").read_text()
    assert "#templates" not in page
    assert "Across templates" not in page
    assert "over_templates" not in page


def test_figures_are_of_one_template(panel: Any, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of another than the published one lie in a folder of their own."""
    drawn: list[Path] = []

    def keep(jobs: Any, **_: object) -> list[Path]:
        drawn.extend(job.path for job in jobs)
        return drawn

    monkeypatch.setattr("vlmprobe.workflows.plot.draw_all", keep)
    ran = ask(panel.home, "plot", "tiny", "--template", "options-swapped").ok()
    assert drawn
    assert {path.relative_to(panel.home).parts[0] for path in drawn} == {"plots-options-swapped"}
    assert not [path for path in drawn if "vanilla" in path.name]
    assert "published (tiny @ vanilla, tiny @ 2m); yes-no (tiny @ 2m)" in ran.err
    assert "plots-options-swapped" in ran.err


@pytest.mark.parametrize("template", ["yes-no", "yes-no-opposite"])
def test_yes_and_no_have_no_place_in_the_old_layout(
    panel: Any, ask: Any, tmp_path: Path, template: str
) -> None:
    """One line says why and what there is instead; nothing is written."""
    ran = ask(panel.home, "export", tmp_path / "out", "--template", template)
    assert ran.code == 2
    (line,) = ran.errors
    assert f"template {template} cannot be exported" in line
    assert "--format parquet" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.full
def test_a_template_comes_back_from_the_old_layout(
    panel: Any, ask: Any, command: Any, tmp_path: Path, rows: Any
) -> None:
    """Exported and imported into an empty home, options-swapped has the metrics and questions that it had."""
    options = ("--template", "options-swapped", "--layers", "all", "--no-plots")
    ask(panel.home, "export", tmp_path / "out", *options).ok()
    assert not list((tmp_path / "out").rglob("*vanilla*"))
    command(tmp_path / "home", "import", tmp_path / "out").ok()
    command(tmp_path / "home", "analyze").ok()
    assert rows(tmp_path / "home", METRICS.format("imported")) == rows(
        panel.home, METRICS.format("options-swapped")
    )
    questions = "SELECT orig_question FROM swap_pairs WHERE template = '{}' ORDER BY 1"
    assert rows(tmp_path / "home", questions.format("imported")) == rows(
        panel.home, questions.format("options-swapped")
    )


@pytest.mark.full
def test_run_asks_each_scale_under_the_templates(
    command: Any, benchmark: Any, tmp_path: Path, rows: Any
) -> None:
    """Without the published one among them the comparison is of the first; other runs stay as they were."""
    options = ("--scale", "2m", "--data", benchmark(4), "--max-per-category", 2, "--batch-size", 8)
    command(tmp_path, "extract", "tiny", *options).ok()
    templates = ("--templates", "options-swapped,mention-swapped")
    ran = command(tmp_path, "run", "tiny", *options, *templates, "--out", tmp_path / "out").ok()
    assert "where template = 'options-swapped'" in ran.err
    analyzed = "SELECT template FROM runs WHERE run_id IN (SELECT run_id FROM metrics) ORDER BY 1"
    assert rows(tmp_path, analyzed) == [("mention-swapped",), ("options-swapped",)]
    page = (tmp_path / "out" / "report.html").read_text()
    section = page.partition('<section id="templates">')[2].partition("</section>")[0]
    assert 'class="n">mention-swapped</th><th scope="col" class="n">options-swapped</th>' in section
    assert 'class="n">published' not in section


@pytest.mark.full
def test_the_demo_asks_its_longest_trained_scale_under_every_template(
    command: Any, tmp_path: Path, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others choose under the published questions alone, and its report shows the panel.

    Yes/no questions, which verdicts need, are asked of every scale whose axes could not be tested.
    """
    monkeypatch.setattr("vlmprobe.workflows.demo.PAIRS_PER_CATEGORY", 2)
    monkeypatch.setattr("vlmprobe.workflows.demo.draw_plots", lambda *_: [])
    command(tmp_path, "demo", "--scales", "400k,vanilla").ok()
    asked = (
        "SELECT scale, template, status FROM runs WHERE control IS NULL AND template NOT LIKE 'yes-no%' "
        "ORDER BY created_at"
    )
    assert rows(tmp_path, asked) == [
        ("vanilla", "published", "complete"),
        ("400k", "published", "complete"),
        ("400k", "mention-swapped", "complete"),
        ("400k", "options-swapped", "complete"),
    ]
    yes_no = "SELECT DISTINCT scale, template FROM runs WHERE template LIKE 'yes-no%' ORDER BY ALL"
    assert rows(tmp_path, yes_no) == [
        *(("400k", "yes-no"), ("400k", "yes-no-opposite")),
        *(("vanilla", "yes-no"), ("vanilla", "yes-no-opposite")),
    ]
    assert '<section id="templates">' in (tmp_path / "demo" / "report.html").read_text()
