"""queries/: one SELECT per file, with a header that is checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import InputError, UsageError
from vlmprobe.pairs import TEMPLATES
from vlmprobe.store import queries
from vlmprobe.store.queries import Parameter, Query, list_queries, load_query
from vlmprobe.store.rows import fetch, fetch_arrow
from vlmprobe.workflows.query import query_by_name
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [query.name for query in list_queries()]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make ``accuracy/mine`` the only query there is."""
    monkeypatch.setattr(queries, "queries_folder", lambda: tmp_path)

    def run(text: str) -> Query:
        path = tmp_path / "accuracy" / "mine.sql"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return load_query("accuracy/mine")

    return run


def test_a_query_is_its_header_and_one_select(write: Any) -> None:
    """Comments of the header are not part of the SQL."""
    query = write(
        "-- question: Which scale gets distance right?\n"
        "-- grain: one row per run\n"
        "-- param family text = null: only this family\n"
        "-- param layer integer: the layer\n"
        "SELECT *\nFROM runs\nWHERE family = $family AND n_layers > $layer\n"
    )
    assert query == Query(
        name="accuracy/mine",
        question="Which scale gets distance right?",
        grain="one row per run",
        parameters=(
            Parameter("family", "text", "null", "only this family"),
            Parameter("layer", "integer", None, "the layer"),
        ),
        sql="SELECT *\nFROM runs\nWHERE family = $family AND n_layers > $layer",
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("-- grain: g\nSELECT 1", "the header lacks question"),
        ("SELECT 1", "the header lacks grain and question"),
        ("-- question: q\n-- grain: g\nSELECT $a", r"parameters undeclared: \['a'\], unused: \[\]"),
        (
            "-- question: q\n-- grain: g\n-- param a text: x\nSELECT 1",
            r"parameters undeclared: \[\], unused: \['a'\]",
        ),
        (
            "-- question: q\n-- param a date: x\n-- grain: g\nSELECT $a",
            r"mine.sql:2: use '-- param NAME text",
        ),
    ],
)
def test_a_wrong_header_is_an_error_that_names_the_file(write: Any, text: str, says: str) -> None:
    """Found when the query is loaded, not when someone needs it."""
    with pytest.raises(InputError, match=rf"mine\.sql.*{says}|{says}") as caught:
        write(text)
    assert "mine.sql" in str(caught.value)


@pytest.fixture
def query(write: Any) -> Query:
    """Declare one parameter of each kind."""
    return write(
        "-- question: q\n-- grain: g\n-- param family text = null: a\n-- param layer integer = 3: b\n"
        "-- param floor real: the least\nSELECT $family, $layer, $floor"
    )


def test_values_are_read_as_what_they_are_declared(query: Query) -> None:
    """Defaults for what is not given; the word null is NULL."""
    assert query.bind({"floor": "0.5"}) == {"family": None, "layer": 3, "floor": 0.5}
    given = {"family": "tiny", "layer": "null", "floor": "-1"}
    assert query.bind(given) == {"family": "tiny", "layer": None, "floor": -1.0}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "query accuracy/mine needs --param floor=REAL: the least"),
        ({"floor": "x"}, "query accuracy/mine: parameter floor takes real, not 'x'"),
        ({"floor": "1", "layer": "1.5"}, "query accuracy/mine: parameter layer takes integer, not '1.5'"),
        ({"familly": "x"}, "unknown parameter of query accuracy/mine 'familly'; known: family, layer, floor"),
    ],
)
def test_a_wrong_parameter_is_an_error(query: Query, given: dict[str, str], says: str) -> None:
    """Which says what is needed."""
    with pytest.raises(UsageError) as caught:
        query.bind(given)
    assert str(caught.value) == says


