"""Loads ``queries/``: one SELECT per file, whose header states question, grain and parameters.

    -- question: Which scale gets distance right?
    -- grain: one row per run
    -- param family text = null: only this family
    SELECT ...

Parameters are written ``$family`` in the SQL. One that is not declared, or declared and not used, is an error.
``-- compared: from_run to_run`` says which of them are runs that are compared pair by pair: their pairs have the same
ids only on one dataset, and the same questions only under one template. ``-- compared scales: ...`` says so of scales.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import InputError, UsageError, unknown_name
from vlmprobe.resources import queries_folder
from vlmprobe.store.rows import fetch, fetch_arrow, fetch_as

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from sqlalchemy import Connection

    from vlmprobe.store.rows import Row

__all__ = [
    "COMPARABLE_SQL",
    "SCALES_SQL",
    "Parameter",
    "Query",
    "check_comparable",
    "check_scales",
    "list_queries",
    "load_query",
    "queries_of_report",
]

_HEADER = re.compile(r"^--\s*(question|grain|compared|compared scales):\s*(.+)$")
_PARAM = re.compile(r"^--\s*param\s+(\w+)\s+(text|integer|real)\s*(?:=\s*([^:]*?))?\s*:\s*(.+)$")
_USED = re.compile(r"\$([A-Za-z_]\w*)")
_TYPES: dict[str, type] = {"text": str, "integer": int, "real": float}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter of a query."""

    name: str
    kind: str
    default: str | None
    """None if a value is required. ``null`` is the SQL NULL."""
    meaning: str


