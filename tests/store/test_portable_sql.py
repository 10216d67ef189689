"""SQL keeps to what DuckDB and Postgres share: each statement is written once and runs on both."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: What DuckDB alone has -> what both understand.
FORMS = {
    r"\blist_(position|contains|value|filter|transform)\s*\(": "array_position(ARRAY[...], x), x = ANY(...)",
    r"\b(ANTI|SEMI|ASOF)\s+JOIN\b": "[NOT] EXISTS (...)",
    r"\bQUALIFY\b": "row_number() in a subquery",
    r"\b(GROUP|ORDER)\s+BY\s+ALL\b": "the columns by name",
    r"\bAS\s+DOUBLE\b(?!\s+PRECISION)": "AS DOUBLE PRECISION",
    r"\bTRY_CAST\s*\(": "a CASE before the cast",
    r"\b(json_extract\w*|string_split|str_split)\s*\(": "config -> 'key', string_to_array(...)",
    r"(?<![\w.])len\s*\(": "length(...)",
    r"\bDESC\b(?!\s+NULLS\s+LAST)": "DESC NULLS LAST, since Postgres has NULLs first there",
    r"\bany_value\s*\(": "min(...)",
    r"\*\s+(EXCLUDE|REPLACE)\b": "the columns by name",
    r"\b(median|quantile\w*|arg_max|arg_min|max_by|min_by)\s*\(": "row_number() in a subquery",
    r"\b(printf|regexp_matches|strftime|struct_pack|unnest)\s*\(": "a form of both",
}
#: How a statement begins, in Python.
_STATEMENT = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE|FROM|WHERE|ORDER BY)\b")
#: What only one of the two databases is ever told.
_OF_ONE = {"duckdb_store.py", "backup.py", "sandbox.py", "revision.py", "foreign_sql.py"}


def _texts(path):
    """Return the texts of a Python file that are statements, those in pieces as one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            text = node.value
        else:
            continue
        if _STATEMENT.match(text):
            yield text


def statements():
    """Return (file, text) of all SQL but that of released views."""
    found = {}
    for folder in (
        "queries",
        "migrations/views/0003",
        "migrations/views/0004",
        "migrations/views/0006",
        "migrations/views/0008",
    ):
        for path in sorted((ROOT / folder).rglob("*.sql")):
            lines = path.read_text(encoding="utf-8").splitlines()
            found[path.relative_to(ROOT).as_posix()] = "\n".join(line.partition("--")[0] for line in lines)
    for path in sorted((ROOT / "vlmprobe" / "store").glob("*.py")):
        if path.name not in _OF_ONE and (texts := list(_texts(path))):
            found[path.relative_to(ROOT).as_posix()] = "\n".join(texts)
    return found


def offences():
    """Return (file, form) of DuckDB's own forms."""
    return {
        (file, form)
        for file, text in statements().items()
        for form in FORMS
        if re.search(form, text, re.IGNORECASE)
    }


def test_all_sql_is_read_by_both_databases():
    """The message says what to write instead."""
    assert {f"{file}: write {FORMS[form]}" for file, form in offences()} == set()


def test_statements_in_pieces_are_seen():
    """Most statements in Python are several literals, one after the other."""
    assert "starts_with" in statements()["vlmprobe/store/runs.py"]


@pytest.mark.parametrize(
    "text",
    ["SELECT len(x)", "select any_value(a) from t group by all", "SELECT CAST(a AS DOUBLE)", "a ANTI JOIN b"],
)
def test_forms_of_duckdb_alone_are_seen(text):
    """In any case of letters; DOUBLE PRECISION and length are of both."""
    assert any(re.search(form, text, re.IGNORECASE) for form in FORMS)
    both = "SELECT length(x), CAST(a AS DOUBLE PRECISION) FROM t GROUP BY x ORDER BY x"
    assert not any(re.search(form, both, re.IGNORECASE) for form in FORMS)
