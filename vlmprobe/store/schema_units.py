"""The tables of work that several machines share: units that were submitted, and parts of one run."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - SQLAlchemy reads the annotations

from sqlalchemy import JSON
from sqlalchemy.orm import Mapped, mapped_column

from vlmprobe.store.schema_base import Base

__all__ = ["RunPart", "UnitRow"]


class UnitRow(Base):
    """One unit of a submission: commands that one machine runs one after the other."""

    __tablename__ = "units"
    submission: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    engine: Mapped[str]
    commands: Mapped[list[list[str]]] = mapped_column(JSON)
    folder: Mapped[str]
    family: Mapped[str]
    scale: Mapped[str]
    dataset_id: Mapped[str]
    templates: Mapped[list[str]] = mapped_column(JSON)
    part: Mapped[str | None]
    log: Mapped[str | None]
    job: Mapped[str | None]
    submitted_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    host: Mapped[str | None]
    process: Mapped[int | None]
    token: Mapped[str | None]
    seen: Mapped[float | None]
    attempts: Mapped[int]
    state: Mapped[str]
    error: Mapped[str | None]


class RunPart(Base):
    """One of several parts of a run, each of which one process extracts."""

    __tablename__ = "run_parts"
    run_id: Mapped[str] = mapped_column(primary_key=True)
    n_parts: Mapped[int] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str]
    lease: Mapped[str | None]
    updated_at: Mapped[datetime]
