"""Whatever befalls the hosts that run a study's units: no row is lost, none doubled, every array is as it was.

The short form of ``python -m tests.faults.units``: each fault in one study, at the moments that seed 1 gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..postgres_server import postgres_server
from .unit_injections import UNIT_FAULTS, missing_for_units
from .unit_trial import make_undisturbed_study
from .units import run_unit_trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..postgres_server import Server
    from .unit_trial import UndisturbedStudy

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def server_of_units() -> Iterator[Server]:
    """Start a Postgres that no other test uses."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def undisturbed_study(
    benchmark: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> UndisturbedStudy:
    """Run two scales on one machine in peace."""
    return make_undisturbed_study(tmp_path_factory.mktemp("undisturbed") / "study", benchmark(10))


@pytest.mark.parametrize("fault", UNIT_FAULTS)
def test_disturbed_units_end_as_a_study_in_peace(
    fault: str, undisturbed_study: UndisturbedStudy, server_of_units: Server, tmp_path: Path
) -> None:
    """Disturbed, begun again as a scheduler does: answers, certificates, states and metrics are equal."""
    if (why := missing_for_units(fault, tmp_path / "mount")) is not None:
        pytest.skip(why)
    outcome = run_unit_trial(undisturbed_study, fault, 1, tmp_path, server_of_units)
    assert outcome.is_well, outcome
    assert outcome.injected > 0
