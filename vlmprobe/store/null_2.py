"""Null 2 of a run's scene in ``results_json``, where ``robustness`` keeps it for the notes of verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.store.metrics import read_results_json, store_named_results

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

__all__ = ["read_null_2", "store_null_2"]

_NAME, _VERSION, _SUBSET = "null_2", 1, "all"


def read_null_2(connection: Connection, run_id: str) -> dict[str, Any] | None:
    """Return what is kept of a run's Null 2; None if nothing is."""
    return read_results_json(connection, run_id, _NAME, _SUBSET)


def store_null_2(connection: Connection, run_id: str, value: Mapping[str, Any]) -> None:
    """Keep a run's Null 2 in place of what was kept."""
    row = {"name": _NAME, "version": _VERSION, "subset": _SUBSET, "layer": -1, "value": value}
    store_named_results(connection, run_id, _NAME, [row])
