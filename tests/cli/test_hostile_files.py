"""Files of others cannot harm: what they carry is not run, what they claim is not believed, and it takes no time."""

from __future__ import annotations

import resource
import shlex
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from ..conftest import InProcess
from ..hostile_files import HOSTILE, RAN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Seconds of work, and MiB beyond what the process had: importing torch is the most of both.
_TIME, _MEMORY = 30.0, 2048
#: Of those that load a model; the full tier tries all.
_QUICK = ("weights that are a pickle with code", "a config.json with code of its own")
_CASES = [
    pytest.param(name, marks=pytest.mark.full if " ./evil " in case.typed and name not in _QUICK else [])
    for name, case in HOSTILE.items()
]


def test_there_are_enough_hostile_files() -> None:
    """Of every kind that vlmprobe reads."""
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize("name", _CASES)
def test_a_hostile_file_is_refused(
    name: str, tmp_path: Path, benchmark: Callable[..., Path], mlflow_store: dict[str, str]
) -> None:
    """In one line, with nothing run and nothing written outside of the working directory."""
    work = tmp_path / "above" / "work"
    work.mkdir(parents=True)
    shutil.copy(benchmark(2), work / "good.tsv")
    hostile = HOSTILE[name]
    hostile.make(work)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()

    ran = InProcess(work)(*shlex.split(hostile.typed), "--quiet", **mlflow_store)

    assert time.process_time() - started < _TIME
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < _MEMORY
    assert not (work / RAN).exists()
    assert [path.name for path in (tmp_path / "above").iterdir()] == ["work"]
    assert [path.name for path in tmp_path.iterdir()] == ["above"]
    if hostile.code >= 0:
        assert ran.code == hostile.code, ran.err
        assert hostile.says in ran.err
        assert ran.err.startswith("error: ")
        assert len(ran.err.splitlines()) == 1
        assert len(ran.err) < 1500
    assert "hunter2" not in ran.out + ran.err
    assert "Traceback" not in ran.err
    assert "unexpected" not in ran.err
