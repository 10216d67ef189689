"""A backup is a database of its own: whole at one moment, whatever others write meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.store.backup import copy_database
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.migrate import require_schema
from vlmprobe.store.sandbox import run_sql

from ..command_line import PATIENCE_S


def test_a_backup_is_opened_and_used(study: Any, tmp_path: Path) -> None:
    """Tables, keys and views: it is current, answers, and takes new rows."""
    study.pairs({"1": "left"})
    study.run("r1")
    target = copy_database(study.database, tmp_path / "copy's.duckdb")
    copied = DuckDBStore(target)
    require_schema(copied)
    assert run_sql(copied, "SELECT run_id, status FROM runs").rows == (("r1", "running"),)
    assert run_sql(copied, "SELECT count(*) FROM accuracy").rows == ((0,),)
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy's.duckdb", "copy's.duckdb.lock"]


def test_nothing_is_overwritten(study: Any, tmp_path: Path) -> None:
    """Neither another backup nor anything else; and there must be a folder for it."""
    target = tmp_path / "notes.txt"
    target.write_text("mine")
    with pytest.raises(UsageError, match="exists; a backup never overwrites a file"):
        copy_database(study.database, target)
    assert target.read_text() == "mine"
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="dangling exists; a backup never overwrites a file"):
        copy_database(study.database, dangling)
    with pytest.raises(UsageError, match="create it first"):
        copy_database(study.database, tmp_path / "none" / "copy.duckdb")


def test_a_folder_that_takes_no_files_is_told_by_the_system(study: Any) -> None:
    """``/proc`` takes nobody's, also not the superuser's."""
    with pytest.raises(OSError, match="No such file or directory"):
        copy_database(study.database, Path("/proc/copy.duckdb"))


def test_a_backup_while_others_write_is_one_moment(study: Any, tmp_path: Path) -> None:
    """Transactions of five pairs: each backup holds whole ones."""
    begun, over = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            study.pairs({f"{number}-{row}": "left" for row in range(5)})
            begun.set()
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(PATIENCE_S)
        counts = []
        for number in range(4):
            target = copy_database(study.database, tmp_path / f"{number}.duckdb")
            counts.append(run_sql(DuckDBStore(target), "SELECT count(*) FROM swap_pairs").rows[0][0])
    finally:
        over.set()
        writer.join()
    assert counts == sorted(counts)
    assert all(count % 5 == 0 for count in counts)
    assert counts[-1] > 0


def test_a_file_that_happens_to_have_a_similar_name_stays(study: Any, tmp_path: Path) -> None:
    """What a backup removes afterwards it has made itself."""
    theirs = tmp_path / "copy.duckdb.partial"
    theirs.write_text("mine")
    copy_database(study.database, tmp_path / "copy.duckdb")
    assert theirs.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir() if "copy" in path.name) == [
        "copy.duckdb",
        "copy.duckdb.partial",
    ]
