"""Hashes are remembered while a file stays as it is; nothing that happens to file or memory makes one wrong."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import CancelledError
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

import vlmprobe.file_hashes
from vlmprobe.file_hashes import FileHashes

if TYPE_CHECKING:
    from pathlib import Path

LARGE = 2**20


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of large files, one for each time that one is read."""
    names: list[str] = []
    original = vlmprobe.file_hashes._digest

    def counted(stream: Any, stop: Event) -> str:
        names.append(os.path.basename(stream.name))  # noqa: PTH119
        return original(stream, stop)

    monkeypatch.setattr("vlmprobe.file_hashes._digest", counted)
    return names


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count files as old that the test has just written."""
    monkeypatch.setattr("vlmprobe.file_hashes._SETTLED_NS", -(10**18))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Write a file that is large enough to be remembered."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(os.urandom(LARGE))
    return path


def _true(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.usefixtures("settled")
def test_a_large_file_is_read_once(weights: Path, tmp_path: Path, hashed: list[str]) -> None:
    """By this object and, through the folder, by the next; a small file is read each time."""
    small = tmp_path / "config.json"
    small.write_text("{}")
    expected = [_true(weights), _true(small)]
    first = FileHashes(tmp_path / "cache")
    for hashes in (first, first, FileHashes(tmp_path / "cache")):
        assert hashes.of_all([weights, small]) == expected
    assert hashed == [weights.name]
    small.write_text("[]")
    assert first.of(small) == _true(small)


@pytest.mark.usefixtures("settled")
def test_a_folder_that_cannot_be_written_still_leaves_this_process(
    weights: Path, tmp_path: Path, hashed: list[str]
) -> None:
    """A file stands where the folder should be, so nothing can be kept in it, whoever the user is."""
    hashes = FileHashes(weights)
    assert hashes.of(weights) == hashes.of(weights) == _true(weights)
    assert len(hashed) == 1
    assert FileHashes(weights).of(weights) == _true(weights)


@pytest.mark.usefixtures("settled")
def test_a_change_is_noticed_though_size_and_date_are_the_same(weights: Path, tmp_path: Path) -> None:
    """The file system keeps the time of the last change, which no program sets back."""
    before = weights.stat()
    FileHashes(tmp_path / "cache").of(weights)
    with weights.open("r+b") as stream:
        stream.write(b"other")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert FileHashes(tmp_path / "cache").of(weights) == _true(weights)


def test_a_file_that_has_just_changed_is_not_remembered(
    weights: Path, tmp_path: Path, hashed: list[str]
) -> None:
    """It could change once more within the same tick of the file system's clock."""
    hashes = FileHashes(tmp_path / "cache")
    assert hashes.of(weights) == hashes.of(weights)
    assert len(hashed) == 2
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("settled")
def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read may be half of each."""
    original = vlmprobe.file_hashes._digest

    def disturbed(stream: Any, stop: Event) -> str:
        found = original(stream, stop)
        with weights.open("r+b") as other:
            other.write(b"other")
        return found

    hashes = FileHashes(tmp_path / "cache")
    monkeypatch.setattr("vlmprobe.file_hashes._digest", disturbed)
    hashes.of(weights)
    assert not (tmp_path / "cache").exists()
    monkeypatch.setattr("vlmprobe.file_hashes._digest", original)
    assert hashes.of(weights) == _true(weights)


@pytest.mark.usefixtures("settled")
def test_a_damaged_memory_is_no_memory(weights: Path, tmp_path: Path, hashed: list[str]) -> None:
    """Whatever character changes, and wherever it ends, the hash is that of the file."""
    FileHashes(tmp_path).of(weights)
    memory = tmp_path / "hashes.txt"
    whole = memory.read_bytes()
    cut = [whole[:length] for length in range(0, len(whole) - 1, 7)]
    flipped = [
        whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        for place in range(0, len(whole) - 1, 3)
    ]
    for damaged in (*cut, *flipped, b"\xff\x00\n", b"[" * 10_000, b"[]\n"):
        memory.write_bytes(damaged)
        assert FileHashes(tmp_path)._read() == {}
    memory.write_bytes(flipped[-5])
    assert FileHashes(tmp_path).of(weights) == _true(weights)
    assert len(hashed) == 2
    assert memory.read_bytes() == whole


@pytest.mark.usefixtures("settled")
def test_processes_add_to_one_memory(weights: Path, tmp_path: Path, hashed: list[str]) -> None:
    """Each reads what others wrote meanwhile before it writes."""
    other = weights.with_name("other.safetensors")
    other.write_bytes(os.urandom(LARGE))
    one, two = FileHashes(tmp_path), FileHashes(tmp_path)
    two._known("", vlmprobe.file_hashes.FileFacts(0, 0, 0, 0, 0), anew=False)  # it has read the empty memory
    one.of(weights)
    two.of(other)
    FileHashes(tmp_path).of_all([weights, other])
    assert sorted(hashed) == [weights.name, other.name]


@pytest.mark.usefixtures("settled")
def test_anew_replaces_what_is_remembered(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: list[str]
) -> None:
    """Once in a process: what it computed itself it trusts."""
    with monkeypatch.context() as patch:
        patch.setattr("vlmprobe.file_hashes._digest", lambda *_: "0" * 64)
        FileHashes(tmp_path).of(weights)
    assert FileHashes(tmp_path).of(weights) == "0" * 64
    hashes = FileHashes(tmp_path)
    assert hashes.of_all([weights], anew=True) == hashes.of_all([weights], anew=True) == [_true(weights)]
    assert FileHashes(tmp_path).of(weights) == _true(weights)
    assert len(hashed) == 1


@pytest.mark.usefixtures("settled")
def test_the_memory_is_bounded(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest entries go."""
    monkeypatch.setattr("vlmprobe.file_hashes._MAX_ENTRIES", 2)
    for name in ("a", "b", "c"):
        os.link(weights, tmp_path / name)
        FileHashes(tmp_path).of(tmp_path / name)
    assert [os.path.basename(name) for name in FileHashes(tmp_path)._read()] == ["b", "c"]  # noqa: PTH119


def test_hashing_stops_when_it_is_to(weights: Path) -> None:
    """A command that ends for another reason does not wait for gigabytes."""
    stop = Event()
    stop.set()
    with pytest.raises(CancelledError):
        FileHashes().of_all([weights, weights], stop=stop)


def test_the_first_file_that_cannot_be_read_is_the_error(weights: Path, tmp_path: Path) -> None:
    """In the order of the files, whichever thread comes to its own first."""
    missing = [tmp_path / "none-1", tmp_path / "none-2"]
    with pytest.raises(FileNotFoundError, match="none-1"):
        FileHashes().of_all([weights, *missing])