def test_values_of_the_program_are_what_they_are(query: Query) -> None:
    """A family may be called null; only who types a parameter means NULL by it."""
    assert query.fill({"family": "null", "floor": 0.5}) == {"family": "null", "layer": 3, "floor": 0.5}
    with pytest.raises(UsageError, match="needs --param floor=REAL"):
        query.fill({})
    with pytest.raises(UsageError, match="unknown parameter"):
        query.fill({"floor": 0.5, "familly": "x"})


def test_an_unknown_query_lists_those_there_are() -> None:
    """A path that leaves the folder is unknown too."""
    for name in ("accuracy/by_axes", "../queries/accuracy/by_axis"):
        with pytest.raises(
            UsageError, match=f"unknown query '{name}'; known: accuracy/by_axis, accuracy/by_category, "
        ):
            load_query(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_query_runs_on_a_database_without_rows(database: Any, name: str) -> None:
    """And returns none: a check finds nothing wrong there."""
    query = load_query(name)
    needed = {"text": "x", "integer": "1", "real": "1"}
    given = {each.name: needed[each.kind] for each in query.parameters if each.default is None}
    with database.transaction() as connection:
        assert fetch(connection, query.sql, query.bind(given)) == []


def test_there_are_queries_of_every_kind() -> None:
    """The folders are what the documentation says."""
    assert {name.split("/")[0] for name in NAMES} == {"accuracy", "consistency", "merge", "runs", "checks"}


BROKEN = {
    "checks/answers_have_shards": "INSERT INTO predictions VALUES ('r1','1','orig','','',true,'c','',true,0,9,0)",
    "checks/both_sides": "INSERT INTO predictions VALUES ('r1','1','orig','','',true,'c','',true,0,9,0)",
    "checks/pairs_exist": "INSERT INTO predictions VALUES ('r1','none','orig','','',true,'c','',true,0,9,0)",
    "checks/complete_runs_are_whole": "UPDATE runs SET status = 'complete'",
    "checks/controls_serve_runs": "UPDATE runs SET control = 'grey', serves = 'nobody'",
    "checks/datasets_exist": "INSERT INTO row_problems VALUES ('nowhere', 1, 'a', 'b', NULL)",
    "checks/pairs_lie_on_axes": "UPDATE swap_pairs SET category = 'hot'",
    "checks/opposite_answers": "UPDATE swap_pairs SET swap_expected = 'left'",
    "checks/kept_answer_counts": "INSERT INTO kept_answer_counts VALUES ('r1','axis','overall','both',1,1,1,1,1,1)",
    "checks/kept_pair_answers": "INSERT INTO kept_pair_answers VALUES ('r1','1','a','b',NULL,NULL,true,true)",
    "checks/kept_run_counts": "UPDATE runs SET status = 'complete'",
    "checks/runs_exist": "INSERT INTO failures VALUES ('nobody', '1', 1, 'E', 'm', '2026-01-01')",
    "checks/shard_rows": (
        "INSERT INTO shards VALUES "
        "('r1', 1, 'states', 'p', NULL, 'h', 1, 1, '[0]', 4, 'float32', '2026-01-01', NULL, NULL)"
    ),
}


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("checks/")])
def test_every_check_finds_what_it_looks_for(study: Any, name: str) -> None:
    """One row that breaks it, and none before."""
    study.pairs({"1": "left"})
    study.run("r1")
    assert study.broken_checks() == []
    with study.database.transaction() as connection:
        connection.exec_driver_sql(BROKEN[name])
    assert name in study.broken_checks()


