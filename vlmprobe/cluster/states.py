"""How far units are, for people: state, host, pairs, rate, error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.store.migrate import require_schema
from vlmprobe.store.runs import run_name
from vlmprobe.store.unit_progress import progress_of, rate_of, running_runs, who_extracts
from vlmprobe.store.units import RUNNING, WAITING, units_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.store.unit_progress import RunningRun, RunProgress
    from vlmprobe.store.units import Unit
    from vlmprobe.workspace import Workspace

__all__ = ["UnitState", "states"]

#: It should be at work, and its process is gone, or was not seen for long.
LOST = "lost"


@dataclass(frozen=True, slots=True)
class UnitState:
    """A unit as ``vlmprobe status`` shows it."""

    submission: str | None
    """None = a run that was begun by hand, or by 'vlmprobe run' on one machine."""
    unit: int | None
    name: str
    engine: str | None
    state: str
    host: str | None
    pairs: int
    """Answered, of its runs; those of other parts are among them."""
    of: int | None
    """None before its runs are there."""
    rate: float | None
    """Pairs a second over the last shards."""
    seen: float | None
    """Seconds since its process said that it is alive."""
    attempts: int | None
    error: str | None
    log: str | None
    job: str | None


def states(
    workspace: Workspace, submission: str | None = None, *, everything: bool = False
) -> list[UnitState]:
    """Return the units of a submission; without one, of the last and of all that are not over, and other running runs.

    Raises:
        DatabaseError: there is no database yet.
        UsageError: there is no such submission.
    """
    workspace.database.require()
    require_schema(workspace.database)
    with workspace.database.transaction(write=False) as connection:
        units = units_of(connection)
        if submission is not None:
            units = [unit for unit in units if unit.submission == submission]
            if not units:
                raise UsageError(f"no submission {submission[:40]!r}; list them with 'vlmprobe status --all'")
        elif not everything:
            last = units[-1].submission if units else None
            busy = {unit.submission for unit in units if unit.state in {WAITING, RUNNING}}
            units = [unit for unit in units if unit.submission == last or unit.submission in busy]
        found = progress_of(connection, units)
        rates = [
            rate_of(connection, runs[-1].run_id) if unit.state == RUNNING and runs else None
            for unit, runs in zip(units, found, strict=True)
        ]
        of_units = {run.run_id for runs in found for run in runs}
        others = [
            (run, rate_of(connection, run.run_id), *who_extracts(connection, run.run_id))
            for run in (running_runs(connection) if submission is None else [])
            if run.run_id not in of_units
        ]
    return [
        *(_state(*each) for each in zip(units, found, rates, strict=True)),
        *(_state_of_run(*each) for each in others),
    ]


def _state_of_run(run: RunningRun, rate: float | None, host: str | None, is_at_work: bool) -> UnitState:
    """Return the state of a run that no unit made; the process that said that it extracts it may be dead."""
    return UnitState(
        submission=None,
        unit=None,
        name=run_name(run.family, run.scale, run.template, run.control),
        engine=None,
        state=RUNNING if is_at_work else LOST,
        host=host,
        pairs=run.done,
        of=run.total,
        rate=rate if is_at_work else None,
        seen=None,
        attempts=None,
        error=None,
        log=None,
        job=None,
    )


def _state(unit: Unit, runs: Sequence[RunProgress], rate: float | None) -> UnitState:
    return UnitState(
        submission=unit.submission,
        unit=unit.number,
        name=unit.name,
        engine=unit.engine,
        state=LOST if unit.is_lost else unit.state,
        host=unit.host,
        pairs=sum(run.done for run in runs),
        of=sum(run.total for run in runs) if runs else None,
        rate=rate,
        seen=unit.age if unit.state == RUNNING else None,
        attempts=unit.attempts,
        error=unit.error,
        log=unit.log,
        job=unit.job,
    )
