"""Every table as a file that any data frame library reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from vlmprobe.store.parquet import write_tables
from vlmprobe.store.schema import Base

if TYPE_CHECKING:
    from pathlib import Path


def test_every_table_is_a_file_with_all_rows(study: Any, tmp_path: Path) -> None:
    """Empty tables too; columns keep their names, and no data stays null."""
    study.pairs({"1": "left", "2": "far"})
    study.run("r1")
    study.answers("r1", {"1": (True, False)})
    written = write_tables(study.database, tmp_path / "out")
    names = {name for name in Base.metadata.tables if not name.startswith("kept_")}
    assert {path.name for path in written} == {f"{name}.parquet" for name in names}
    assert sorted((tmp_path / "out").iterdir()) == sorted(written)
    pairs = pq.read_table(tmp_path / "out" / "swap_pairs.parquet").to_pylist()
    assert [(row["pair_id"], row["category"], row["image_sha256"]) for row in pairs] == [
        ("1", "left", None),
        ("2", "far", None),
    ]
    answers = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert [(row["side"], row["correct"]) for row in answers] == [("orig", True), ("swap", False)]
    assert pq.read_metadata(tmp_path / "out" / "quads.parquet").num_rows == 0
