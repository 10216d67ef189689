"""``vlmprobe verify`` sees what is damaged, lost or left over, says what to do, and mends what can be mended."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.store.lease import hold_lease

from ..left_behind import change_rows, read_left, read_rows
from ..postgres_server import copied_home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHARD_PAIRS = {"VLMPROBE_SHARD_PAIRS": "8"}
#: What a session that a crash ended leaves: whatever was kept of the run went when it began.
CUT_OFF = (
    "UPDATE runs SET status = 'running'; DELETE FROM kept_pair_answers; DELETE FROM kept_answer_counts; "
    "DELETE FROM kept_run_counts"
)


class Home:
    """A copy of an analyzed home of 24 pairs in three shards, which MLflow has."""

    def __init__(self, path: Path, data: Path, inside: Any, store: dict[str, str]) -> None:
        self.path, self._data, self._inside, self._store = path, data, inside, store

    def shard(self, number: int) -> Path:
        ((path,),) = read_rows(self.path, f"SELECT path FROM shards WHERE shard = {number}")
        return self.path / path

    def change(self, sql: str) -> None:
        change_rows(self.path, sql)

    def forget_mlflow(self) -> None:
        self.change("UPDATE shards SET artifact_uri = NULL, synced_at = NULL")

    def verify(self, *options: str, **environ: str) -> Any:
        return self._inside("verify", *options, "--home", self.path, **(self._store | environ))

    def extract(self) -> Any:
        command = ("extract", "tiny", "--scale", "2m", "--data", self._data, "--batch-size", 8)
        return self._inside(*command, "--home", self.path, **SHARD_PAIRS, **self._store)

    def wrong(self) -> str:
        """Return the one line that verify says."""
        ran = self.verify()
        assert ran.code == 1
        (line,) = ran.out.splitlines()
        assert line.startswith("wrong: ")
        return str(line)

    def repair(self) -> str:
        """Return what was repaired, and check that all is well then."""
        ran = self.verify("--repair").ok()
        (line,) = ran.out.splitlines()
        assert line.startswith("repaired: ")
        return str(line)


@pytest.fixture(scope="module")
def original(
    inside: Any,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Home:
    """Extract and analyze 24 pairs."""
    home = Home(tmp_path_factory.mktemp("original"), benchmark(4), inside, mlflow_store)
    home.extract().ok()
    inside("analyze", "tiny", "--home", home.path, **mlflow_store).ok()
    return home


@pytest.fixture
def home(
    original: Home, inside: Any, benchmark: Callable[..., Path], mlflow_store: dict[str, str], tmp_path: Path
) -> Home:
    """Give each test a copy to damage."""
    path = tmp_path / "home"
    return Home(copied_home(original.path, path), benchmark(4), inside, mlflow_store)


def test_a_home_that_nothing_happened_to_is_well(home: Home) -> None:
    """Nothing on stdout, a line of what was looked at, exit code 0; ``--repair`` has nothing to do."""
    for options in ((), ("--repair",)):
        ran = home.verify(*options).ok()
        assert ran.out == ""
        # On Postgres another line says that other hosts cannot read the shards.
        assert ran.err.splitlines()[-1] == "1 runs, 3 shards, 13 checks: all well"


def test_findings_are_for_machines_too(home: Home) -> None:
    """``--json``: where, problem, todo, repaired."""
    home.shard(2).unlink()
    home.forget_mlflow()
    ran = home.verify("--json")
    assert ran.code == 1
    lost, waiting = json.loads(ran.out)
    assert lost["where"] == str(home.shard(2))
    assert lost["problem"].startswith("tiny @ 2m: shard 2 of run")
    assert (lost["repaired"], waiting["repaired"]) == (False, False)
    assert "3 shards and 0 values are not in MLflow yet" in waiting["problem"]


@pytest.mark.parametrize(
    "damage",
    ["flipped", pytest.param("cut", marks=pytest.mark.full), pytest.param("emptied", marks=pytest.mark.full)],
)
def test_a_damaged_shard_is_replaced_by_the_copy_of_mlflow(home: Home, original: Home, damage: str) -> None:
    """Nothing is asked again, and the damaged file is kept aside."""
    path = home.shard(2)
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(
        {
            "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "cut": data[:-1],
            "emptied": b"",
        }[damage]
    )
    line = home.wrong()
    assert f"{path}: tiny @ 2m:" in line
    assert line.count(str(path)) == 1
    assert line.endswith("run 'vlmprobe verify --repair' to restore it from MLflow")

    renamed = path.with_suffix(".damaged").name
    assert f"restored from MLflow; the damaged file was renamed to {renamed}" in home.repair()
    home.verify().ok()
    assert read_left(home.path) == read_left(original.path)


def test_a_damaged_shard_without_a_copy_is_asked_again(home: Home, original: Home) -> None:
    """Its rows go, so that the same extraction asks these pairs, and these alone: bit for bit as before."""
    home.forget_mlflow()
    path = home.shard(3)
    path.write_bytes(path.read_bytes()[:100])
    found = home.verify()
    assert found.code == 1
    assert "then rerun the same 'vlmprobe extract' to redo its pairs" in found.out

    repaired = home.verify("--repair").ok()
    assert "its rows were removed; rerun the same 'vlmprobe extract' to redo its 8 pairs" in repaired.out
    assert read_rows(home.path, "SELECT status FROM runs") == [("interrupted",)]
    home.verify().ok()
    assert "8 pairs extracted, 16 reused, 0 failed of 24" in home.extract().ok().err
    home.verify().ok()
    assert read_left(home.path) == read_left(original.path)


def test_a_spool_that_is_not_there_at_all_is_not_given_up(home: Home) -> None:
    """A disk that is not mounted must not cost a night of rows."""
    home.forget_mlflow()
    folder = home.shard(1).parent
    folder.rename(home.path / "elsewhere")
    ran = home.verify("--repair")
    assert ran.code == 1
    assert ran.out.count("its folder is missing: restore it") == 3
    assert "'vlmprobe sync' once its shards are restored" in ran.out
    assert read_rows(home.path, "SELECT count(*) FROM predictions") == [(48,)]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("DELETE FROM predictions WHERE shard = 1 AND shard_row = 3", "2 of its answers have no row"),
        pytest.param(
            "UPDATE predictions SET text = 'up' WHERE shard = 1 AND shard_row = 3",
            "2 rows differ from it",
            marks=pytest.mark.full,
        ),
    ],
    ids=["removed", "changed"],
)
def test_rows_are_written_again_from_their_shard(
    home: Home, original: Home, change: str, problem: str
) -> None:
    """A shard holds its answers, so the rows of a whole shard can be had back."""
    home.change(change)
    found = home.verify()
    assert found.code == 1
    line = found.out.splitlines()[0]
    assert line.startswith(f"wrong: {home.shard(1)}: tiny @ 2m: {problem}")
    assert line.endswith("run 'vlmprobe verify --repair' to rewrite its rows from the file")

    assert "its rows were rewritten from the file" in home.verify("--repair").ok().out
    home.verify().ok()
    assert read_left(home.path) == read_left(original.path)


@pytest.mark.parametrize("table", ["kept_pair_answers", "kept_answer_counts", "kept_run_counts"])
def test_kept_rows_are_made_again_from_the_answers(home: Home, original: Home, table: str) -> None:
    """Views read them in place of the answers; ``db check`` finds what differs, of one run too."""
    sql = f"SELECT * FROM {table} ORDER BY ALL"
    home.change(f"DELETE FROM {table}")
    ((run_id,),) = read_rows(home.path, "SELECT run_id FROM runs")
    for options in ((), ("--run", run_id[-8:])):
        ran = home._inside("db", "check", "--json", *options, "--home", home.path)
        assert ran.code == 1
        broken = {row["check"] for row in json.loads(ran.out) if row["rows"]}
        assert f"checks/{table}" in broken
    assert home.wrong().endswith(
        "kept rows differ from its answers; run 'vlmprobe verify --repair' to make them again"
    )
    assert "they were made again" in home.repair()
    assert read_rows(home.path, sql) == read_rows(original.path, sql)


def test_a_run_that_is_not_there_is_not_checked(home: Home) -> None:
    """A mistyped id is no run without faults."""
    ran = home._inside("db", "check", "--run", "no-such-run", "--home", home.path)
    assert (ran.code, ran.out) == (2, "")
    assert "no run 'no-such-run'; list the run ids with 'vlmprobe runs'" in ran.err


def test_shards_that_a_crash_left_are_adopted(home: Home, original: Home) -> None:
    """As the next extraction would do."""
    third = home.shard(3).name
    home.change("DELETE FROM predictions WHERE shard = 3")
    home.change("DELETE FROM shards WHERE shard = 3")
    home.change(CUT_OFF)
    home.shard(1).with_name("00004.partial").touch()
    assert f"2 shards have no rows after a crash; the first is {third}" in home.wrong()

    assert "1 now have rows; incomplete ones were removed" in home.repair()
    assert read_left(home.path) == read_left(original.path)


@pytest.mark.of_a_file  # it holds the lock beside the file
def test_a_run_at_work_keeps_its_spool_to_itself(home: Home) -> None:
    """What has no rows yet will have them in a moment: neither wrong nor to be repaired."""
    home.change("DELETE FROM predictions WHERE shard = 3")
    home.change("DELETE FROM shards WHERE shard = 3")
    home.change(CUT_OFF)
    ((key,),) = read_rows(home.path, "SELECT run_key FROM runs")
    with hold_lease(home.path / "vlmprobe.duckdb", key):
        ran = home.verify("--repair").ok()
    assert ran.err.splitlines() == [
        "tiny @ 2m: being extracted; its spool is left unchanged",
        "1 runs, 2 shards, 13 checks: all well",
    ]


@pytest.mark.full
def test_what_mlflow_lacks_is_delivered(home: Home) -> None:
    """Without MLflow it stays a finding that names the command."""
    home.change("UPDATE shards SET synced_at = NULL WHERE shard = 2")
    assert "1 shards and 0 values are not in MLflow yet; run 'vlmprobe sync' or" in home.wrong()
    away = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    assert "'vlmprobe sync' once MLflow is back" in home.verify("--repair", **away).out
    assert home.repair().endswith("delivered")
    home.verify().ok()


def test_a_folder_of_a_run_that_the_database_does_not_know_is_told(home: Home) -> None:
    """An older copy of the database was put back, say: nothing is removed."""
    stranger = home.path / "spool" / "another-run"
    stranger.mkdir()
    shutil.copy(home.shard(1), stranger)
    line = home.wrong()
    assert f"{stranger}: 1 shards of a run that the database does not have" in line
    assert home.verify("--repair").code == 1
    assert (stranger / home.shard(1).name).exists()


def test_the_checks_of_the_database_are_part_of_it(home: Home) -> None:
    """``db check`` asks them alone, without reading a shard."""
    home.change("UPDATE swap_pairs SET swap_expected = orig_expected WHERE position = 0")
    assert "checks/opposite_answers: 1 rows violate it" in home.wrong()
    assert home._inside("db", "check", "--home", home.path).code == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE metrics SET value = value + 1e-9 WHERE layer = 2 AND target = 'vertical'",
        pytest.param("UPDATE metrics SET ci_low = ci_low - 0.1 WHERE layer = -1", marks=pytest.mark.full),
        pytest.param("DELETE FROM metrics WHERE layer = 2", marks=pytest.mark.full),
        pytest.param("DELETE FROM metrics", marks=pytest.mark.full),
        pytest.param(
            "UPDATE results_json SET value = '{\"layers\": [0]}' WHERE name = 'layer_candidates'",
            marks=pytest.mark.full,
        ),
        pytest.param("UPDATE results_json SET value = '[]' WHERE name = 'digest'", marks=pytest.mark.full),
        # What is read is the newest version: analyze must not take this one in.
        pytest.param(
            "INSERT INTO results_json SELECT * REPLACE (99 AS version) FROM results_json",
            marks=pytest.mark.full,
        ),
        # Nothing that Python's JSON reads.
        pytest.param(
            "INSERT INTO results_json SELECT * REPLACE "
            "('x' AS name, repeat('[', 20000) || repeat(']', 20000) AS value) "
            "FROM results_json WHERE name = 'digest'",
            marks=pytest.mark.full,
        ),
        pytest.param(
            "INSERT INTO results_json SELECT * REPLACE ('x' AS name, repeat('1', 5000) AS value) "
            "FROM results_json WHERE name = 'digest'",
            marks=pytest.mark.full,
        ),
    ],
)
def test_metrics_that_were_changed_or_removed_are_computed_again(
    home: Home, original: Home, change: str
) -> None:
    """``verify`` names the run; ``analyze`` gives the values that it gave before."""
    home.change(change)
    line = home.wrong()
    assert "tiny @ 2m: its metrics differ from those that were computed" in line
    assert line.endswith("run 'vlmprobe analyze tiny --scale 2m' to recompute them")

    home._inside("analyze", "tiny", "--scale", "2m", "--home", home.path, **home._store).ok()
    home.verify().ok()
    assert read_left(home.path) == read_left(original.path)


def test_metrics_of_a_run_that_lost_pairs_wait_for_its_extraction(home: Home) -> None:
    """Analysis takes complete runs alone; a family's name may have a space, when it was imported."""
    home.change(CUT_OFF)
    home.change("UPDATE runs SET family = 'my model'; DELETE FROM metrics WHERE layer = 2")
    assert home.wrong().endswith(
        "complete the run with the same 'vlmprobe extract', then run "
        "'vlmprobe analyze 'my model' --scale 2m' to recompute them"
    )


