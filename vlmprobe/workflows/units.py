"""Units: submits the scales of a study to an engine, runs one unit, cancels them."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.cluster.engines import engine_of
from vlmprobe.cluster.engines.base import Submission, home_arguments, vlmprobe
from vlmprobe.cluster.engines.slurm import cancel_jobs
from vlmprobe.cluster.runner import run_unit
from vlmprobe.cluster.states import UnitState, states
from vlmprobe.errors import UsageError, VlmprobeError
from vlmprobe.extraction.complete_units import complete_units
from vlmprobe.store.identity import new_run_id
from vlmprobe.store.migrate import require_schema
from vlmprobe.store.units import (
    CANCELLED,
    Unit,
    add_units,
    cancel_units,
    get_unit,
    set_job,
    units_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.cluster.engines.base import EngineOptions, Submitted
    from vlmprobe.extraction.request import ExtractOptions, ExtractRequest
    from vlmprobe.pairs import Dataset
    from vlmprobe.workspace import Workspace

__all__ = [
    "Planned",
    "SubmissionResult",
    "UnitState",
    "cancel",
    "finish_here",
    "report_of",
    "run_one",
    "states",
    "submit",
]

#: Folder in a home for scripts and logs.
_FOLDER = "units"


@dataclass(frozen=True, slots=True)
class Planned:
    """One unit before it is submitted."""

    request: ExtractRequest
    commands: tuple[tuple[str, ...], ...]
    part: str | None = None
    of_controls: bool = False
    """Whether it extracts what the scale's runs are held against; which runs these are, the command finds out."""

    @property
    def name(self) -> str:
        """What people call it."""
        of_part = "" if self.part is None else f", part {self.part}"
        more = ", controls" if self.of_controls else of_part
        return f"{self.request.family} @ {self.request.scale}{more}"


@dataclass(frozen=True, slots=True)
class SubmissionResult:
    """What became of a submission."""

    name: str | None
    """None = everything was complete, and nothing was submitted."""
    submitted: Submitted | None
    units: tuple[Unit, ...]
    commands: tuple[tuple[str, ...], ...]
    """What runs each of them, on any machine."""
    complete: tuple[str, ...]
    """Units that were left out since their runs are complete and analyzed."""


def submit(
    workspace: Workspace,
    planned: Sequence[Planned],
    engine: str,
    options: EngineOptions,
    finish: Sequence[Sequence[str]],
) -> SubmissionResult:
    """Submit units whose runs are not complete and analyzed; with an engine that waits, wait for their end.

    Args:
        workspace: the home, whose database the units share.
        planned: the units.
        engine: its name.
        options: what the user says of it.
        finish: arguments of ``vlmprobe`` for when all units have ended, one command after the other.

    Raises:
        UsageError: there is no such engine, or its hosts cannot share this home's database.
        InputError: the benchmark cannot be read.
        VlmprobeError: the engine refused, or the submission was cancelled while it waited.
        KeyboardInterrupt: it was stopped while it waited.
    """
    chosen = engine_of(engine, options)
    if chosen.needs_shared_database and not workspace.settings.is_postgres and not options.only_print:
        raise UsageError(
            f"--engine {engine} runs on several hosts, which cannot share {workspace.settings.database_name}; set "
            "VLMPROBE_DATABASE_URL to a Postgres database (docs/team.md)"
        )
    workspace.require_writable()
    workspace.create_database()
    workspace.warn_unshared()
    name = new_run_id()[-12:]
    folder = workspace.settings.home / _FOLDER / name
    units = [
        Unit(
            submission=name,
            number=number,
            name=each.name,
            engine=engine,
            commands=each.commands,
            folder=str(Path.cwd()),
            family=each.request.family,
            scale=each.request.scale,
            dataset_id=_read(workspace, each.request.options).dataset_id,
            templates=() if each.of_controls else _templates(workspace, each.request),
            part=each.part,
            log=_text(chosen.log_of(name, number, folder)),
        )
        for number, each in enumerate(planned)
    ]
    requests = [None if each.of_controls else each.request for each in planned]
    complete = complete_units(workspace, requests, units)
    left = [unit for unit in units if unit.number not in complete]
    done = tuple(units[number].name for number in sorted(complete))
    if not left:
        return SubmissionResult(None, None, (), (), done)
    if not options.only_print:
        with workspace.database.transaction() as connection:
            add_units(connection, left)
    submission = Submission(
        name, tuple(left), home_arguments(workspace.settings), tuple(map(tuple, finish)), folder, Path.cwd()
    )
    try:
        submitted = chosen.submit(submission, workspace.console)
    except BaseException as error:
        # Whoever reads the states must not wait for what was refused, or for what nobody will begin.
        if isinstance(error, KeyboardInterrupt) or not any(each.attempts for each in _units(workspace, name)):
            with suppress(Exception), workspace.database.transaction() as connection:
                cancel_units(connection, name)
        raise
    if submitted.is_over and any(each.state == CANCELLED for each in _units(workspace, name)):
        raise VlmprobeError(f"submission {name} was cancelled; run the same command again to go on")
    if submitted.job is not None:
        with workspace.database.transaction() as connection:
            set_job(connection, name, submitted.job)
    commands = tuple(tuple(submission.command_of(unit)) for unit in left)
    return SubmissionResult(name, submitted, tuple(left), commands, done)


