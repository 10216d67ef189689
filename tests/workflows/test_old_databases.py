"""A database of each earlier schema version, upgraded and then used by the commands."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

#: The fast tier has the oldest, which goes through every revision.
OLD = [
    pytest.param(path, marks=pytest.mark.full if place else (), id=path.name.partition(".")[0])
    for place, path in enumerate(sorted((Path(__file__).parents[1] / "databases").glob("*.duckdb.gz")))
]


@pytest.mark.parametrize("old", OLD)
def test_it_is_refused_then_upgraded_then_used(
    old: Path, inside: Any, tmp_path: Path, mlflow_store: dict[str, str], undrawn: Any
) -> None:
    """Every command names the upgrade; after it there are runs, answers by SQL, a report, a backup.

    A copy can be made before it, and upgraded as well.
    """
    (tmp_path / "vlmprobe.duckdb").write_bytes(gzip.decompress(old.read_bytes()))

    def run(*command: object) -> Any:
        return inside(*command, "--home", tmp_path, **mlflow_store)

    for command in (("runs",), ("verify",), ("merge", "tiny")):
        refused = run(*command)
        assert refused.code == 2
        assert "run 'vlmprobe db upgrade'" in refused.errors[0]
    (tmp_path / "before").mkdir()
    run("backup", tmp_path / "before" / "vlmprobe.duckdb").ok()
    inside("db", "upgrade", "--home", tmp_path / "before").ok()
    run("db", "upgrade").ok()
    run("db", "check").ok()
    runs = json.loads(run("runs", "--json").ok().out)
    assert [(row["scale"], row["status"], row["pairs"]) for row in runs] == [
        ("vanilla", "complete", 12),
        ("2m", "complete", 12),
    ]
    sql = "SELECT scale, n FROM accuracy WHERE axis = 'overall' ORDER BY scale"
    assert json.loads(run("sql", sql, "--json").ok().out) == [
        {"scale": "2m", "n": 12},
        {"scale": "vanilla", "n": 12},
    ]
    with undrawn():
        run("merge", "tiny", "--out", tmp_path / "report").ok()
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000
    run("backup", tmp_path / "copy.duckdb").ok()


@pytest.mark.parametrize("old", OLD)
def test_verify_says_that_its_hidden_states_did_not_come_with_it(
    old: Path, inside: Any, tmp_path: Path
) -> None:
    """The file alone was kept: each shard is named, and nothing is removed."""
    (tmp_path / "vlmprobe.duckdb").write_bytes(gzip.decompress(old.read_bytes()))
    inside("db", "upgrade", "--home", tmp_path).ok()
    with duckdb.connect(str(tmp_path / "vlmprobe.duckdb")) as connection:
        connection.execute("UPDATE shards SET path = '/nowhere/' || run_id, artifact_uri = NULL")
    ran = inside("verify", "--repair", "--home", tmp_path)
    assert ran.code == 1
    assert ran.out.count("its folder is missing: restore it") == 2
    answers = inside("sql", "SELECT count(*) AS n FROM predictions", "--json", "--home", tmp_path).ok().out
    assert json.loads(answers) == [{"n": 48}]