def test_metrics_of_before_there_was_a_digest_are_taken_as_they_are(home: Home) -> None:
    """An upgraded database says nothing until its runs are analyzed again."""
    home.change("DELETE FROM results_json WHERE name = 'digest'; DELETE FROM metrics WHERE layer = 2")
    home.verify().ok()


@pytest.mark.full
def test_intervals_that_do_not_cover_are_named_until_they_are_computed_again(home: Home) -> None:
    """A home of an earlier version has them, and p-values that are wrong, without a word about their method."""
    old = "SET method = NULL, n_images = NULL, reason = NULL, ci_low = 0.25, ci_high = 0.5"
    home.change(
        f"UPDATE metrics {old} WHERE name = 'vd_ei.pooled'; DELETE FROM results_json WHERE name = 'digest'"
    )
    line = home.wrong()
    assert "1 runs hold intervals or p-values of an earlier version, of which some do not cover" in line
    assert line.endswith("run 'vlmprobe analyze' to compute them again")
    home._inside("analyze", "--force", "--home", home.path, **home._store).ok()
    home.verify().ok()


@pytest.mark.parametrize(
    "delivered",
    [pytest.param(True, id="MLflow has it"), pytest.param(False, id="the only copy", marks=pytest.mark.full)],
)
def test_a_shard_that_cannot_be_read_now_is_not_given_up(home: Home, delivered: bool) -> None:
    """A disk that is slow or a right that is missing says nothing about the content: no row goes, no file moves."""
    path = home.shard(2)
    kept = path.read_bytes()
    path.unlink()
    path.mkdir()  # for root, too, a folder is no file that opens
    if not delivered:
        home.forget_mlflow()
    before = read_rows(home.path, "SELECT count(*) FROM predictions")

    ran = home.verify("--repair")

    assert ran.code == 1
    assert f"{path}: tiny @ 2m: cannot be checked: {path}: cannot be read: Is a directory" in ran.out
    assert read_rows(home.path, "SELECT count(*) FROM predictions") == before
    path.rmdir()
    path.write_bytes(kept)
    home.verify("--repair").ok()