def test_templates_come_in_their_order_and_the_newest_run_of_each_counts(study: Any) -> None:
    """Of scales that were analyzed under several; a run without metrics is none of them."""
    study.pairs({"1": "left"})
    metric = (
        "INSERT INTO metrics BY NAME SELECT '{}' AS run_id, '{}' AS name, {} AS version, 'all' AS subset, "
    )
    metric += "'horizontal' AS target, {} AS layer, {} AS value, 0.1 AS ci_low, 0.9 AS ci_high, 1 AS n, "
    metric += "now()::TIMESTAMP AS computed_at"

    def add(run_id: str, *values: object, name: str = "axis_coherence", version: int = 1) -> None:
        with study.database.transaction() as connection:
            for layer, value in enumerate(values):
                connection.exec_driver_sql(metric.format(run_id, name, version, layer, value))

    for number, template in enumerate(reversed(TEMPLATES)):
        study.run(f"r{number}", template=template, status="complete")
        add(f"r{number}", 0.25, f"0.5{number}", "NULL")
    add("r0", 9, name="axis_coherence.peak")
    study.run("again", template="yes-no", status="complete")
    add("again", 0.75, 0.5)
    add("again", 0.0625, version=2)
    study.run("not analyzed", template="yes-no", status="complete")
    study.run("alone", scale="2m", status="complete")
    add("alone", 0.5)
    query, metrics = load_query("consistency/over_templates"), {"metrics": "axis_coherence"}
    with study.database.transaction() as connection:
        rows = fetch(connection, query.sql, query.bind(metrics))
        some = fetch(connection, query.sql, query.bind(metrics | {"run_ids": "r0,r7"}))
        one = fetch(connection, query.sql, query.bind(metrics | {"run_ids": "r0"}))
    assert [(row["template"], row["run_id"], row["layer"], row["value"]) for row in rows] == [
        ("published", "r7", 1, 0.57),
        ("mention-swapped", "r6", 1, 0.56),
        ("options-swapped", "r5", 1, 0.55),
        ("balanced", "r4", 1, 0.54),
        ("three-options", "r3", 1, 0.53),
        ("four-options", "r2", 1, 0.52),
        ("yes-no", "again", 0, 0.0625),
        ("yes-no-opposite", "r0", 1, 0.50),
    ]
    assert [row["template"] for row in rows] == list(TEMPLATES)
    # Refutes: the interval of a layer does not know that the highest value was looked for.
    assert {(row["ci_low"], row["ci_high"]) for row in rows} == {(None, None)}
    assert [row["run_id"] for row in some] == ["r7", "r0"]
    assert one == []


@pytest.fixture
def four_runs(study: Any) -> Any:
    """Two datasets of one name with pairs of one id, and a run under other words."""
    study.pairs({"1": "left"})
    with study.database.transaction() as connection:
        for copied in (
            "INSERT INTO datasets BY NAME SELECT * REPLACE ('other' AS dataset_id) FROM datasets",
            "INSERT INTO axes BY NAME SELECT * REPLACE ('other' AS dataset_id) FROM axes",
            "INSERT INTO swap_pairs BY NAME SELECT * REPLACE ('other' AS dataset_id) FROM swap_pairs",
            "INSERT INTO swap_pairs BY NAME SELECT * REPLACE ('yes-no' AS template) FROM swap_pairs",
        ):
            connection.exec_driver_sql(copied)
    study.run("before", scale="80k", status="complete")
    study.run("later", scale="2m", status="complete")
    study.run("elsewhere", scale="2m", dataset_id="other", status="complete")
    study.run("reworded", scale="2m", template="yes-no", status="complete")
    for run_id in ("later", "elsewhere", "reworded"):
        study.answers(run_id, {"1": (True, True)})
    study.answers("before", {"1": (False, True)})
    return study


