"""``analyze`` leaves alone what is up to date, and computes what is not."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Change = Callable[[Path], None]


@pytest.fixture(scope="module")
def home(inside: Any, benchmark: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extract and analyze one scale on two pairs of each category."""
    path = tmp_path_factory.mktemp("home")
    options = ("--scale", "2m", "--data", benchmark(4), "--max-per-category", "2", "--home", path)
    inside("extract", "tiny", *options).ok()
    inside("analyze", "--home", path).ok()
    return path


def _sql(home: Path, *statements: str) -> None:
    with closing(duckdb.connect(str(home / "vlmprobe.duckdb"))) as database:
        for statement in statements:
            database.execute(statement)


def _analyze(inside: Any, home: Path, *options: str) -> tuple[dict[str, Any], str]:
    ran = inside("analyze", "--json", "--home", home, *options).ok()
    (row,) = json.loads(ran.out)
    return row, ran.err


def test_what_is_up_to_date_is_left_alone(inside: Any, home: Path, rows: Any) -> None:
    """No array is read: it works without them. The numbers keep their times."""
    before = rows(home, "SELECT * FROM metrics ORDER BY ALL")
    spool = home / "spool"
    spool.rename(home / "elsewhere")
    try:
        row, err = _analyze(inside, home)
    finally:
        (home / "elsewhere").rename(spool)
    assert (row["pairs"], row["new"], row["changed"], row["unchanged"]) == (12, 0, 0, len(before))
    assert "1 of 1 runs were up to date and are as they were; --force computes them again" in err
    assert rows(home, "SELECT * FROM metrics ORDER BY ALL") == before


def test_force_computes_it_again(inside: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers, so nothing changes."""
    computed = _counted(monkeypatch)
    row, err = _analyze(inside, home, "--force")
    assert (row["new"], row["changed"], row["unchanged"] > 100) == (0, 0, True)
    assert "up to date" not in err
    assert computed == [1]


#: What makes stored numbers stale -> statements that do it, and those that undo it.
STALE = {
    "a number that was changed by hand": (
        "UPDATE metrics SET value = value + 1 WHERE name = 'axis_coherence' AND layer = 1 AND value IS NOT NULL",
        None,
    ),
    "numbers that are gone": ("DELETE FROM metrics WHERE layer = 2", None),
    "an answer that counts otherwise": (
        "UPDATE predictions SET correct = NOT correct WHERE side = 'orig'",
        "UPDATE predictions SET correct = NOT correct WHERE side = 'orig'",
    ),
    "pairs of other images": ("UPDATE swap_pairs SET image_sha256 = ''", None),
    "another array": (
        "UPDATE shards SET sha256 = upper(sha256)",
        "UPDATE shards SET sha256 = lower(sha256)",
    ),
    "no word of what they were computed from": ("DELETE FROM results_json WHERE name = 'inputs'", None),
    "another version of vlmprobe": (
        "UPDATE results_json SET value = replace(value, '\"vlmprobe\"', '\"vlmprobe_\"') WHERE name = 'inputs'",
        None,
    ),
}


#: The fast tier has these.
QUICK = ("a number that was changed by hand", "another array")


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=() if what in QUICK else pytest.mark.full) for what in STALE]
)
def test_what_is_stale_is_computed(
    inside: Any, home: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has changed since: rows, arrays, the program, or the numbers themselves."""
    change, undo = STALE[what]
    computed = _counted(monkeypatch)
    _sql(home, change)
    try:
        ran = inside("analyze", "--json", "--home", home)
    finally:
        _sql(home, *([undo] if undo else []))
        monkeypatch.undo()
        inside("analyze", "--force", "--home", home).ok()
    assert "up to date" not in ran.err
    # The array is not as its row says, which stops it: what counts is that it was looked at.
    assert computed == [1] or "is damaged" in ran.err


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the runs whose metrics are computed."""
    from vlmprobe.workflows import analyze

    computed: list[int] = []
    compute = analyze.run_metrics

    def counting(*arguments: Any) -> Any:
        computed.append(1)
        return compute(*arguments)

    monkeypatch.setattr(analyze, "run_metrics", counting)
    return computed
