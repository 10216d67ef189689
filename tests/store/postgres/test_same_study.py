"""A study that is extracted and analyzed on either database: what is stored, and what is shown of it, is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.postgres_store import PostgresStore

from .test_both_databases import VIEWS, asked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ...postgres_server import Server

TABLES = ("axes", "certificates", "leaks", "metrics", "predictions", "quads", "row_problems", "swap_pairs")


def content(rows: list[Any]) -> list[str]:
    """Return rows, in one order, without what differs between two runs of one command: ids and times."""
    differs = ("run_id", "kept_run")
    return sorted(
        repr([cell for cell in row if cell[0] not in differs and not cell[0].endswith("_at")]) for row in rows
    )


@pytest.mark.full
def test_tables_and_views_are_equal_bit_for_bit(
    inside: Any,
    postgres: Server,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """Two scales, boxes, and a second template, by the same commands."""
    data, url = benchmark(4), postgres.empty()
    options = ("--data", data, "--boxes", data.parent / "boxes.json", "--batch-size", 8)
    commands = (
        ("extract", "tiny", "--scale", "vanilla", *options),
        ("extract", "tiny", "--scale", "2m", *options, "--templates", "published,yes-no"),
        ("analyze",),
    )
    for home, address in (("file", ""), ("team", url)):
        for command in commands:
            settings = {"VLMPROBE_DATABASE_URL": address, **mlflow_store}
            inside(*command, "--home", tmp_path / home, "--experiment", home, **settings).ok()
    file = DuckDBStore(tmp_path / "file" / "vlmprobe.duckdb")
    team = PostgresStore(url, home=tmp_path / "team")
    views = [row[0][2] for row in asked(file, VIEWS)]
    counts = {}
    for name in (*TABLES, *views):
        sql = f"SELECT * FROM {name}"
        ours, theirs = content(asked(file, sql)), content(asked(team, sql))
        assert ours == theirs, name
        counts[name] = len(ours)
    team.close()
    # Empty tables would be equal as well.
    assert [name for name, n in counts.items() if not n] == ["row_problems", "control_accuracy"]
