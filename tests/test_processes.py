"""Another process: it works on one thing after the other, tells of it, and ends when it should."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import DiskFullError, TrackingError, VlmprobeError
from vlmprobe.processes import OtherProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: What the other process does; it is imported there, as the real work is.
WORK = """
import os, signal, time
from vlmprobe.errors import DiskFullError, TrackingError

def begin(tell, greeting):
    def work(item):
        if item == "disk":
            raise DiskFullError("a file")
        if item == "mlflow":
            raise TrackingError("MLflow refused", lasts=True)
        if item == "odd":
            raise type("Local", (Exception,), {})("a class that nobody else knows")
        if item == "die":
            os._exit(7)
        if item == "mask":
            return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
        tell(f"{greeting} {item}")
        if item == "long":
            time.sleep(600)
        return item
    return work
"""


@pytest.fixture
def heard() -> list[Any]:
    """Return what the other process has told so far."""
    return []


@pytest.fixture
def started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[Any]
) -> Iterator[Callable[[], OtherProcess]]:
    """Start the process above."""
    (tmp_path / "work_elsewhere.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    from work_elsewhere import begin  # type: ignore[import-not-found]

    others: list[OtherProcess] = []

    def start() -> OtherProcess:
        others.append(OtherProcess(begin, "hello", name="tests", heard=heard.append))
        return others[-1]

    yield start
    for other in others:
        other.close()


def test_it_works_in_order_and_tells(started: Callable[[], OtherProcess], heard: list[Any]) -> None:
    """All is heard before ``finish`` returns; Ctrl-C, which a terminal sends to both, is not for it."""
    other = started()
    for item in (1, 2, "mask"):
        other.submit(item)
    other.finish()

    assert heard == ["hello 1", 1, "hello 2", 2, True]


@pytest.mark.parametrize(
    ("item", "expected"),
    [("disk", DiskFullError("a file")), ("mlflow", TrackingError("MLflow refused", lasts=True))],
)
def test_an_error_is_the_same_one_here(
    started: Callable[[], OtherProcess], item: str, expected: VlmprobeError
) -> None:
    """Class, message and all, although some classes make their message themselves; nothing after it is begun."""
    other = started()
    other.submit(item)
    with pytest.raises(type(expected)) as raised:
        other.finish()

    assert str(raised.value) == str(expected)
    assert raised.value.__dict__ == expected.__dict__
    assert "in work" in str(raised.value.__cause__)  # where, for --debug
    with pytest.raises(type(expected)):
        other.submit("more")


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("odd", "unexpected Local: a class that nobody else knows"),
        ("die", r"the process that tests died without an error \(exit code 7; out of memory\?\)"),
    ],
)
def test_whatever_happens_to_it_is_one_line(
    started: Callable[[], OtherProcess], item: str, said: str
) -> None:
    """An error that cannot travel, or none at all."""
    other = started()
    other.submit(item)
    with pytest.raises(VlmprobeError, match=said):
        other.finish()


def test_it_ends_at_once_when_it_is_closed(
    started: Callable[[], OtherProcess], heard: list[Any], wait_until: Any
) -> None:
    """Whatever it is doing; and no thread of ours is left, for which the program would end in a hurry."""
    other = started()
    other.submit("long")
    wait_until(lambda: heard == ["hello long"])
    before = time.monotonic()
    other.close()

    assert time.monotonic() - before < 30
    with pytest.raises(ProcessLookupError):
        os.kill(other.pid, signal.SIGCONT)
    assert not any(thread.name == "vlmprobe-listen" for thread in threading.enumerate())
