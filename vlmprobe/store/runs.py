"""Runs in the database: created, found again by their key, and updated."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from vlmprobe.errors import VlmprobeError
from vlmprobe.pairs import PUBLISHED, is_under
from vlmprobe.store.clock import database_now
from vlmprobe.store.engine import name_of
from vlmprobe.store.identity import new_run_id, utc_now
from vlmprobe.store.kept_rows import forget_rows, keep_rows
from vlmprobe.store.lease import check_foreign_lease, describe_self
from vlmprobe.store.row_lease import check_lease, has_row_leases
from vlmprobe.store.rows import fetch_as
from vlmprobe.store.schema import RunPart, RunRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

__all__ = [
    "MLFLOW_OUTDATED",
    "MLFLOW_SENDING",
    "Run",
    "RunPlan",
    "complete_runs",
    "controls_of",
    "find_run",
    "get_run",
    "open_run",
    "renew_lease",
    "run_name",
    "set_config",
    "set_mlflow_run",
    "set_status",
]

#: Keys in a run's config that are no settings of it: how far its delivery to MLflow is.
MLFLOW_OUTDATED, MLFLOW_SENDING = "mlflow_outdated", "mlflow_sending"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run before it is created: everything but its id."""

    run_key: str
    dataset_id: str
    template: str
    family: str
    scale: str
    checkpoint: str
    fingerprint: str
    samples_seen: int | None
    global_steps: int | None
    dtype: str
    device: str
    config: dict[str, Any] = field(default_factory=dict)
    training: str | None = None
    """Which of several trainings of the scale; None where nothing says so."""
    control: str | None = None
    """What kind of control it is, such as ``grey``; None = a real run."""
    serves: str | None = None
    """Of a control: the id of the real run that it is held against."""


def run_name(family: str, scale: str, template: str, control: str | None = None) -> str:
    """Return what a run is called: ``qwen25 @ 80k``, then ``(yes-no)`` of another template, ``[grey]`` of a control."""
    own = is_under(template, PUBLISHED.name)
    of_control = "" if control is None else f" [{control}]"
    return f"{family} @ {scale}{'' if own else f' ({template})'}{of_control}"


