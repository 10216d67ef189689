"""A large benchmark is read while PyTorch is imported."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.extraction import opening
from vlmprobe.extraction.opening import Opening
from vlmprobe.extraction.request import ExtractOptions
from vlmprobe.families import Environment, KeptWorkers, ModelOptions, load_catalog
from vlmprobe.families.launch import Launch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Opening]:
    """Open a family for a benchmark of so many bytes; what is opened, a function of the test makes."""

    def begin(size: int, make: Callable[..., Any]) -> Opening:
        monkeypatch.setattr(opening, "open_family", make)
        monkeypatch.setattr(opening, "_LARGE", 1000)
        data = tmp_path / "pairs.tsv"
        data.write_bytes(b"x" * size)
        return Opening(load_catalog().scale("tiny", "2m"), ExtractOptions(data), KeptWorkers())

    return begin


def test_the_family_of_a_large_benchmark_is_opened_in_a_thread(opened: Callable[..., Opening]) -> None:
    """It has begun before it is asked for."""
    begun = threading.Event()

    def make(*_: object) -> str:
        begun.set()
        return threading.current_thread().name

    family = opened(1000, make)
    assert begun.wait(10)
    assert family.result() == "vlmprobe-opens"  # type: ignore[comparison-overlap]


def test_a_small_benchmark_is_read_first(opened: Callable[..., Opening]) -> None:
    """What is wrong with it is then said without a wait for PyTorch."""
    made: list[object] = []
    family = opened(999, lambda *which: made.append(which))
    assert made == []
    family.result()
    assert made == [("tiny", None)]


def test_what_is_wrong_with_the_family_is_raised_where_it_is_asked_for(
    opened: Callable[..., Opening],
) -> None:
    """Not in the thread, where it would be printed as a traceback."""

    def make(*_: object) -> Any:
        raise UsageError("no such family")

    with pytest.raises(UsageError, match="no such family"):
        opened(1000, make).result()


@pytest.mark.parametrize(("launch", "n"), [((), [2]), ((Launch(("srun",), "srun"),), [])])
def test_processes_begin_while_a_small_benchmark_is_read(
    launch: tuple[Launch, ...], n: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What they import delays nobody here; elsewhere a node may have to be found for them first."""
    begun: list[int] = []
    monkeypatch.setattr(KeptWorkers, "begin", lambda _self, _name, _environment, n: begun.append(n))
    data = tmp_path / "pairs.tsv"
    data.write_bytes(b"x")
    spec = load_catalog().scale("tiny", "2m")
    if launch:
        spec = replace(spec, environment=replace(Environment.of_this_process(), launch=launch))
    wanted = ExtractOptions(data, model=ModelOptions(devices=("cpu", "cpu")))
    Opening(spec, wanted, KeptWorkers())
    assert begun == n
