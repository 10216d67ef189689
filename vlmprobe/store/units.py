"""Units of work in the database: submitted, taken by a process, seen to be alive, ended."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from vlmprobe.store.clock import clock, database_now
from vlmprobe.store.row_lease import LIFE_S
from vlmprobe.store.schema import UnitRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Update

__all__ = [
    "CANCELLED",
    "DONE",
    "FAILED",
    "RUNNING",
    "STOPPED",
    "WAITING",
    "Holder",
    "Unit",
    "add_units",
    "begin_unit",
    "cancel_units",
    "end_unit",
    "get_unit",
    "saw_unit",
    "set_job",
    "units_of",
]

WAITING, RUNNING, DONE = "waiting", "running", "done"
FAILED, STOPPED, CANCELLED = "failed", "stopped", "cancelled"


@dataclass(frozen=True, slots=True)
class Unit:
    """A row of ``units``: commands that one machine runs one after the other."""

    submission: str
    number: int
    name: str
    """What people call it, such as ``qwen25 @ 80k``."""
    engine: str
    commands: tuple[tuple[str, ...], ...]
    """Arguments of ``vlmprobe``, in their order."""
    folder: str
    """Where they run."""
    family: str
    scale: str
    dataset_id: str
    templates: tuple[str, ...]
    part: str | None = None
    """Which part of its runs it is, such as ``1/4``; None = all of them."""
    log: str | None = None
    """Where its output goes, if the engine writes one."""
    job: str | None = None
    """What the engine calls it."""
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    host: str | None = None
    process: int | None = None
    token: str | None = None
    """Of the process that has it, or had it last."""
    seen: float | None = None
    """When that process last said that it is alive, in seconds of the database's clock."""
    attempts: int = 0
    """How often it was begun."""
    state: str = WAITING
    error: str | None = None
    """What its last attempt said when it failed."""
    age: float | None = None
    """Seconds since it was seen."""

    @property
    def is_lost(self) -> bool:
        """Whether it should be running, and was not seen for so long that its host must be gone."""
        return self.state == RUNNING and (self.age is None or self.age > LIFE_S)


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that takes a unit."""

    host: str
    process: int
    token: str


def add_units(connection: Connection, units: Sequence[Unit]) -> None:
    """Add the units of a submission, which wait from now on."""
    now = database_now(connection)
    names = [each.name for each in fields(Unit) if each.name != "age"]
    rows = [{name: getattr(unit, name) for name in names} for unit in units]
    for row in rows:
        row |= {
            "commands": [list(command) for command in row["commands"]],
            "templates": list(row["templates"]),
            "submitted_at": now,
        }
    connection.execute(insert(UnitRow), rows)


def get_unit(connection: Connection, submission: str, number: int) -> Unit | None:
    """Return one unit; None if there is none."""
    found = [unit for unit in units_of(connection, submission) if unit.number == number]
    return found[0] if found else None


def units_of(connection: Connection, submission: str | None = None) -> list[Unit]:
    """Return the units of a submission, or of all, the oldest first."""
    now = clock(connection)
    rows = select(*UnitRow.__table__.columns).order_by(
        UnitRow.submitted_at, UnitRow.submission, UnitRow.number
    )
    if submission is not None:
        rows = rows.where(UnitRow.submission == submission)
    return [_unit(dict(row._mapping), now) for row in connection.execute(rows)]


def _unit(row: dict[str, Any], now: float) -> Unit:
    commands, templates, seen = row.pop("commands"), row.pop("templates"), row["seen"]
    return Unit(
        commands=tuple(map(tuple, commands)),
        templates=tuple(templates),
        age=None if seen is None else max(now - seen, 0.0),
        **row,
    )


def begin_unit(connection: Connection, unit: Unit, holder: Holder) -> bool:
    """Take a unit for a process; return whether it is to be run: not if it is done, cancelled, or running elsewhere.

    A unit that failed or was stopped is begun again, and so is one whose process was not seen for a while.
    """
    found = get_unit(connection, unit.submission, unit.number)
    if found is None or found.state in {DONE, CANCELLED}:
        return False
    if found.state == RUNNING and not found.is_lost:
        # Its own, if a lost connection did not say that it was taken.
        return found.token == holder.token
    connection.execute(
        _at(unit).values(
            state=RUNNING,
            host=holder.host,
            process=holder.process,
            token=holder.token,
            seen=clock(connection),
            started_at=database_now(connection),
            ended_at=None,
            error=None,
            attempts=found.attempts + 1,
        )
    )
    return True


def saw_unit(connection: Connection, unit: Unit, holder: Holder) -> bool:
    """Note that the process is alive; return whether the unit is still its own, and not cancelled."""
    mine = (
        _at(unit)
        .where(UnitRow.token == holder.token, UnitRow.state == RUNNING)
        .values(seen=clock(connection))
    )
    return connection.execute(mine).rowcount == 1


def end_unit(
    connection: Connection, unit: Unit, holder: Holder, state: str, error: str | None = None
) -> None:
    """Note how the process ended with its unit, unless that is another's by now, or cancelled."""
    mine = _at(unit).where(UnitRow.token == holder.token, UnitRow.state == RUNNING)
    connection.execute(
        mine.values(state=state, error=error, ended_at=database_now(connection), seen=clock(connection))
    )


def cancel_units(connection: Connection, submission: str) -> int:
    """Cancel what waits or runs; return how many units that are. A process that runs one notices soon."""
    left = (
        update(UnitRow)
        .where(UnitRow.submission == submission, UnitRow.state.in_((WAITING, RUNNING, STOPPED, FAILED)))
        .values(state=CANCELLED, ended_at=database_now(connection))
    )
    return connection.execute(left).rowcount


def set_job(connection: Connection, submission: str, job: str) -> None:
    """Note what the engine calls a submission."""
    connection.execute(update(UnitRow).where(UnitRow.submission == submission).values(job=job))


def _at(unit: Unit) -> Update:
    return update(UnitRow).where(UnitRow.submission == unit.submission, UnitRow.number == unit.number)
