"""What was found out about a benchmark's images is not looked for again by the next command."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.pairs import Benchmarks, known_images, read_dataset, reading

from ..generic_files import generic_records, write_generic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vlmprobe.pairs import Dataset


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the images that were opened, as they are."""
    found: list[bytes] = []
    original = reading.image_facts

    def counted(content: bytes, **how: Any) -> Any:
        found.append(content)
        return original(content, **how)

    monkeypatch.setattr(reading, "image_facts", counted)
    return found


@pytest.fixture
def pictured_file(benchmark: Callable[..., Path], tmp_path: Path) -> Path:
    """Write a benchmark whose images are files of their own."""
    return write_generic(tmp_path, "jsonl", generic_records(read_dataset(benchmark(2))), paths=True)


def _equal(dataset: Dataset, fresh: Dataset) -> bool:
    return all(getattr(dataset, each.name) == getattr(fresh, each.name) for each in fields(fresh))


def test_the_next_command_opens_no_image(pictured_file: Path, tmp_path: Path, looked_at: list[bytes]) -> None:
    """And reads the same, field by field."""
    first = Benchmarks(cache=tmp_path / "cache").dataset(pictured_file)
    assert len(looked_at) == len({pair.image_sha256 for pair in first.made}) > 3
    looked_at.clear()
    again = Benchmarks(cache=tmp_path / "cache").dataset(pictured_file)
    assert looked_at == []
    assert _equal(again, first)
    assert _equal(again, read_dataset(pictured_file))


def test_an_image_that_changed_is_opened_and_no_other(
    pictured_file: Path, tmp_path: Path, looked_at: list[bytes]
) -> None:
    """Images are known by their bytes, whatever the clock says."""
    first = Benchmarks(cache=tmp_path / "cache").dataset(pictured_file)
    image, other = (
        pair.image_source.file
        for pair in (first.made[0], first.made[-1])
        if pair.image_source.file is not None
    )
    changed = other.read_bytes() + b"\0"
    image.write_bytes(changed)
    looked_at.clear()
    again = Benchmarks(cache=tmp_path / "cache").dataset(pictured_file)
    assert looked_at == [changed]
    looked_at.clear()
    assert _equal(again, read_dataset(pictured_file))


@pytest.mark.parametrize("damage", ["a digit", "another version", "no file"])
def test_what_cannot_be_trusted_is_looked_for_again(
    damage: str,
    pictured_file: Path,
    tmp_path: Path,
    looked_at: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk's fault, other code or another Pillow; the dataset stays the same."""
    first = Benchmarks(cache=tmp_path / "cache").dataset(pictured_file)
    n = len(looked_at)
    looked_at.clear()
    (kept,) = (tmp_path / "cache" / "images").iterdir()
    if damage == "a digit":
        text = kept.read_text()
        kept.write_text(text.replace(f", {first.made[0].image_width}, ", ", 7, ", 1))
        n = 1
    elif damage == "another version":
        monkeypatch.setattr(known_images, "_version", lambda: "another")
    else:
        kept.unlink()
    assert _equal(Benchmarks(cache=tmp_path / "cache").dataset(pictured_file), first)
    assert len(looked_at) == n


def test_a_folder_that_cannot_be_made_costs_time_alone(pictured_file: Path, tmp_path: Path) -> None:
    """It need not be writable."""
    (tmp_path / "cache").write_text("a file")
    first = Benchmarks(cache=tmp_path / "cache").dataset(pictured_file)
    assert _equal(first, read_dataset(pictured_file))


def test_what_decoding_shows_is_not_kept(pictured_file: Path, tmp_path: Path, looked_at: list[bytes]) -> None:
    """Else notes on an image would depend on whether 'data check' had read the file before."""
    read_dataset(pictured_file, cache=tmp_path / "cache", decode=True)
    n = len(looked_at)
    looked_at.clear()
    found = Benchmarks(cache=tmp_path / "cache").dataset(pictured_file)
    assert len(looked_at) == n
    assert _equal(found, read_dataset(pictured_file))


def test_facts_of_benchmarks_that_were_read_long_ago_leave(
    pictured_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder does not grow for ever."""
    monkeypatch.setattr(known_images, "_MOST_FILES", 2)
    kept = []
    for _ in range(3):
        with pictured_file.open("a") as stream:
            stream.write("\n")
        Benchmarks(cache=tmp_path / "cache").dataset(pictured_file)
        kept.append({path.name for path in (tmp_path / "cache" / "images").iterdir()})
    assert [len(names) for names in kept] == [1, 2, 2]
    assert not kept[0] & kept[2]
