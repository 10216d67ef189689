"""One file, many processes: every transaction opens it, and closes it again."""

from __future__ import annotations

import fcntl
import resource
import threading
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from sqlalchemy import text

from vlmprobe.errors import DatabaseError, DiskFullError
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.engine import file_lock
from vlmprobe.store.migrate import ensure_schema

from ..command_line import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""
WRITE = """
import sys
from pathlib import Path
from sqlalchemy import text
from vlmprobe.store.duckdb_store import DuckDBStore
database = DuckDBStore(Path(sys.argv[1]))
for i in range(int(sys.argv[3])):
    with database.transaction() as connection:
        connection.execute(text(f"INSERT INTO notes VALUES ('{sys.argv[2]}', {i})"))
"""


@pytest.fixture
def notes(tmp_path: Path) -> DuckDBStore:
    """Make a database with one table, in a folder that was not there."""
    database = DuckDBStore(tmp_path / "new" / "folder" / "notes.duckdb")
    with database.transaction() as connection:
        connection.execute(text("CREATE TABLE notes (who VARCHAR, i INTEGER, PRIMARY KEY (who, i))"))
    return database


def _notes(database: DuckDBStore) -> list[tuple[str, int]]:
    with database.transaction() as connection:
        return [
            tuple(row)
            for row in connection.execute(text("SELECT who, count(*) FROM notes GROUP BY 1 ORDER BY 1"))
        ]


def test_a_new_file_and_its_folder_are_made_on_first_use(tmp_path: Path) -> None:
    """Naming a database opens nothing; the first use creates and migrates it."""
    database = DuckDBStore(tmp_path / "a" / "b" / "new.duckdb")
    assert not database.exists()
    assert not database.path.parent.exists()
    ensure_schema(database)
    assert database.exists()
    with database.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM runs")).scalar_one() == 0


def test_an_exception_rolls_the_transaction_back(notes: DuckDBStore) -> None:
    """Nothing of a transaction that failed is in the file."""
    with pytest.raises(KeyError), notes.transaction() as connection:  # noqa: PT012 - both belong to it
        connection.execute(text("INSERT INTO notes VALUES ('half', 1)"))
        raise KeyError
    assert _notes(notes) == []


def test_the_file_is_free_between_transactions(notes: DuckDBStore, child: Any) -> None:
    """Another process can open the file while ours is idle, and we can once it has let go."""
    holder = child(HOLD, notes.path)
    assert holder.read() == "held"
    holder.finish()
    assert _notes(notes) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"index\tquestion\n" * 500, "is not a DuckDB database"),
        (b"hi", "is not a DuckDB database"),
        (b"", "is an empty file; delete it"),
        (b"SQLite format 3\0" + bytes(5000), "is not a DuckDB database"),
    ],
)
def test_a_file_of_another_kind_is_one_clear_line(tmp_path: Path, content: bytes, says: str) -> None:
    """The error names the file and how to name another, and leaves it as it is."""
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(DatabaseError) as caught:
        ensure_schema(DuckDBStore(path))
    line = str(caught.value)
    assert line.startswith(f"{path} {says}")
    assert "VLMPROBE_DATABASE_URL" in line
    assert "\n" not in line
    assert path.read_bytes() == content


def test_opening_a_file_downloads_nothing(notes: DuckDBStore) -> None:
    """DuckDB would otherwise fetch an extension for a file of another kind."""
    with notes.transaction() as connection:
        setting = text("SELECT current_setting('autoinstall_known_extensions')")
        assert connection.execute(setting).scalar_one() is False


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    """A folder where the file should be is said to be one."""
    with pytest.raises(DatabaseError, match="is a folder; VLMPROBE_DATABASE_URL needs a file"):
        ensure_schema(DuckDBStore(tmp_path))


