"""The two threads behind an extraction: rows first, then uploads."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlflow import MlflowClient
from sqlalchemy.exc import IntegrityError

from vlmprobe.errors import TrackingError
from vlmprobe.store.committer import Committer, adopt_orphans
from vlmprobe.store.delivery import Delivery, _relink, upload_shards
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.run_edits import rename_run
from vlmprobe.store.runs import get_run
from vlmprobe.store.shards import FailureRecord, write_shard
from vlmprobe.store.storage import Storage
from vlmprobe.store.tracking import Tracker

from ..command_line import PATIENCE_S

if TYPE_CHECKING:
    from vlmprobe.settings import Settings

ROWS = "SELECT shard, pair_id, text FROM predictions WHERE side = 'orig' ORDER BY pair_id"
HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""

EXTRACT = """
import sys
from pathlib import Path
import numpy as np
from vlmprobe.errors import TrackingError
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.committer import Committer
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.shards import Answer, ShardContent, write_shard
from vlmprobe.store.storage import Storage

class Away:
    def ensure_run(self, run):
        raise TrackingError("away")

committer = Committer(Storage(DuckDBStore(Path(sys.argv[1])), Away(), Path()), "r1")
states = np.zeros((1, 1, 2, 4), dtype=np.float32)
for number in range(1, 9):
    pair = str(number)
    answers = tuple(Answer(pair, side, "left", None, True, "c", None, True, None) for side in ("orig", "swap"))
    content = ShardContent("r1", number, (pair,), states, "float32", (0,), answers)
    committer.submit(write_shard(Path(sys.argv[2]), content))
    print(number, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def spool(settings: Settings) -> Path:
    """Name the folder where the run's shards wait."""
    return settings.spool / "r1"


@pytest.fixture
def run(study: Any) -> Any:
    """Make a run of eight pairs."""
    study.pairs({str(i): "left" for i in range(1, 9)})
    return study.run("r1")


def test_shards_become_rows_in_order_and_artifacts(
    local_mlflow: Settings, study: Any, run: Any, spool: Path, shard_content: Any
) -> None:
    """Close waits for both; failures in between are rows as well."""
    committer = Committer(Storage(study.database, Tracker(local_mlflow), Path()), "r1")
    committer.submit(write_shard(spool, shard_content(1, ("1", "2"))))
    committer.submit_failures([FailureRecord("5", "ValueError", "no")])
    committer.submit(write_shard(spool, shard_content(2, ("3",))))
    # Replaces what the first one holds: only right when the first one's rows are there already.
    committer.submit(write_shard(spool, shard_content(3, ("2",), replaces=True, text="right")))
    assert committer.close() == Delivery(uploaded=3, waiting=0)
    assert committer.pending == 0
    assert study.rows(ROWS) == [(1, "1", "left"), (3, "2", "right"), (2, "3", "left")]
    assert study.rows("SELECT pair_id, message FROM failures") == [("5", "no")]
    assert study.broken_checks() == []
    assert study.rows("SELECT count(*) FROM shards WHERE synced_at IS NULL") == [(0,)]
    uploaded = sorted(path.name for path in local_mlflow.artifacts.rglob("*.safetensors"))
    assert uploaded == ["00001.safetensors", "00002.safetensors", "00003.safetensors"]
    assert study.rows("SELECT mlflow_run_id IS NOT NULL FROM runs") == [(True,)]


def test_a_shard_is_uploaded_only_when_its_rows_are_there(
    settings: Settings, study: Any, run: Any, spool: Path, shard_content: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow never has what the database does not know."""
    seen = []

    def upload(self: Tracker, mlflow_run_id: str, path: Path, folder: str) -> str:
        seen.append((path.name, study.rows("SELECT count(*) FROM shards WHERE synced_at IS NULL")))
        return f"there/{path.name}"

    monkeypatch.setattr(Tracker, "ensure_run", lambda *_: "m1")
    monkeypatch.setattr(Tracker, "upload", upload)
    committer = Committer(Storage(study.database, Tracker(settings), Path()), "r1")
    committer.submit(write_shard(spool, shard_content(1, ("1",))))
    committer.close()
    assert seen == [("00001.safetensors", [(1,)])]
    assert study.rows("SELECT artifact_uri FROM shards") == [("there/00001.safetensors",)]


def test_what_a_deleted_mlflow_run_had_goes_to_the_new_one_as_well(
    local_mlflow: Settings, study: Any, run: Any, spool: Path, shard_content: Any
) -> None:
    """Someone deletes the run in MLflow before the run goes on: its first shards are delivered again."""
    tracker = Tracker(local_mlflow)
    first = Committer(Storage(study.database, tracker, Path()), "r1")
    first.submit(write_shard(spool, shard_content(1, ("1",))))
    first.close()
    ((deleted,),) = study.rows("SELECT mlflow_run_id FROM runs")
    MlflowClient(local_mlflow.tracking_uri).delete_run(deleted)

    second = Committer(Storage(study.database, tracker, Path()), "r1")
    second.submit(write_shard(spool, shard_content(2, ("2",))))
    second.close()

    ((now,),) = study.rows("SELECT mlflow_run_id FROM runs")
    assert now != deleted
    assert study.rows("SELECT shard FROM shards WHERE synced_at IS NULL") == [(1,)]


def test_a_new_mlflow_run_leaves_what_another_host_wrote_meanwhile(study: Any) -> None:
    """Between the look at a run and its new link, minutes of fetching, it may have been renamed."""
    seen = study.run(
        "r1", mlflow_run_id="deleted", config={"identity": {"scale": "80k"}, "mlflow_outdated": True}
    )
    with study.database.transaction() as connection:
        rename_run(connection, seen, "81k", (None, None))
    linked = _relink(study.database, seen, "new")
    assert (linked.mlflow_run_id, linked.is_outdated) == ("new", False)
    assert (linked.scale, linked.config["identity"]) == ("81k", {"scale": "81k"})
    with study.database.transaction(write=False) as connection:
        assert get_run(connection, "r1") == linked


def test_without_mlflow_the_rows_are_written_and_the_shards_wait(
    mlflow_away: Settings, study: Any, run: Any, spool: Path, shard_content: Any
) -> None:
    """After two failures in a row the rest is not even tried; the problem is told in one line."""
    committer = Committer(Storage(study.database, Tracker(mlflow_away), Path()), "r1")
    for number in range(1, 6):
        committer.submit(write_shard(spool, shard_content(number, (str(number),))))
    delivery = committer.close()
    assert (delivery.uploaded, delivery.waiting) == (0, 5)
    assert delivery.problem is not None
    assert str(delivery.problem).startswith("MLflow at http://127.0.0.1:1: ")
    assert "\n" not in str(delivery.problem)
    assert study.rows("SELECT count(*) FROM predictions") == [(10,)]
    assert study.rows("SELECT count(*) FROM shards WHERE synced_at IS NULL") == [(5,)]
    assert len(list(spool.glob("*.safetensors"))) == 5
    assert study.broken_checks() == []


def test_one_failed_upload_does_not_stop_the_others(
    settings: Settings, study: Any, run: Any, spool: Path, shard_content: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patience counts failures in a row."""
    tried: list[str] = []

    def upload(self: Tracker, mlflow_run_id: str, path: Path, folder: str) -> str:
        tried.append(path.stem)
        if path.name != "00003.safetensors":
            raise TrackingError("busy")
        return "there"

    monkeypatch.setattr(Tracker, "ensure_run", lambda *_: "m1")
    monkeypatch.setattr(Tracker, "upload", upload)
    shards = [(number, spool / f"{number:05d}.safetensors") for number in (1, 3, 4, 5, 6)]
    delivery = upload_shards(Storage(study.database, Tracker(settings), Path()), "r1", shards)
    assert (delivery.uploaded, delivery.waiting, str(delivery.problem)) == (1, 4, "busy")
    assert tried == ["00001", "00003", "00004", "00005"]


def test_a_failure_in_the_thread_is_raised_in_the_main_thread(
    settings: Settings, study: Any, run: Any, spool: Path, shard_content: Any
) -> None:
    """By the next shard at the latest, and by close; the shards stay in the spool."""
    certificate = {"batch": 0}
    committer = Committer(Storage(study.database, Tracker(settings), Path()), "r1")
    committer.submit(write_shard(spool, shard_content(1, ("1",), certificates=(certificate,))))
    next_one = write_shard(spool, shard_content(2, ("2",)))

    deadline = time.monotonic() + PATIENCE_S
    with pytest.raises(IntegrityError, match="NOT NULL constraint failed"):  # noqa: PT012 - sooner or later
        while time.monotonic() < deadline:
            committer.submit(next_one)
            time.sleep(0.01)
    with pytest.raises(IntegrityError, match="NOT NULL constraint failed"):
        committer.submit_failures([FailureRecord("5", "ValueError", "no")])
    with pytest.raises(IntegrityError, match="NOT NULL constraint failed"):
        committer.close()
    assert study.rows("SELECT count(*) FROM shards") == [(0,)]
    assert len(list(spool.glob("*.safetensors"))) == 2


def test_extraction_goes_on_while_someone_else_holds_the_database(
    mlflow_away: Settings, study: Any, run: Any, spool: Path, shard_content: Any, child: Any
) -> None:
    """Shards pile up in the spool and their rows follow."""
    holder = child(HOLD, study.database.path)
    assert holder.read() == "held"
    waits = threading.Event()
    database = DuckDBStore(study.database.path, warn=lambda _: waits.set())
    committer = Committer(Storage(database, Tracker(mlflow_away), Path()), "r1")
    for number in (1, 2, 3):
        committer.submit(write_shard(spool, shard_content(number, (str(number),))))
    assert waits.wait(PATIENCE_S)
    assert committer.pending == 3
    closing = threading.Thread(target=committer.close)
    closing.start()
    assert closing.is_alive()
    holder.finish()
    closing.join(PATIENCE_S)
    assert study.rows("SELECT count(*) FROM shards") == [(3,)]


def test_shards_without_rows_are_adopted(
    study: Any, run: Any, spool: Path, shard_content: Any, tmp_path: Path
) -> None:
    """After a crash: whole shards become rows, halves are removed, and another run's are left alone."""
    write_shard(spool, shard_content(1, ("1", "2")))
    write_shard(spool, shard_content(2, ("2",), replaces=True, text="right"))
    cut = write_shard(spool, shard_content(3, ("3",))).path
    cut.write_bytes(cut.read_bytes()[:-1])
    (spool / "00004.partial").write_bytes(b"half")
    write_shard(spool, shard_content(5, ("5",), run_id="r2"))
    (spool / "notes.safetensors").touch()
    told: list[str] = []
    assert adopt_orphans(study.database, spool, "r1", warn=told.append) == 2
    assert len(told) == 1
    assert told[0].startswith(f"{cut}: truncated")
    assert told[0].endswith("the file was removed, and its pairs will be extracted again")
    assert study.rows(ROWS) == [(1, "1", "left"), (2, "2", "right")]
    left = sorted(path.name for path in spool.iterdir())
    assert left == ["00001.safetensors", "00002.safetensors", "00005.safetensors", "notes.safetensors"]
    assert adopt_orphans(study.database, spool, "r1") == 0
    assert study.broken_checks() == []


def test_a_shard_written_twice_by_an_interruption_counts_once(
    study: Any, run: Any, spool: Path, shard_content: Any
) -> None:
    """Ctrl-C between the file and its number: the same pairs lie in two shards, and have one row."""
    write_shard(spool, shard_content(1, ("1", "2")))
    write_shard(spool, shard_content(2, ("1", "2")))
    assert adopt_orphans(study.database, spool, "r1") == 2
    assert study.rows("SELECT shard, n_pairs FROM shards ORDER BY shard") == [(1, 2), (2, 0)]
    assert study.broken_checks() == []


def test_a_run_without_a_spool_has_no_orphans(study: Any, run: Any, tmp_path: Path) -> None:
    """Nothing is made."""
    assert adopt_orphans(study.database, tmp_path / "none", "r1") == 0


@pytest.mark.parametrize("kills", [1, pytest.param(8, marks=pytest.mark.full)])
def test_a_kill_at_any_time_loses_and_doubles_nothing(
    study: Any, run: Any, spool: Path, child: Any, kills: int
) -> None:
    """What is on disk when SIGKILL comes has its rows, once, after the next start has looked."""
    for kill in range(kills):
        extraction = child(EXTRACT, study.database.path, spool)
        for _ in range(kill + 1):
            extraction.read()
        extraction.kill()
        adopt_orphans(study.database, spool, "r1")
        on_disk = len(list(spool.glob("*.safetensors")))
        assert on_disk > kill
        assert study.rows("SELECT count(*), count(DISTINCT pair_id) FROM predictions") == [
            (2 * on_disk, on_disk)
        ]
        assert study.rows("SELECT count(*) FROM shards") == [(on_disk,)]
        assert study.broken_checks() == []
