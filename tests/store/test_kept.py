"""Results that can be computed again: read only where nothing that they rest on has changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from vlmprobe.store.kept import keep, read_kept

if TYPE_CHECKING:
    from pathlib import Path

BASIS = {"run": ["r1", "0f"], "layer": 3, "note": None, "value": math.nan}
VALUE = [{"value": 0.1 + 0.2, "low": None, "p": 5e-324, "name": "räumlich"}]


def test_every_bit_comes_back(tmp_path: Path) -> None:
    """Floats too, NaN among them."""
    path = tmp_path / "cache" / "kept.json"
    assert read_kept(path, BASIS) is None
    keep(path, BASIS, VALUE)
    assert read_kept(path, BASIS) == VALUE
    keep(path, BASIS, [math.nan])
    (found,) = read_kept(path, BASIS)
    assert math.isnan(found)


@pytest.mark.parametrize("basis", [BASIS | {"layer": 4}, BASIS | {"more": 1}, {"layer": 3}])
def test_what_rests_on_anything_else_is_not_read(tmp_path: Path, basis: dict[str, object]) -> None:
    """Whatever differs, was added or is gone."""
    keep(tmp_path / "kept.json", BASIS, VALUE)
    assert read_kept(tmp_path / "kept.json", basis) is None


def test_a_changed_digit_is_noticed(tmp_path: Path) -> None:
    """And so are half a file, and one that is none of ours."""
    path = tmp_path / "kept.json"
    keep(path, BASIS, VALUE)
    whole = path.read_bytes()
    assert b"0.30000000000000004" in whole
    for content in (whole.replace(b"0.3000", b"0.3001"), whole[:-5], b"\xff\xfe", b"{}", b""):
        path.write_bytes(content)
        assert read_kept(path, BASIS) is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    """A file stands where the folder would be: the result is computed again, without a word."""
    (tmp_path / "cache").write_text("a file")
    keep(tmp_path / "cache" / "kept.json", BASIS, VALUE)
    assert read_kept(tmp_path / "cache" / "kept.json", BASIS) is None