@dataclass(frozen=True, slots=True)
class Query:
    """One SQL file: its question, its grain and its parameters."""

    name: str
    question: str
    grain: str
    parameters: tuple[Parameter, ...]
    sql: str
    compared: tuple[str, ...] = ()
    """The parameters whose runs are compared pair by pair."""
    compared_scales: tuple[str, ...] = ()
    """The parameters whose scales, of parameter ``family``, are compared pair by pair."""

    def bind(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Turn text values into the query's parameters.

        Raises:
            UsageError: one is unknown, missing or of another type.
        """
        known = [parameter.name for parameter in self.parameters]
        for name in given:
            if name not in known:
                raise unknown_name(f"parameter of query {self.name}", name, known)
        return {parameter.name: self._value(parameter, given) for parameter in self.parameters}

    def fill(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Add the defaults of the parameters that have no value; unlike :meth:`bind`, ``"null"`` stays a text.

        Raises:
            UsageError: one is unknown or missing.
        """
        defaults = self.bind(dict.fromkeys(values, "null"))
        return {**defaults, **values}

    def table(self, connection: Connection, given: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run it; return its rows as they are, for a table to print."""
        return fetch(connection, self.sql, self._ready(connection, given or {}))

    def arrow(self, connection: Connection, given: Mapping[str, Any] | None = None) -> pa.Table:
        """Run it; return its rows as an Arrow table."""
        return fetch_arrow(connection, self.sql, self._ready(connection, given or {}))

    def rows(
        self,
        row_type: type[Row],
        connection: Connection,
        given: Mapping[str, Any],
        *,
        renamed: Mapping[str, str] | None = None,
        **same: Any,
    ) -> list[Row]:
        """Run it; return its rows as dataclasses, see :func:`vlmprobe.store.rows.fetch_as`."""
        return fetch_as(
            row_type, connection, self.sql, self._ready(connection, given), renamed=renamed, **same
        )

    def _ready(self, connection: Connection, given: Mapping[str, Any]) -> dict[str, Any]:
        values = self.fill(given)
        if self.compared:
            run_ids = [values[name] for name in self.compared]
            asked = dict(zip(("first", "second"), run_ids, strict=True))
            check_comparable(run_ids, fetch(connection, COMPARABLE_SQL, asked))
        if self.compared_scales:
            check_scales(self.scales(values), fetch(connection, SCALES_SQL, {"family": values["family"]}))
        return values

    def scales(self, values: Mapping[str, Any]) -> list[str]:
        """Return the scales that are compared."""
        return [str(values[name]) for name in self.compared_scales]

    def _value(self, parameter: Parameter, given: Mapping[str, str]) -> Any:
        text = given.get(parameter.name, parameter.default)
        if text is None:
            raise UsageError(
                f"query {self.name} needs --param {parameter.name}={parameter.kind.upper()}: {parameter.meaning}"
            )
        if text.lower() == "null":
            return None
        try:
            return _TYPES[parameter.kind](text)
        except ValueError:
            raise UsageError(
                f"query {self.name}: parameter {parameter.name} takes {parameter.kind}, not {text!r}"
            ) from None


#: For :func:`check_comparable`.
COMPARABLE_SQL = """
SELECT runs.run_id, runs.family, runs.scale, datasets.name AS dataset, runs.dataset_id, runs.template
FROM runs
INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
WHERE (runs.run_id = $first OR runs.run_id = $second) AND runs.control IS NULL
"""


def check_comparable(run_ids: Sequence[str], found: Sequence[Mapping[str, Any]]) -> None:
    """Check that two runs can be compared pair by pair.

    Args:
        run_ids: both runs.
        found: the rows of ``COMPARABLE_SQL`` for them.

    Raises:
        UsageError: there is no such run, or they are on two datasets or under two templates.
    """
    known = {row["run_id"]: row for row in found}
    for run_id in run_ids:
        if run_id not in known:
            raise UsageError(f"no run {str(run_id)[:40]!r}; list the run ids with 'vlmprobe runs --json'")
    first, second = (known[run_id] for run_id in run_ids)
    if first["dataset_id"] != second["dataset_id"]:
        what = "datasets", *(f"{row['dataset']} ({row['dataset_id'][:12]})" for row in (first, second))
    elif first["template"] != second["template"]:
        what = "templates", first["template"], second["template"]
    else:
        return
    names = " and ".join(f"{row['family']} @ {row['scale']}" for row in (first, second))
    raise UsageError(
        f"{names} are runs on different {what[0]} ({what[1]} and {what[2]}), so their pairs cannot be compared; "
        "choose two runs on one dataset under one template"
    )


#: For :func:`check_scales`.
SCALES_SQL = """
SELECT DISTINCT runs.scale, datasets.name AS dataset, runs.dataset_id, runs.template
FROM runs
INNER JOIN datasets ON runs.dataset_id = datasets.dataset_id
WHERE runs.family = $family AND runs.control IS NULL
ORDER BY runs.scale, datasets.name, runs.dataset_id, runs.template
"""


def check_scales(scales: Sequence[str], found: Sequence[Mapping[str, Any]]) -> None:
    """Check that two scales of a family have runs that can be compared pair by pair.

    Args:
        scales: both of them.
        found: the rows of ``SCALES_SQL`` for the family.

    Raises:
        UsageError: one has no run, or no dataset and template has runs of both.
    """
    places = [
        {(row["dataset_id"], row["template"]) for row in found if row["scale"] == scale} for scale in scales
    ]
    for scale, there in zip(scales, places, strict=True):
        if not there:
            known = ", ".join(sorted({str(row["scale"]) for row in found})) or "none"
            raise UsageError(f"no run of scale {scale[:40]!r}; scales of this family with runs: {known}")
    if not set.intersection(*places):
        on = " and ".join(
            ", ".join(
                f"{row['dataset']} ({row['dataset_id'][:12]}, {row['template']})"
                for row in found
                if row["scale"] == scale
            )
            for scale in scales
        )
        raise UsageError(
            f"{' and '.join(scales)} have no dataset and template in common ({on}), so their pairs cannot be compared"
        )


def list_queries() -> list[Query]:
    """Load every query; names are like ``accuracy/by_axis``."""
    folder = queries_folder()
    return [_load(folder, path) for path in sorted(folder.rglob("*.sql"))]


def load_query(name: str) -> Query:
    """Load one query by its name.

    Raises:
        UsageError: there is none of that name.
        InputError: its header is not right.
    """
    folder = queries_folder()
    names = [str(path.relative_to(folder).with_suffix("")) for path in sorted(folder.rglob("*.sql"))]
    if name not in names:
        raise unknown_name("query", name, names)
    return _load(folder, folder / f"{name}.sql")


def queries_of_report(run_ids: Sequence[str], *, over_templates: bool) -> dict[str, str]:
    """Return the SQL that gives a report's tables, for any DuckDB shell, and the shipped queries behind the others.

    Args:
        run_ids: the runs that the report is about.
        over_templates: whether it compares templates.
    """
    ids = ", ".join(f"'{run_id}'" for run_id in run_ids)
    shipped = ["consistency/peak_layers", *(["consistency/over_templates"] if over_templates else [])]
    return {
        "accuracy with its bounds": (
            "select family, scale, axis, n, acc_both, acc_both_low, acc_both_high from accuracy "  # noqa: S608 - printed
            f"where run_id in ({ids}) order by family, samples_seen, axis"
        ),
        "every metric, layer by layer": (
            "select family, scale, metric, subset, target, layer, value, ci_low, ci_high, n from consistency "  # noqa: S608
            f"where run_id in ({ids}) order by all"
        ),
        **{load_query(name).question: f"vlmprobe query {name}" for name in shipped},
    }


def _load(folder: Path, path: Path) -> Query:
    text = path.read_text(encoding="utf-8")
    header: dict[str, str] = {}
    parameters = []
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _HEADER.match(line):
            header[found.group(1)] = found.group(2).strip()
        elif found := _PARAM.match(line):
            parameters.append(Parameter(found.group(1), found.group(2), found.group(3), found.group(4)))
        elif line.startswith("-- param"):
            raise InputError(f"{path}:{number}: use '-- param NAME text|integer|real [= DEFAULT]: meaning'")
    body = "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip()
    missing = {"question", "grain"} - header.keys()
    if missing:
        raise InputError(f"{path}: the header lacks {' and '.join(sorted(missing))}")
    used, declared = set(_USED.findall(body)), {parameter.name for parameter in parameters}
    if used != declared:
        raise InputError(
            f"{path}: parameters undeclared: {sorted(used - declared)}, unused: {sorted(declared - used)}"
        )
    name = str(path.relative_to(folder).with_suffix(""))
    compared = tuple(header.get("compared", "").split())
    compared_scales = tuple(header.get("compared scales", "").split())
    return Query(
        name, header["question"], header["grain"], tuple(parameters), body, compared, compared_scales
    )
