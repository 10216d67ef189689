"""``vlmprobe compare``: what it prints, in which form, and with which exit code."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from vlmprobe.settings import Settings
from vlmprobe.store.runs import complete_runs
from vlmprobe.study.comparison import compare_subjects
from vlmprobe.study.matrix import scale_matrices
from vlmprobe.study.paired_runs import PairedRuns
from vlmprobe.study.subjects import Subject, two_subjects
from vlmprobe.workspace import Workspace

from ..command_line import InProcess
from ..left_behind import change_rows
from ..postgres_server import copied_home, environ_of

METRICS = [
    *(["delta.accuracy"] * 6),
    *(["delta.axis_coherence.balanced"] * 3),
    *(["delta.vd_ei.corrected"] * 3),
    *(["delta.vd_ei.corrected.size"] * 3),
    *(["axis_cosine"] * 3),
]


def compare(vlmprobe: Any, study: Any, *words: object) -> Any:
    """Run the command on the study's home."""
    return vlmprobe("compare", *words, "--home", study.home)


def test_two_scales_are_compared_on_the_same_pairs(study: Any, vlmprobe: Any, rows: Any) -> None:
    """Differences agree with the database; what the models learnt is resolved, and no run has an angle to compare."""
    ran = compare(vlmprobe, study, "vanilla", "2m", "--json").ok()
    found = json.loads(ran.out)
    assert [row["metric"] for row in found] == METRICS
    stored = dict(rows(study.home, "select scale || ' ' || axis, acc_both from accuracy"))
    for row in found[:4]:
        target = row["target"]
        assert (row["before"], row["after"]) == (stored[f"vanilla {target}"], stored[f"2m {target}"])
        assert row["value"] == pytest.approx(row["after"] - row["before"])
        assert row["gained"] - row["lost"] == pytest.approx(row["value"] * row["n"])
    horizontal = {row["metric"]: row for row in found if row["target"] == "horizontal"}
    assert horizontal["delta.accuracy"]["method"] == "exact McNemar"
    assert horizontal["delta.accuracy"]["resolved"]
    assert horizontal["delta.axis_coherence.balanced"]["method"] == "paired jackknife t"
    assert horizontal["delta.axis_coherence.balanced"]["ci_low"] > 0
    tested = [row for row in found if row["p_value"] is not None]
    assert {row["n_tests"] for row in found} == {len(tested)}
    for row in found:
        assert (row["value"] is not None) or row["reason"], row
    assert "96 pairs of 96 images that all runs answered; 0 left out" in ran.err
    assert "one training each: about these checkpoints" in ran.err


