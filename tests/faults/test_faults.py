"""Whatever happens to a run, the same command goes on with it: no row lost, none doubled, every array as it was.

The short form of ``make faults``: each fault in one run, at the moments that seed 1 gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ..command_line import InProcess, Shell
from .campaign import run_trial, table
from .injections import FAULTS, missing
from .many import run_many
from .trial import Outcome, make_undisturbed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .trial import Undisturbed

#: Faults that need no process of their own.
QUICK = frozenset({"shard flipped by a bit"})


@pytest.fixture(scope="module")
def undisturbed(benchmark: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Extract and analyze 36 pairs in peace."""
    return make_undisturbed(tmp_path_factory.mktemp("undisturbed"), benchmark(6), shell_type=InProcess)


@pytest.mark.full
@pytest.mark.parametrize("fault", FAULTS)
def test_a_disturbed_run_ends_as_an_undisturbed_one(
    fault: str, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Disturbed, started again, analyzed and verified: answers, certificates, states and metrics are equal."""
    if (why := missing(fault, tmp_path / "mount")) is not None:
        pytest.skip(why)
    # A fault that needs no process of its own is tried in this one, which is quick.
    shell_type = InProcess if fault in QUICK else Shell
    outcome = run_trial(undisturbed, fault, 1, tmp_path, shell_type=shell_type)
    assert outcome.is_well, outcome


@pytest.mark.full
def test_six_processes_on_one_database(tmp_path: Path) -> None:
    """Half a minute of extracting, analyzing, merging and asking: nothing is lost, doubled or refused."""
    many = run_many(tmp_path, processes=6, seconds=30)
    assert many.is_well, many
    assert many.commands.keys() == {"extract", "analyze", "merge", "sql"}


def test_the_table_sums_up_each_fault() -> None:
    """What was lost is in its column, and who healed a run that did not heal itself is named."""
    outcomes = [
        Outcome("SIGKILL", 1, 5, 0, 0, 0, 0, "itself"),
        Outcome("SIGKILL", 2, 3, 2, 1, 6, 4, "NOTHING"),
        Outcome("shard truncated", 1, 2, 0, 0, 0, 0, "verify --repair"),
    ]
    assert [not outcome.is_well for outcome in outcomes] == [False, True, False]
    rows: list[Any] = [line.split() for line in table(outcomes).splitlines()[1:]]
    assert rows[0] == ["SIGKILL", "8", "2", "1", "6", "4", "1", "of", "2", "runs,", "1", "by", "NOTHING"]
    assert rows[1][:8] == ["shard", "truncated", "2", "0", "0", "0", "0", "0"]
    assert rows[2] == ["all", "10", "2", "1", "6", "4", "1", "of", "3", "runs"]
