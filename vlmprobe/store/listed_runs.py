"""Runs as listings show them: with how many pairs they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.store.queries import load_query

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

__all__ = ["ListedRun", "list_runs"]


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run with its counts, for listings."""

    run_id: str
    family: str
    scale: str
    dataset: str
    template: str
    status: str
    pairs: int
    """Pairs with an answer."""
    failed: int
    """Pairs that failed and have no answer."""
    unnamed: int
    """Answers that name neither of their two options."""
    layers: int | None
    dtype: str | None
    device: str | None
    checkpoint: str
    created_at: datetime
    notes: str
    """What a reader has to know about the weights and the prompts."""
    control: str | None
    """What kind of control it is; None = a real run."""
    serves: str | None
    """Of a control: the id of the run that it serves."""


def list_runs(connection: Connection, *, controls: bool = False) -> list[ListedRun]:
    """Return every real run with its counts, oldest first; with ``controls`` the control runs too."""
    renamed = {"n_pairs": "pairs", "n_failed": "failed", "n_unnamed": "unnamed", "n_layers": "layers"}
    given = {"controls": "also"} if controls else {}
    return load_query("runs/listed").rows(ListedRun, connection, given, renamed=renamed)