def test_a_damaged_download_does_not_cost_the_rows(home: Home, tmp_path: Path) -> None:
    """The spool's file went by ``sync --prune``; what MLflow gives back may be right the next time."""
    home.shard(2).unlink()
    copy = tmp_path / "00002.safetensors"
    copy.write_bytes(b"half")
    home.change(f"UPDATE shards SET artifact_uri = '{copy.as_uri()}' WHERE shard = 2")

    ran = home.verify("--repair")

    assert ran.code == 1
    assert "cannot be checked: shard 2 of run" in ran.out
    assert "was damaged in the download" in ran.out
    assert read_rows(home.path, "SELECT count(*) FROM predictions") == [(48,)]


@pytest.mark.full
def test_a_home_that_was_moved_is_whole(home: Home, inside: Any, empty_mlflow: Path, tmp_path: Path) -> None:
    """Its rows name places in the home; the spool came along."""
    home.forget_mlflow()
    moved = tmp_path / "elsewhere"
    home.path.rename(moved)
    shutil.copy(empty_mlflow, moved / "mlflow.db")
    (told,) = json.loads(inside("analyze", "--json", "--home", moved).ok().out)
    assert (told["pairs"], told["new"], told["changed"]) == (24, 0, 0)
    inside("sync", "--home", moved).ok()
    inside("verify", "--home", moved).ok()


