"""Old results come in, and everything goes out again under its old name: import, analyze, export."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "molmo_400k"
FILES = sorted(str(path.relative_to(GOLDEN)) for path in GOLDEN.rglob("*.*"))
TABLES = """
    SELECT table_name FROM information_schema.tables
    WHERE table_type = 'BASE TABLE' AND table_schema = current_schema()
"""
METRICS = """
    SELECT family, scale, name, version, subset, target, layer, value, std, n, ci_low, ci_high, p_value, seed
    FROM metrics JOIN runs USING (run_id) ORDER BY ALL
"""


@pytest.fixture(scope="module")
def command(inside: Any, mlflow_store: dict[str, str]) -> Any:
    """Run a command on a home."""

    def run(home: Path, *arguments: object) -> Any:
        return inside(*arguments, "--home", home, **mlflow_store)

    return run


@pytest.fixture(scope="module")
def home(command: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Import the golden folder into an empty home and analyze it."""
    home = tmp_path_factory.mktemp("golden-home")
    command(home, "import", GOLDEN, "--experiment", "old results").ok()
    command(home, "analyze", "--experiment", "old results").ok()
    return home


@pytest.fixture(scope="module")
def exported(command: Any, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export it again, all layers; return the model's folder."""
    out = tmp_path_factory.mktemp("out")
    command(home, "export", out, "--layers", "all", "--no-plots").ok()
    return out / "results" / "molmo"


def leaves(path: Path) -> list[tuple[Any, Any]]:
    """List what a file holds as (place, value), in the file's order."""
    if path.suffix == ".json":
        return list(_flat(json.loads(path.read_text()), ""))
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            cells = [((i, j), text) for i, row in enumerate(csv.reader(file)) for j, text in enumerate(row)]
        texts = path.name.startswith("predictions")
        return [(place, text if texts or 0 in place else float(text)) for place, text in cells]
    with np.load(path, allow_pickle=False) as npz:
        return [(key, npz[key]) for key in npz.files]


def _flat(content: Any, path: str) -> Any:
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from _flat(value, f"{path}/{key}")
    else:
        yield path, content


def agree(value: Any, golden: Any) -> bool:
    """Return whether floats are within 1e-6 + 1e-6 |golden|, and all else is equal in value, type and shape."""
    if isinstance(golden, np.ndarray):
        if (value.dtype, value.shape) != (golden.dtype, golden.shape):
            return False
        if golden.dtype.kind != "f":
            return bool((value == golden).all())
        return bool((np.abs(value - golden) <= 1e-6 + 1e-6 * np.abs(golden)).all())
    if type(golden) is float and type(value) is float:
        return abs(value - golden) <= 1e-6 + 1e-6 * abs(golden)
    return type(value) is type(golden) and bool(value == golden)


@pytest.mark.parametrize("name", FILES)
def test_each_golden_file_is_there_with_all_its_values(exported: Path, name: str) -> None:
    """Import, analyze and export give back its keys, order, shapes, texts and counts; numbers within 1e-6."""
    golden, ours = leaves(GOLDEN / name), leaves(exported / name)
    assert [place for place, _ in ours] == [place for place, _ in golden]
    wrong = [a[0] for a, b in zip(ours, golden, strict=True) if not agree(a[1], b[1])]
    assert wrong == []


def test_newer_and_scaled_names_come_on_top(exported: Path) -> None:
    """Beside the golden folder's 26 files: the older coherence name, names with the scale, and a summary."""
    more = {str(path.relative_to(exported)) for path in exported.rglob("*.*")} - set(FILES)
    assert sorted(more) == [
        "csv/summary.csv",
        "json/recommend_layer_400k.json",
        "json/sign_corrected_consistency_400k_all_pairs.json",
        "json/sign_corrected_consistency_400k_both_correct.json",
        "json/vd_ei_eq3_400k.json",
    ]


def test_five_layers_are_exported_unless_all_are_asked_for(
    command: Any, quad_study: Any, tmp_path: Path
) -> None:
    """Spread evenly over the six, the last included; the curves in the JSON files hold every layer anyway."""
    command(quad_study.home, "export", tmp_path, "--scale", "2m", "--no-plots").ok()
    folder = tmp_path / "results" / "tiny"
    with np.load(folder / "npz" / "vectors_2m.npz") as npz:
        assert [key for key in npz.files if key.startswith("orig_")] == [
            f"orig_L{layer}" for layer in (0, 1, 3, 4, 5)
        ]
    norms = sorted(path.name for path in folder.glob("csv/delta_norm_2m_*_all_pairs.csv"))
    assert norms == [f"delta_norm_2m_L{layer}_all_pairs.csv" for layer in (0, 1, 3, 4, 5)]
    coherence = json.loads((folder / "json" / "axis_coherence_2m_all_pairs.json").read_text())
    assert len(coherence) == 3 * 6


def test_an_imported_run_says_what_is_not_known(home: Path, rows: Any) -> None:
    """Questions and images stay null, nothing is guessed; answers keep the verdict that came with them."""
    assert rows(home, "SELECT family, scale, provenance, samples_seen FROM runs") == [
        ("molmo", "400k", "imported", 400000)
    ]
    unknown = (
        "SELECT count(*) FROM swap_pairs WHERE coalesce(orig_question, swap_question, image_sha256) IS NULL"
    )
    assert rows(home, unknown) == [(134,)]
    assert rows(home, "SELECT checker, count(*), count(margin) FROM predictions GROUP BY 1") == [
        ("stored", 268, 0)
    ]
    assert rows(home, "SELECT kind, sum(n_pairs) FROM shards GROUP BY 1 ORDER BY 1") == [
        ("deltas", 64),
        ("states", 134),
    ]
    quads = "SELECT count(*), count(vertical_pair_id), min(distance_pair_id) FROM quads"
    assert rows(home, quads) == [(64, 0, "quad/0")]


def test_importing_twice_adds_nothing(command: Any, home: Path, rows: Any) -> None:
    """The run is found by what was read; no table grows, no number changes."""

    def counts() -> dict[str, int]:
        return {name: rows(home, f"SELECT count(*) FROM {name}")[0][0] for (name,) in rows(home, TABLES)}

    before, metrics = counts(), rows(home, "SELECT * FROM metrics ORDER BY ALL")
    again = command(home, "import", GOLDEN, "--json", "--experiment", "old results").ok()
    assert [row["already_there"] for row in json.loads(again.out)] == [True]
    assert counts() == before
    assert rows(home, "SELECT * FROM metrics ORDER BY ALL") == metrics


@pytest.mark.full
def test_the_scales_of_an_imported_study_share_their_dataset(
    command: Any, tmp_path: Path, rows: Any, undrawn: Any
) -> None:
    """Two scales with the same pairs are compared pair by pair; the report names both."""
    for old, new in (("400k", "80k"), ("400k", "2m")):
        for name in (name for name in FILES if "vectors" in name or "predictions_400k_all" in name):
            path = tmp_path / "molmo" / name.replace(old, new)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(GOLDEN / name, path)
    home = tmp_path / "home"
    command(home, "import", tmp_path / "molmo").ok()
    assert rows(home, "SELECT count(*), count(DISTINCT dataset_id) FROM runs") == [(2, 1)]
    assert rows(home, "SELECT (SELECT count(*) FROM datasets), count(*) FROM swap_pairs") == [(1, 134)]
    command(home, "analyze").ok()
    with undrawn():
        merged = command(home, "merge", "molmo", "--out", tmp_path / "report", "--json").ok()
    assert merged.errors == []
    page = (tmp_path / "report" / "report.html").read_text()
    assert "80k" in page
    assert "2m" in page


def test_merge_and_sql_and_checks_work_on_an_imported_run(
    command: Any, home: Path, tmp_path: Path, undrawn: Any
) -> None:
    """It is a run like any other: a report, accuracy by SQL, and no check finds fault with it."""
    with undrawn():
        command(home, "merge", "molmo", "--out", tmp_path).ok()
    assert (tmp_path / "report.html").stat().st_size > 10_000
    sql = "SELECT axis, n, acc_both FROM accuracy ORDER BY axis"
    found = json.loads(command(home, "sql", sql, "--json").ok().out)
    assert [(row["axis"], row["n"], round(row["acc_both"], 4)) for row in found] == [
        ("distance", 53, 0.283),
        ("horizontal", 40, 0.7),
        ("overall", 134, 0.4851),
        ("vertical", 41, 0.5366),
    ]
    checks = json.loads(command(home, "db", "check", "--json").ok().out)
    assert [check["rows"] for check in checks] == [0] * len(checks)


def test_mlflow_shows_an_imported_run(home: Path, mlflow_store: dict[str, str]) -> None:
    """Once, named by family and scale, with a curve over the three layers."""
    path = mlflow_store["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///")
    shown = """
        SELECT runs.name, runs.status, metrics.step FROM runs
        JOIN experiments USING (experiment_id) JOIN metrics USING (run_uuid)
        WHERE experiments.name = 'old results' AND runs.lifecycle_stage = 'active'
            AND metrics.key = 'layer/axis_coherence.vertical' ORDER BY step
    """
    with closing(sqlite3.connect(path)) as store:
        assert store.execute(shown).fetchall() == [("molmo @ 400k", "FINISHED", step) for step in range(3)]


def test_a_pickled_file_is_refused_with_the_way_out(command: Any, tmp_path: Path, rows: Any) -> None:
    """Unpickling can run code: one line names file and key and says how to save it as plain arrays."""
    folder = tmp_path / "molmo_400k"
    shutil.copytree(GOLDEN, folder)
    path = folder / "npz" / "vectors_400k.npz"
    with np.load(path) as npz:
        content = dict(npz)
    np.savez(path, **(content | {"categories_L0": content["categories_L0"].astype(object)}))
    ran = command(tmp_path / "home", "import", folder)
    assert ran.code == 2
    (line,) = ran.errors
    assert "vectors_400k.npz: categories_L0 holds pickled Python objects" in line
    assert "allow_pickle=True" in line


@pytest.mark.full
def test_the_golden_study_survives_the_round_trip(
    command: Any, home: Path, exported: Path, tmp_path: Path, rows: Any
) -> None:
    """Export, import into an empty database, analyze: the metrics table is equal to the bit, intervals included."""
    command(tmp_path, "import", exported.parent).ok()
    command(tmp_path, "analyze").ok()
    assert rows(tmp_path, METRICS) == rows(home, METRICS)
    assert len(rows(home, METRICS)) == 474


def test_parquet_holds_every_table(command: Any, home: Path, tmp_path: Path, rows: Any) -> None:
    """One file a table with all of its rows."""
    import pyarrow.parquet as pq

    command(home, "export", tmp_path, "--format", "parquet").ok()
    tables = {name for (name,) in rows(home, TABLES)} - {"alembic_version"}
    # These are made of the others.
    names = {name for name in tables if not name.startswith("kept_")}
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.parquet" for name in names}
    for name in names:
        (count,) = rows(home, f"SELECT count(*) FROM {name}")
        assert (pq.read_metadata(tmp_path / f"{name}.parquet").num_rows,) == count


def test_an_export_before_analysis_names_the_next_command(command: Any, tmp_path: Path) -> None:
    """There is nothing to write yet; a line says what makes it."""
    command(tmp_path / "home", "import", GOLDEN).ok()
    ran = command(tmp_path / "home", "export", tmp_path / "out")
    assert (ran.code, ran.errors) == (
        2,
        ["error: molmo @ 400k: no metrics yet; run 'vlmprobe analyze molmo' first"],
    )
    assert not (tmp_path / "out").exists()


def test_an_unknown_layout_is_an_error_in_a_line(command: Any, home: Path, tmp_path: Path) -> None:
    """It lists the layouts there are."""
    ran = command(home, "export", tmp_path / "out", "--format", "xlsx")
    assert (ran.code, ran.errors) == (2, ["error: --format 'xlsx': use results or parquet"])