def finish_here(workspace: Workspace, finish: Sequence[Sequence[str]]) -> None:
    """Run what compares the units, in processes of their own; the last one prints to this terminal.

    Raises:
        VlmprobeError: a command failed, and said why.
    """
    for command in finish:
        to = None if command == finish[-1] else subprocess.DEVNULL
        program = vlmprobe(*command, *home_arguments(workspace.settings))
        code = subprocess.run(program, check=False, stdout=to).returncode  # noqa: S603 - our own command
        if code:
            raise VlmprobeError(f"'vlmprobe {command[0]}' failed (exit code {code}); its message is above")


def report_of(workspace: Workspace, family: str, options: ExtractOptions) -> Path:
    """Return the folder of the report that compares the scales of a family, in this home.

    Raises:
        InputError: the benchmark cannot be read.
    """
    # What a unit that runs has no use for.
    from vlmprobe.workflows.merge import report_folder
    from vlmprobe.workflows.scales import reported_template

    dataset = _read(workspace, options).under(reported_template(options))
    return report_folder(workspace.settings, [family], dataset.name, dataset.template)


def run_one(workspace: Workspace, submission: str, number: int) -> int:
    """Run one unit here; return its exit code.

    Raises:
        UsageError: there is no such unit.
        KeyboardInterrupt: it was stopped; what is done is kept.
    """
    require_schema(workspace.database)
    with workspace.database.transaction(write=False) as connection:
        unit = get_unit(connection, submission, number)
    if unit is None:
        raise UsageError(
            f"no unit {number} of submission {submission[:40]!r} in {workspace.settings.database_name}; list them with "
            "'vlmprobe status'"
        )
    return run_unit(workspace, unit)


def cancel(workspace: Workspace, submission: str) -> int:
    """Cancel the units of a submission that wait or run; return how many.

    A Slurm job is cancelled with ``scancel`` where that is there. Elsewhere a process notices within half a minute, and
    finishes its batch.

    Raises:
        UsageError: there is no such submission.
    """
    require_schema(workspace.database)
    units = _units(workspace, submission)
    if not units:
        raise UsageError(f"no submission {submission[:40]!r}; list them with 'vlmprobe status --all'")
    with workspace.database.transaction() as connection:
        n = cancel_units(connection, submission)
    if units[0].engine == "slurm" and units[0].job is not None:
        refused = cancel_jobs(submission, units[0].job)
        # Of a job that is over, it is right to refuse.
        if refused is not None and n:
            workspace.console.warn(
                f"Slurm did not cancel job {units[0].job}: {refused}; its units end by themselves when they are begun"
            )
    return n


def _units(workspace: Workspace, submission: str) -> list[Unit]:
    with workspace.database.transaction(write=False) as connection:
        return units_of(connection, submission)


def _read(workspace: Workspace, options: ExtractOptions) -> Dataset:
    return workspace.benchmarks.dataset(
        options.data,
        max_per_category=options.max_per_category,
        axes=options.axes,
        allow_contradictions=options.allow_contradictions,
    )


def _templates(workspace: Workspace, request: ExtractRequest) -> tuple[str, ...]:
    """Return what the database calls the templates: a file that spells its questions out has one of its own."""
    dataset = _read(workspace, request.options)
    return tuple(dict.fromkeys(dataset.under(template).template for template in request.options.templates))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
