"""Bad rows among good ones cost themselves only."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _with_cell(line: str, header: list[str], column: str, change: Callable[[str], str]) -> str:
    cells = line.split("\t")
    cells[header.index(column)] = change(cells[header.index(column)])
    return "\t".join(cells)


def _cut(cell: str) -> str:
    content = base64.b64decode(cell)
    return base64.b64encode(content[: len(content) // 2]).decode()


def test_bad_rows_are_recorded_and_a_cut_off_image_fails_alone(
    vlmprobe: Any,
    benchmark: Callable[..., Path],
    rows: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """Of 12 rows three give no pair, and one has half an image: eight are answered, and the next start tries again."""
    lines = benchmark(2).read_text().splitlines()
    header = lines[0].split("\t")
    lines[2] = _with_cell(lines[2], header, "image", lambda _: "no base64!")
    lines[4] = _with_cell(lines[4], header, "category", lambda _: "inside")
    lines[6] = lines[6].rpartition("\t")[0]
    lines[9] = _with_cell(lines[9], header, "image", _cut)
    data = tmp_path / "damaged.tsv"
    data.write_text("\n".join(lines) + "\n")
    command = ("extract", "tiny", "--scale", "2m", "--data", data, "--batch-size", 4, "--home", tmp_path)

    ran = vlmprobe(*command, **mlflow_store).ok()

    assert "8 pairs extracted, 0 reused, 1 failed of 9" in ran.err
    assert rows(tmp_path, "SELECT line, what, column_name FROM row_problems ORDER BY line") == [
        (3, "image", "image"),
        (5, "category", "category"),
        (7, "columns", None),
    ]
    assert rows(tmp_path, "SELECT pair_id, attempt, error FROM failures") == [("8", 1, "ImageError")]
    assert rows(tmp_path, "SELECT count(*) FROM predictions") == [(16,)]
    assert rows(tmp_path, "SELECT status FROM runs") == [("complete",)]

    again = vlmprobe(*command, **mlflow_store).ok()

    assert "0 pairs extracted, 8 reused, 1 failed of 9" in again.err
    assert rows(tmp_path, "SELECT pair_id, attempt FROM failures ORDER BY ALL") == [("8", 1), ("8", 2)]
    assert rows(tmp_path, "SELECT status, count(*) OVER () FROM runs") == [("complete", 1)]
    vlmprobe("db", "check", "--home", tmp_path).ok()
    vlmprobe("analyze", "--home", tmp_path, **mlflow_store).ok()
