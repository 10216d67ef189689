"""A file has its name only once it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_there_stays_until_the_new_file_is_whole(tmp_path: Path) -> None:
    """A reader in between sees the old content, afterwards the new one, and nothing else is left."""
    path = tmp_path / "table.csv"
    path.write_text("old")
    with whole_file(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_broke_off_leaves_nothing(tmp_path: Path) -> None:
    """Neither half of itself nor anything under its name."""
    with pytest.raises(KeyError), whole_file(tmp_path / "table.csv") as partial:  # noqa: PT012 - both belong to it
        partial.write_text("half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
