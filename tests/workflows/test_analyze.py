"""``analyze`` leaves alone what is up to date, and computes what is not."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.pairs.strata import Strata

from ..left_behind import change_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Change = Callable[[Path], None]


csv.field_size_limit(2**24)


@pytest.fixture(scope="module")
def data(benchmark: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy a benchmark of 24 rows, with a column of where pictures are from; the first two rows have one picture."""
    with benchmark(4).open(newline="") as file:
        read = list(csv.DictReader(file, delimiter="\t"))
    read[1]["image"] = read[0]["image"]
    for number, row in enumerate(read):
        row["data_source"] = ("mp3d", "mp3d", "scannet", "ai2thor", "")[number % 5]
    path = tmp_path_factory.mktemp("data") / "bench.tsv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(read[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(read)
    return path


@pytest.fixture(scope="module")
def home(inside: Any, data: Path, empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extract and analyze one scale on two pairs of each category."""
    path = tmp_path_factory.mktemp("home")
    shutil.copy(empty_mlflow, path / "mlflow.db")
    options = ("--scale", "2m", "--data", data, "--max-per-category", "2", "--home", path)
    inside("extract", "tiny", *options).ok()
    inside("analyze", "--home", path).ok()
    return path


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


METHOD = "SELECT DISTINCT method FROM metrics WHERE name = 'axis_test'"


def test_labels_are_permuted_within_strata_of_a_column(
    inside: Any, home: Path, data: Path, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Computed again where the strata are others, and only there. What is stored are the file's own values."""
    computed = _counted(monkeypatch)
    within = ("--strata", "data_source")
    _, err = _analyze(inside, home, *within)
    assert "bench: 23 images in 4 strata of data_source; 4 of them have an empty cell" in err
    assert rows(home, METHOD) == [("label permutation within strata of data_source",)]
    with data.open(newline="") as file:
        of_image = {
            hashlib.sha256(base64.b64decode(row["image"])).hexdigest(): row["data_source"]
            for row in csv.DictReader(file, delimiter="\t")
        }
    assert _stored_strata(home, rows) == Strata("data_source", of_image).facts
    _, err = _analyze(inside, home, *within)
    assert ("1 of 1 runs were up to date" in err, computed) == (True, [1])
    _analyze(inside, home)
    assert (rows(home, METHOD), _stored_strata(home, rows)) == ([("label permutation",)], None)
    assert computed == [1, 1]


def test_a_file_that_has_moved_is_named_with_data(
    inside: Any, home: Path, data: Path, tmp_path: Path
) -> None:
    """At its old place it is missed; where the user says that it is, it is read."""
    moved = tmp_path / "moved.tsv"
    with _moved(data, moved):
        (error,) = _refused(inside, home, "data_source")
        expected = f"bench: {data} is not there, so its column 'data_source' cannot be read; name the file's new place"
        assert error == f"error: {expected} with --data FILE"
        # The column is looked for in the file, so it was found and is the same.
        (error,) = _refused(inside, home, "plaice", "--data", moved, "--max-per-category", "2")
        listed = "index, question_id, category, question, image, answer, A, B, C, D, data_source"
        assert error == f"error: {moved} has no column 'plaice'; it has {listed}"


def test_a_file_that_has_changed_is_refused(inside: Any, home: Path, data: Path, tmp_path: Path) -> None:
    """Its lines might be those of other pairs."""
    with _moved(data, tmp_path / "kept.tsv"):
        data.write_text((tmp_path / "kept.tsv").read_text().replace("scannet", "replica"))
        (error,) = _refused(inside, home, "data_source")
    assert error.startswith(f"error: {data} is not as it was when bench was extracted (dataset ")
    assert error.endswith("restore it, or name an unchanged copy with --data FILE")


def test_a_column_that_differs_within_an_image_is_refused(inside: Any, home: Path, data: Path) -> None:
    """The first two rows have one picture and an index each."""
    (error,) = _refused(inside, home, "index")
    assert f"{data}: 'index' differs within an image: '0' on line 2, '1' on line 3; use a column" in error


def test_an_imported_study_has_no_columns(inside: Any, home: Path) -> None:
    """Its dataset's path is a folder of results."""
    change_rows(home, "UPDATE datasets SET form = 'imported'")
    try:
        (error,) = _refused(inside, home, "data_source")
    finally:
        change_rows(home, "UPDATE datasets SET form = 'embspatial'")
    assert (
        "bench was imported without its benchmark's file, so it has no column 'data_source'; choose" in error
    )


def _refused(inside: Any, home: Path, column: str, *options: object) -> list[str]:
    """Return the errors of an analysis that ends with exit code 2."""
    ran = inside("analyze", "--home", home, "--strata", column, *options)
    assert ran.code == 2
    return list(ran.errors)


def _stored_strata(home: Path, rows: Any) -> dict[str, str] | None:
    ((value,),) = rows(home, "SELECT value FROM results_json WHERE name = 'inputs'")
    found: dict[str, str] | None = json.loads(value).get("strata")
    return found


@contextmanager
def _moved(path: Path, to: Path) -> Iterator[None]:
    path.rename(to)
    try:
        yield
    finally:
        to.rename(path)


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


#: The fast tier has this one, and a number that was changed by hand in ``test_verify``.
QUICK = ("another array",)


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=() if what in QUICK else pytest.mark.full) for what in STALE]
)
def test_what_is_stale_is_computed(
    inside: Any, home: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has changed since: rows, arrays, the program, or the numbers themselves."""
    change, undo = STALE[what]
    computed = _counted(monkeypatch)
    change_rows(home, change)
    try:
        ran = inside("analyze", "--json", "--home", home)
    finally:
        change_rows(home, *([undo] if undo else []))
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
