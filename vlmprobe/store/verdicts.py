"""Verdicts of a run's axes in ``results_json``: one row, of the layer that they are about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vlmprobe.store.metrics import store_named_results
from vlmprobe.store.rows import fetch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

__all__ = ["NAME", "read_verdicts", "store_verdicts", "verdict_tags"]

#: In ``results_json``; its version is that of the rules.
NAME = "verdict"
_SUBSET = "all"


def read_verdicts(connection: Connection, run_id: str, version: int, layer: int) -> dict[str, Any] | None:
    """Return what is kept of a run's verdicts by one version of the rules in one layer."""
    found = fetch(
        connection,
        "SELECT value FROM results_json "
        "WHERE run_id = $id AND name = $name AND version = $version AND subset = $subset AND layer = $layer",
        {"id": run_id, "name": NAME, "version": version, "subset": _SUBSET, "layer": layer},
    )
    return json.loads(found[0]["value"]) if found else None


def store_verdicts(
    connection: Connection, run_id: str, version: int, layer: int, value: Mapping[str, Any]
) -> None:
    """Keep a run's verdicts in place of those that it has, of whatever layer and version."""
    row = {"name": NAME, "version": version, "subset": _SUBSET, "layer": layer, "value": value}
    store_named_results(connection, run_id, NAME, [row])


def verdict_tags(connection: Connection, run_id: str) -> dict[str, str]:
    """Return what MLflow shows of a run's verdicts: ``vlmprobe.verdict.<axis>`` -> the words."""
    rows = fetch(
        connection,
        "SELECT value FROM results_json WHERE run_id = $id AND name = $name ORDER BY version, layer",
        {"id": run_id, "name": NAME},
    )
    return {
        f"vlmprobe.verdict.{axis}": str(found["says"])
        for row in rows
        for axis, found in json.loads(row["value"])["axes"].items()
    }