@dataclass(frozen=True, slots=True)
class Run:
    """A row of ``runs`` with the name of its dataset."""

    run_id: str
    run_key: str
    dataset_id: str
    dataset: str
    template: str
    family: str
    scale: str
    checkpoint: str
    fingerprint: str | None
    samples_seen: int | None
    global_steps: int | None
    training: str | None
    control: str | None
    """What kind of control it is; None = a real run."""
    serves: str | None
    """Of a control: the id of the run that it serves."""
    dtype: str | None
    device: str | None
    n_layers: int | None
    dim: int | None
    versions: dict[str, Any]
    config: dict[str, Any]
    status: str
    provenance: str
    mlflow_run_id: str | None

    @property
    def name(self) -> str:
        """The name in tables and MLflow; see :func:`run_name`."""
        return run_name(self.family, self.scale, self.template, self.control)

    @property
    def scale_name(self) -> str:
        """The family and the scale."""
        return f"{self.family} @ {self.scale}"

    @property
    def batch_size(self) -> int | None:
        """Pairs in each batch, as the run began; None before its first batch."""
        size: int | None = self.config.get("batch_size")
        return size

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know about its weights and its prompts."""
        return tuple(self.config.get("notes") or ())

    @property
    def is_outdated(self) -> bool:
        """Whether MLflow shows values that have changed since, so that it needs a fresh run."""
        return bool(self.config.get(MLFLOW_OUTDATED))

    @property
    def is_being_sent(self) -> bool:
        """Whether values are on their way to MLflow, which may show them although nothing says so yet."""
        return bool(self.config.get(MLFLOW_SENDING))


_RUN_SQL = """
SELECT runs.*, datasets.name AS dataset
FROM runs INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
"""


def find_run(connection: Connection, key: str) -> Run | None:
    """Return the newest run with this key (``--new`` makes further ones, numbered ``key#2`` ...)."""
    found = fetch_as(
        Run,
        connection,
        _RUN_SQL + "WHERE runs.run_key = $key OR starts_with(runs.run_key, $key || '#') "
        # By its number: a clock may have been set back between two of them.
        "ORDER BY CASE WHEN split_part(runs.run_key, '#', 2) SIMILAR TO '[0-9]{1,9}' "
        "THEN CAST(split_part(runs.run_key, '#', 2) AS INTEGER) ELSE 1 END DESC NULLS LAST LIMIT 1",
        {"key": key},
    )
    return found[0] if found else None


def open_run(connection: Connection, plan: RunPlan, *, new: bool) -> tuple[Run, bool]:
    """Find or create the run of a plan; return it and whether it existed.

    Raises:
        LeaseHeldError: a process on another host is working on it.
    """
    found = find_run(connection, plan.run_key)
    if found is not None and not new:
        if not has_row_leases(connection):
            lease = select(RunRow.lease).where(RunRow.run_id == found.run_id)
            check_foreign_lease(connection.execute(lease).scalar_one())
        if plan.training is not None and plan.training != found.training:
            # A label alone: no number depends on it, so it may be given later.
            _update(connection, found.run_id, training=plan.training)
            found = get_run(connection, found.run_id)
        return found, True
    number = 1
    if found is not None:
        _, _, last = found.run_key.partition("#")
        number = int(last or 1) + 1
    # Who submitted units with ``--new`` compares it with when that was, on another machine.
    now, run_id = database_now(connection), new_run_id()
    row = {
        **asdict(plan),
        "run_id": run_id,
        "run_key": plan.run_key if number == 1 else f"{plan.run_key}#{number}",
        "status": "created",
        "provenance": "extracted",
        "created_at": now,
        "updated_at": now,
    }
    connection.execute(insert(RunRow).values(**row))
    return get_run(connection, run_id), False


def get_run(connection: Connection, run_id: str) -> Run:
    """Return one run by its id.

    Raises:
        VlmprobeError: another process removed it since its id was read.
    """
    found = fetch_as(Run, connection, _RUN_SQL + "WHERE runs.run_id = $id", {"id": run_id})
    if not found:
        raise VlmprobeError(
            f"run {run_id} was removed from {name_of(connection)} meanwhile; run the same command again"
        )
    return found[0]


def set_status(connection: Connection, run_id: str, status: str, **values: Any) -> None:
    """Set a run's status (``running``, ``complete``, ``interrupted``, ``failed``) and other columns.

    A run that is complete now gets its kept rows, any other has none; and its parts are complete.

    Raises:
        LeaseLostError: another process took the run over from this one.
        LeaseHeldError: another process has it.
    """
    now = utc_now()
    check_lease(connection, run_id)
    if status != "running":
        values["finished_at"] = now
    # Where the lease is a row's, whoever holds it gives it up.
    if not has_row_leases(connection):
        values.setdefault("lease", describe_self() if status == "running" else None)
    _update(connection, run_id, status=status, updated_at=now, **values)
    forget_rows(connection, run_id)
    if status == "complete":
        keep_rows(connection, run_id)
        # Whoever finished it: nothing is left of any part.
        of_run = update(RunPart).where(RunPart.run_id == run_id, RunPart.status != status)
        connection.execute(of_run.values(status=status, updated_at=now))


def renew_lease(connection: Connection, run_id: str) -> None:
    """Renew the lease that other hosts check; called with every shard."""
    lease = {} if has_row_leases(connection) else {"lease": describe_self()}
    _update(connection, run_id, updated_at=utc_now(), **lease)


def set_mlflow_run(connection: Connection, run_id: str, mlflow_run_id: str | None) -> None:
    """Store which MLflow run shows this run."""
    _update(connection, run_id, mlflow_run_id=mlflow_run_id)


def set_config(connection: Connection, run_id: str, config: dict[str, Any]) -> None:
    """Replace the config of a run."""
    _update(connection, run_id, config=config)


def _update(connection: Connection, run_id: str, **values: Any) -> None:
    connection.execute(update(RunRow).where(RunRow.run_id == run_id).values(**values))


def controls_of(connection: Connection, run_ids: Sequence[str]) -> list[Run]:
    """Return the control runs that serve some runs, whatever their status, by kind and age."""
    return fetch_as(
        Run,
        connection,
        _RUN_SQL
        + """
        WHERE runs.serves = ANY($run_ids)
        ORDER BY runs.serves, runs.control, runs.created_at, runs.run_id
        """,
        {"run_ids": list(run_ids)},
    )


def complete_runs(
    connection: Connection,
    *,
    families: Sequence[str] = (),
    scales: Sequence[str] = (),
    dataset_id: str | None = None,
    templates: Sequence[str] = (),
    controls: bool = False,
) -> list[Run]:
    """Return matching complete runs by family, samples seen and scale; an empty filter matches all.

    Control runs are among them only with ``controls``.
    """
    runs = fetch_as(
        Run,
        connection,
        _RUN_SQL
        + """
        WHERE runs.status = 'complete' AND ($controls OR runs.control IS NULL)
            AND ($families IS NULL OR runs.family = ANY($families))
            AND ($scales IS NULL OR runs.scale = ANY($scales))
            AND ($dataset_id IS NULL OR runs.dataset_id = $dataset_id)
        ORDER BY runs.family, runs.samples_seen NULLS LAST, runs.scale, runs.created_at
        """,
        {
            "families": list(families) or None,
            "scales": list(scales) or None,
            "dataset_id": dataset_id,
            "controls": controls,
        },
    )
    return [
        run for run in runs if not templates or any(is_under(run.template, wanted) for wanted in templates)
    ]
