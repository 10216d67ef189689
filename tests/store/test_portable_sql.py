"""SQL keeps to what DuckDB and Postgres share, since a second database is to follow; older files are listed."""

from __future__ import annotations

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
    r"(?<![\w.])len\s*\(": "length(...)",
    r"\bany_value\s*\(": "min(...)",
    r"\*\s+(EXCLUDE|REPLACE)\b": "the columns by name",
    r"\b(median|quantile\w*|arg_max|arg_min|max_by|min_by)\s*\(": "row_number() in a subquery",
    r"\b(printf|regexp_matches|strftime|struct_pack|unnest)\s*\(": "a form of both",
}
#: Written before there was to be a second database: they are rewritten when it comes.
OLDER = {
    "queries/checks/answers_have_shards.sql",
    "queries/checks/complete_runs_are_whole.sql",
    "queries/checks/datasets_exist.sql",
    "queries/checks/pairs_exist.sql",
    "queries/checks/runs_exist.sql",
    "queries/consistency/over_templates.sql",
    "queries/consistency/peak_layers.sql",
    "queries/merge/scales.sql",
    "vlmprobe/store/arrays.py",
}
#: In Python, what stands between the quotes of a statement.
_STATEMENT = re.compile(r'"""\s*((?:SELECT|WITH|INSERT|UPDATE|DELETE)\b.*?)"""', re.DOTALL)


def statements():
    """Return (file, text) of all SQL but that of released views."""
    found = {}
    for folder in ("queries", "migrations/views/0003", "migrations/views/0004"):
        for path in sorted((ROOT / folder).rglob("*.sql")):
            lines = path.read_text(encoding="utf-8").splitlines()
            found[path.relative_to(ROOT).as_posix()] = "\n".join(line.partition("--")[0] for line in lines)
    for path in sorted((ROOT / "vlmprobe" / "store").glob("*.py")):
        if texts := _STATEMENT.findall(path.read_text(encoding="utf-8")):
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


def test_new_sql_is_read_by_both_databases():
    """The message says what to write instead."""
    new = {f"{file}: write {FORMS[form]}" for file, form in offences() if file not in OLDER}
    assert new == set()


def test_the_list_of_older_files_only_shrinks():
    """A file that was rewritten leaves it."""
    assert {file for file, _ in offences()} == OLDER


@pytest.mark.parametrize(
    "text",
    ["SELECT len(x)", "select any_value(a) from t group by all", "SELECT CAST(a AS DOUBLE)", "a ANTI JOIN b"],
)
def test_forms_of_duckdb_alone_are_seen(text):
    """In any case of letters; DOUBLE PRECISION and length are of both."""
    assert any(re.search(form, text, re.IGNORECASE) for form in FORMS)
    both = "SELECT length(x), CAST(a AS DOUBLE PRECISION) FROM t GROUP BY x ORDER BY x"
    assert not any(re.search(form, both, re.IGNORECASE) for form in FORMS)