def test_a_file_in_the_way_of_the_folder_is_one_clear_line(tmp_path: Path) -> None:
    """A folder that cannot be made is a DatabaseError, not a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match=r"cannot create the folder of .*new\.duckdb: "):
        ensure_schema(DuckDBStore(tmp_path / "file" / "new.duckdb"))


def test_a_foreign_process_is_waited_for_and_named_once(notes: DuckDBStore, child: Any) -> None:
    """While someone's DuckDB shell holds the file we wait, say its PID once, and then go on."""
    told: list[str] = []
    heard = threading.Event()

    def tell(line: str) -> None:
        told.append(line)
        heard.set()

    database = DuckDBStore(notes.path, warn=tell)
    holder = child(HOLD, notes.path)
    assert holder.read() == "held"
    done: list[list[tuple[str, int]]] = []
    waiting = threading.Thread(target=lambda: done.append(_notes(database)))
    waiting.start()
    assert heard.wait(PATIENCE_S)
    assert waiting.is_alive()
    holder.finish()
    waiting.join(PATIENCE_S)
    assert done == [[]]
    assert told == [
        f"{notes.path} is in use by process {holder.pid}; waiting for it "
        "(close that DuckDB session to continue)"
    ]


def test_two_processes_write_and_no_row_is_lost(notes: DuckDBStore, child: Any) -> None:
    """Processes of ours queue for the file: none of them fails."""
    writers = [child(WRITE, notes.path, who, 10) for who in ("a", "b")]
    for writer in writers:
        writer.finish()
    assert _notes(notes) == [("a", 10), ("b", 10)]


@pytest.mark.full
def test_six_processes_write_and_no_row_is_lost(notes: DuckDBStore, child: Any) -> None:
    """The same with more of everything."""
    writers = [child(WRITE, notes.path, who, 40) for who in "abcdef"]
    for writer in writers:
        writer.finish()
    assert _notes(notes) == [(who, 40) for who in "abcdef"]


@pytest.mark.full
def test_two_threads_write_and_no_row_is_lost(notes: DuckDBStore) -> None:
    """Threads take turns, with one Database or with one each."""

    def write(database: DuckDBStore, who: str) -> None:
        for i in range(10):
            with database.transaction() as connection:
                connection.execute(text(f"INSERT INTO notes VALUES ('{who}', {i})"))

    databases = {"a": notes, "b": notes, "c": DuckDBStore(notes.path)}
    threads = [threading.Thread(target=write, args=(each, who)) for who, each in databases.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _notes(notes) == [("a", 10), ("b", 10), ("c", 10)]


def test_a_transaction_within_a_transaction_is_an_error(notes: DuckDBStore) -> None:
    """It would wait for itself for ever."""
    with notes.transaction(), pytest.raises(RuntimeError, match="inside another"), notes.transaction():
        pass
    assert _notes(notes) == []


def test_a_child_may_open_the_file_that_we_hold_exclusively(notes: DuckDBStore) -> None:
    """``exclusively`` keeps other processes of ours out, not a DuckDB connection."""
    with notes.exclusively() as path:
        duckdb.connect(str(path), read_only=True).close()


def test_a_file_lock_lets_one_in_at_a_time(tmp_path: Path) -> None:
    """The second waits until the first is out."""
    order: list[str] = []

    def second() -> None:
        with file_lock(tmp_path / "folder" / "x.lock"):
            order.append("second in")

    with file_lock(tmp_path / "folder" / "x.lock"):
        with (tmp_path / "folder" / "x.lock").open("r+") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        thread = threading.Thread(target=second)
        thread.start()
        order.append("first out")
    thread.join(PATIENCE_S)
    assert order == ["first out", "second in"]


def test_a_write_that_finds_no_room_is_one_line_and_writes_nothing(notes: DuckDBStore) -> None:
    """Stands for a full disk: no file may grow. What was there is there, and with room again the next write is too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    insert = text("INSERT INTO notes VALUES ('x', 1)")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        with pytest.raises(DiskFullError) as caught, notes.transaction() as connection:
            connection.execute(insert)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value) == (
        f"no space left to write {notes.path}; free some space and rerun the same command; finished work is kept"
    )
    with notes.transaction() as connection:
        connection.execute(insert)
    with notes.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM notes")).scalar_one() == 1


def test_a_view_that_someone_else_wrote_reads_no_file(tmp_path: Path) -> None:
    """A database may come from anywhere, and a view runs as soon as a report asks it."""
    path, secret = tmp_path / "theirs.duckdb", tmp_path / "secret.txt"
    secret.write_text("mine")
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE VIEW accuracy AS SELECT content FROM read_text('{secret}')")
    with DuckDBStore(path).transaction() as ours, pytest.raises(Exception, match="disabled by configuration"):
        ours.execute(text("SELECT * FROM accuracy"))