@pytest.mark.full
def test_all_forms_hold_the_same_rows(study: Any, vlmprobe: Any, tmp_path: Any) -> None:
    """A table, JSON, CSV and LaTeX, on stdout or in a file of that ending."""
    by_form = {
        form: compare(vlmprobe, study, "vanilla", "2m", *words).ok().out
        for form, words in {"table": [], "csv": ["--csv"], "tex": ["--latex"], "json": ["--json"]}.items()
    }
    table = by_form["table"].splitlines()
    assert table[0].split()[:4] == ["metric", "target", "before", "after"]
    assert len(table) == 2 + len(METRICS)
    as_csv = list(csv.DictReader(io.StringIO(by_form["csv"])))
    as_json = json.loads(by_form["json"])
    assert [list(row) for row in as_csv] == [list(row) for row in as_json]
    latex = by_form["tex"].splitlines()
    assert latex[1] == r"\toprule"
    assert latex[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert len([line for line in latex if line.startswith(("delta", r"axis\_cosine"))]) == len(METRICS)
    for ending, text in by_form.items():
        out = tmp_path / f"differences.{ending}"
        ran = compare(vlmprobe, study, "vanilla", "2m", "--out", out).ok()
        assert (ran.out, out.read_text()) == ("", text), ending


@pytest.mark.full
def test_pairs_that_changed_are_named(study: Any, vlmprobe: Any, rows: Any) -> None:
    """The first five of each way, or all of them; as rows with --json."""
    ran = compare(vlmprobe, study, "vanilla", "2m", "--pairs", "--json").ok()
    changed = json.loads(ran.out)
    sides = {
        scale: dict(
            rows(study.home, f"select pair_id, both_correct from pair_answers where scale = '{scale}'")
        )
        for scale in ("vanilla", "2m")
    }
    gained = {name for name, right in sides["2m"].items() if right and not sides["vanilla"][name]}
    assert {row["pair_id"] for row in changed if row["change"] == "gained"} == gained
    line = next(line for line in ran.err.splitlines() if " gained: " in line)
    assert line.startswith(f"vanilla -> 2m: {len(gained)} gained: ")
    assert len(line.split(", ")) == len(gained)
    short = compare(vlmprobe, study, "vanilla", "2m").ok().err
    assert f", and {len(gained) - 5} more (--pairs)" in short


def test_a_fall_is_exit_code_3_for_a_pipeline(study: Any, vlmprobe: Any) -> None:
    """Backwards everything that was learnt is lost; forwards nothing is; without the option it is no failure."""
    assert compare(vlmprobe, study, "vanilla", "2m", "--fail-if", "worse").code == 0
    ran = compare(vlmprobe, study, "2m", "vanilla", "--fail-if", "worse", "--quiet")
    assert ran.code == 3
    assert "worse: 2m -> vanilla: delta.accuracy horizontal" in ran.err
    assert compare(vlmprobe, study, "2m", "vanilla").code == 0
    wrong = compare(vlmprobe, study, "2m", "vanilla", "--fail-if", "better")
    assert (wrong.code, wrong.errors) == (2, ["error: --fail-if 'better': use worse"])


def test_over_scales_needs_a_family(study: Any, vlmprobe: Any) -> None:
    """Two scales are one comparison and no trend."""
    found = json.loads(compare(vlmprobe, study, "tiny", "--over-scales", "--json").ok().out)
    assert [row["metric"] for row in found] == METRICS
    assert {(row["from"], row["to"]) for row in found} == {("vanilla", "2m")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vanilla"], "compare needs two runs or scales, or a family with --over-scales"),
        (["tiny", "2m", "--over-scales"], "--over-scales takes one family; '2m' is too much"),
        (["vanilla", "2m", "--layer", "99"], "tiny @ vanilla has no layer 99; it has [0, 1, 2, 3, 4, 5]"),
        (["vanilla", "2m", "--json", "--latex"], "use one of --json, --csv and --latex"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    words: list[str], message: str, study: Any, vlmprobe: Any
) -> None:
    """What, and what to do."""
    ran = compare(vlmprobe, study, *words)
    assert (ran.code, ran.errors) == (2, [f"error: {message}"])


@pytest.mark.full
def test_the_layer_is_chosen_and_the_choice_explained(study: Any, vlmprobe: Any) -> None:
    """As asked for, or as recommended, or the last one with the reason."""
    asked = compare(vlmprobe, study, "vanilla", "2m", "--layer", 3, "--json").ok()
    assert "geometry at layer 3, as asked for" in asked.err
    assert {row["layer"] for row in json.loads(asked.out)} == {None, "3"}
    chosen = compare(vlmprobe, study, "vanilla", "2m").ok().err
    assert ", recommended for " in chosen or "geometry at the last stored layer (5), since" in chosen


@pytest.mark.parametrize(
    ("layers", "choice"),
    [
        ((None, 3), "geometry at layer 3, recommended for 2m; none for vanilla"),
        ((3, 3), "geometry at layer 3, recommended for vanilla, 2m"),
        ((3, 4), "since the recommended ones differ (3 for vanilla; 4 for 2m)"),
        ((None, 77), "since not every run has the recommended one (77 for 2m; none for vanilla)"),
        ((None, None), "since none is recommended (none for vanilla, 2m)"),
        (("old", 3), "layer 3, recommended for 2m; not known for vanilla, so run 'vlmprobe analyze' first"),
    ],
)
def test_scales_with_a_recommended_layer_decide(
    layers: tuple[Any, Any], choice: str, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scale in which no axis is resolved recommends none; the published shortlist has one for it all the same."""
    workspace = Workspace(Settings.load(study.home, environ=environ_of(study.home)))
    runs = [next(iter(each.trainings.values())) for each in two_subjects(workspace, "vanilla", "2m")]
    stored = dict(zip([run.run_id for run in runs], layers, strict=True))

    def read(_: Any, run_id: str, name: str, subset: str) -> Any:
        assert (name, subset) == ("recommended_layer", "all")
        return None if stored[run_id] == "old" else {"layer": stored[run_id]}

    monkeypatch.setattr("vlmprobe.study.paired_runs.read_results_json", read)
    layers_read = PairedRuns(workspace, runs).layers
    assert choice in layers_read.choice
    is_last = "the last stored layer (5)" in layers_read.choice
    assert set(layers_read.of_run.values()) == ({5} if is_last else {3})
    assert is_last is ("near the output the delta may be the answer's word" in layers_read.choice)


def test_several_trainings_are_compared_by_their_mean(study: Any) -> None:
    """Two trainings that went opposite ways show nothing, and the words say what the interval is about."""
    workspace = Workspace(Settings.load(study.home, environ=environ_of(study.home)))
    first, second = (next(iter(each.trainings.values())) for each in two_subjects(workspace, "vanilla", "2m"))
    found = compare_subjects(
        workspace,
        [Subject("before", 1, {"a": first, "b": second}), Subject("after", 2, {"a": second, "b": first})],
    )
    rows = found.compared[0].rows
    assert {row.trainings.n_trainings for row in rows} == {2}
    assert not any(row.is_resolved for row in rows)
    assert all(abs(row.estimate.value) < 1e-12 for row in rows[:9] if row.estimate.value is not None)
    assert "2 trainings each: means, with t intervals over trainings" in " ".join(found.words())


@pytest.mark.full
def test_a_label_in_the_catalog_reaches_a_run_that_is_there(
    study: Any, rows: Any, mlflow_store: dict[str, str], tmp_path: Any
) -> None:
    """``extract`` again with ``training`` in vlmprobe.toml: nothing is asked, and the run has its label."""
    home = copied_home(study.home, tmp_path / "home")
    toml = '[families.tiny.scales.2m]\ntraining = "first"\n'
    (tmp_path / "vlmprobe.toml").write_text(toml, encoding="utf-8")
    command = ("extract", "tiny", "--scale", "2m", "--data", study.data, "--home", home, "--json")
    facts = json.loads(InProcess(tmp_path)(*command, **mlflow_store).ok().out)
    assert (facts["reused"], facts["asked"]) == (96, 0)
    labels = rows(home, "select scale, training from runs order by scale")
    assert labels == [("2m", "first"), ("vanilla", None)]


@pytest.mark.full
def test_a_scale_of_several_trainings_is_averaged_in_the_report(study: Any, rows: Any, tmp_path: Any) -> None:
    """Two runs of equally many samples, one with a label: one scale, and its mean with the spread between them."""
    home = copied_home(study.home, tmp_path / "home")
    change_rows(home, "UPDATE runs SET samples_seen = 2000000, training = 'b' WHERE scale = 'vanilla'")
    workspace = Workspace(Settings.load(home, environ=environ_of(home)))
    with workspace.database.transaction() as connection:
        runs = complete_runs(connection)
    (matrix,) = scale_matrices(workspace, runs)
    assert (matrix.scales, matrix.differences, matrix.n_trainings) == (("2m",), (), 2)
    found = {(row.metric, row.target): row.mean for row in matrix.of_trainings}
    shares = [acc for (acc,) in rows(study.home, "select acc_both from accuracy where axis = 'horizontal'")]
    mean = found["accuracy.both", "horizontal"]
    assert mean.estimate.value == pytest.approx(sum(shares) / 2)
    assert mean.sd == pytest.approx(abs(shares[0] - shares[1]) / 2**0.5)
    assert found["vd_ei.corrected", "vertical/distance"].estimate.value is None


def test_the_report_says_which_scales_differ(study: Any) -> None:
    """A matrix with Holm's family named, resolved differences in bold."""
    page = (study.out / "report.html").read_text()
    section = page.partition('<section id="resolved">')[2].partition("</section>")[0]
    assert "tiny: resolved (Holm over 6 tests)" in section
    assert "vertical/distance n/a</small>" in section
    assert "horizontal <b>+" in section
    assert "One training each: about these checkpoints" in section