def test_files_outside_of_the_home_are_left_alone(home: Home, original: Home) -> None:
    """A database from elsewhere may name any file as its shard: it is neither moved nor removed."""
    foreign = home.path.parent / "id_rsa"
    foreign.write_text("mine")
    home.shard(2).unlink()
    home.change(f"UPDATE shards SET path = '{foreign}' WHERE shard = 2")

    ran = home.verify("--repair")

    assert ran.code == 1
    assert "so it was not changed" in ran.out
    assert foreign.read_text() == "mine"
    home.change(f"UPDATE shards SET path = '{home.path}/spool/../../id_rsa' WHERE shard = 2")
    home.verify("--repair")
    assert foreign.read_text() == "mine"


def test_a_run_whose_id_leads_elsewhere_is_told_and_not_touched(home: Home) -> None:
    """The spool of such a run would be any folder of this machine."""
    victim = home.path.parent / "victim"
    victim.mkdir()
    (victim / "00007.partial").write_text("mine")
    for table in ("predictions", "shards", "metrics", "certificates", "failures", "results_json"):
        home.change(f"DELETE FROM {table}")
    home.change("UPDATE runs SET run_id = '../../victim'")

    ran = home.verify("--repair")

    assert ran.code == 1
    assert "run '../../victim' cannot be part of a file name" in ran.out
    assert (victim / "00007.partial").read_text() == "mine"


def test_answers_that_were_discarded_do_not_come_back(home: Home) -> None:
    """A later shard answered pairs of the first anew, and is lost: they are asked again, not taken from the first."""
    home.forget_mlflow()
    home.change("UPDATE predictions SET shard = 3 WHERE shard = 1")
    path = home.shard(3)
    path.write_bytes(path.read_bytes()[:100])
    for _ in range(2):
        home.verify("--repair")
    assert read_rows(home.path, "SELECT DISTINCT shard FROM predictions ORDER BY 1") == [(2,)]
    assert read_rows(home.path, "SELECT status FROM runs") == [("interrupted",)]