def test_pairs_are_compared_on_one_dataset_and_under_one_template(four_runs: Any) -> None:
    """Names of datasets are for people: two files may share one, and ids of pairs such as 1."""
    query = load_query("merge/changes")
    with four_runs.database.transaction() as connection:
        (found,) = query.table(connection, {"from_run": "before", "to_run": "later"})
    assert (found["axis"], found["n"], found["gained"], found["lost"]) == ("horizontal", 1, 1, 0)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (
            "elsewhere",
            "tiny @ 80k and tiny @ 2m are runs on different datasets (bench (data) and bench (other)), so their pairs "
            "cannot be compared; choose two runs on one dataset under one template",
        ),
        (
            "reworded",
            "tiny @ 80k and tiny @ 2m are runs on different templates (published and yes-no), so their pairs cannot be "
            "compared; choose two runs on one dataset under one template",
        ),
        ("none", "no run 'none'; list the run ids with 'vlmprobe runs --json'"),
    ],
)
def test_runs_that_cannot_be_compared_are_an_error(four_runs: Any, other: str, says: str) -> None:
    """They shared ids once, and "lost" pairs that nobody had asked; from a command as from Python."""
    given = {"from_run": "before", "to_run": other}
    with four_runs.database.transaction() as connection, pytest.raises(UsageError) as caught:
        load_query("merge/changes").table(connection, given)
    assert str(caught.value) == says
    workspace = Workspace.open(four_runs.database.path.parent)
    with pytest.raises(UsageError) as caught:
        query_by_name(workspace, "merge/changes", given)
    assert str(caught.value) == says


def test_scales_are_compared_dataset_by_dataset(four_runs: Any) -> None:
    """A pair of one dataset is never set beside that of another that has its name."""
    query = load_query("accuracy/changed_answers")
    given = {"family": "tiny", "from_scale": "80k", "to_scale": "2m"}
    with four_runs.database.transaction() as connection:
        rows = query.table(connection, given)
    assert [(row["template"], row["pair_id"], row["gained"]) for row in rows] == [("published", "1", True)]


def test_every_query_that_joins_pairs_says_on_which_dataset() -> None:
    """By the dataset's id, or inside one run."""
    for name in NAMES:
        sql = load_query(name).sql
        clauses = [re.split(r"\bWHERE\b", join)[0] for join in re.split(r"\bJOIN\b", sql)[1:]]
        joins = [clause for clause in clauses if re.search(r"ON.*pair_id = ", clause, re.DOTALL)]
        assert all("dataset_id" in join or "run_id = " in join for join in joins), name


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("checks/")])
def test_a_query_that_names_datasets_has_their_ids(database: Any, name: str) -> None:
    """Two datasets may have one name, so what a user joins by is beside it."""
    query = load_query(name)
    needed = {"text": "x", "integer": "1", "real": "1"}
    given = {each.name: needed[each.kind] for each in query.parameters if each.default is None}
    with database.transaction() as connection:
        columns = fetch_arrow(connection, query.sql, query.bind(given)).column_names
    assert "dataset" not in columns or "dataset_id" in columns


def test_every_query_answers_for_one_run(study: Any) -> None:
    """``run_id`` picks one of two, where a query takes it."""
    study.pairs({"1": "left", "2": "far"}, perspective="counter")
    for run_id, right in (("r1", True), ("r2", False)):
        study.run(run_id, status="complete")
        study.answers(run_id, {"1": (right, right), "2": (right, True)})
    query = load_query("accuracy/by_axis")
    with study.database.transaction() as connection:
        rows = fetch(connection, query.sql, query.bind({"run_id": "r2"}))
    assert [(row["axis"], row["n"], row["acc_both"]) for row in rows] == [
        ("horizontal", 1, 0.0),
        ("distance", 1, 0.0),
        ("overall", 2, 0.0),
    ]


def test_scales_without_a_dataset_in_common_are_not_compared(study: Any) -> None:
    """No rows would read as no change."""
    study.run("r1", scale="80k", status="complete")
    study.run("r2", scale="2m", status="complete", template="yes-no")
    query = load_query("accuracy/changed_answers")
    given = {"family": "tiny", "from_scale": "80k", "to_scale": "2m"}
    with study.database.transaction() as connection:
        with pytest.raises(UsageError, match="80k and 2m have no dataset and template in common"):
            query.table(connection, given)
        with pytest.raises(
            UsageError, match="no run of scale '400k'; scales of this family with runs: 2m, 80k"
        ):
            query.table(connection, {**given, "from_scale": "400k"})
    study.run("r3", scale="80k", status="complete", template="yes-no")
    with study.database.transaction() as connection:
        assert query.table(connection, given) == []
