"""A Postgres of the tests' own in a temporary folder, and a database of its own for whoever asks."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Set (``make test-postgres``), the tests of the store, and commands with ``--home``, use Postgres.
VARIABLE = "VLMPROBE_TEST_POSTGRES"
#: In the address of every database, so that a test can look for it where no password may be.
PASSWORD = "hunter2postgres"  # noqa: S105
#: Tests that ask in SQL of DuckDB alone, or look at a file, its lock or its leases: left out where ``VARIABLE`` is set.
OF_A_FILE = {
    "test_a_quad_is_a_link_and_a_pair",
    "test_a_run_that_another_host_works_on_is_refused",
    "test_a_shard_becomes_rows",
    "test_a_shard_that_fails_leaves_no_row",
    "test_duckdb_alone_gives_the_same_numbers",
    "test_each_template_has_its_quads",
    "test_each_template_of_a_dataset_has_its_pairs",
    "test_other_quads_are_refused",
    "test_quads_that_there_were_none_of_are_replaced",
    "test_replacing_touches_no_other_run",
    "test_runs_begun_on_another_content_of_the_same_file_are_found",
    "test_statuses_carry_what_was_learnt",
    "test_the_same_quads_again_change_nothing",
    "test_what_differs_elsewhere_is_no_image_swap",
}
#: The server of this process, for commands and for what looks at a home's rows, where ``VARIABLE`` is set.
running: list[Server] = []
_PATIENCE_S = 120.0
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
}


class Server:
    """A running server; databases are copies of one that is migrated once."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._count = 0
        self._migrated = False
        self._homes: dict[Path, str] = {}

    def url(self, name: str, user: str = "owner") -> str:
        """Return the address of a database, with a password that the server does not ask for."""
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def run(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements as the owner, each in a transaction of its own; return the rows of the last."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as session:
            for statement in statements:
                cursor = session.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> str:
        """Make a database without tables; return its address."""
        self._count += 1
        name = f"test_{self._count}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def of_home(self, home: Path) -> str:
        """Return the address of a home's own database, which begins empty."""
        whole = home.resolve()
        if whole not in self._homes:
            self._homes[whole] = self.empty()
        return self._homes[whole]

    def migrated(self) -> str:
        """Make a database with the tables and views, but no row; return its address."""
        if not self._migrated:
            from vlmprobe.store.migrate import ensure_schema
            from vlmprobe.store.postgres_store import PostgresStore

            self.run("CREATE DATABASE migrated")
            store = PostgresStore(self.url("migrated"), home=Path("/nowhere"))
            ensure_schema(store)
            store.close()
            self._migrated = True
        self._count += 1
        name = f"test_{self._count}"
        self.run(f"CREATE DATABASE {name} TEMPLATE migrated")
        return self.url(name)


def home_url(home: Path) -> str | None:
    """Return the address of a home's database where homes are on Postgres; None where they have a file."""
    return running[0].of_home(home) if VARIABLE in os.environ and running else None


@contextmanager
def postgres_server() -> Iterator[Server]:
    """Start a server; skip where none is installed, or psycopg is not."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = find_programs()
    if programs is None:
        pytest.skip("no Postgres is installed (initdb and postgres on the PATH or below /usr/lib/postgresql)")
    # Not in pytest's own folder, which is closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="vlmprobe-postgres-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        as_user = _not_root(folder)
        data, log = folder / "data", folder / "log"
        # A language with an order of its own, as servers have it: texts of ours must not follow it.
        language = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
        initdb = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "owner",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
            *language,
        ]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **as_user)
        port = _free_port()
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [
                    programs / "postgres",
                    "-D",
                    data,
                    "-p",
                    str(port),
                    "-k",
                    folder,
                    "-h",
                    "127.0.0.1",
                    *settings,
                ],
                stdout=stream,
                stderr=stream,
                cwd=folder,
                **as_user,
            )
        server = Server(port)
        _wait(server, process, log)
        running.append(server)
        yield server
    finally:
        running.clear()
        if process is not None:
            # At once, without waiting for sessions: nothing of it is needed any more.
            process.send_signal(signal.SIGQUIT)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def find_programs() -> Path | None:
    """Return the folder of an installed Postgres; None if there is none."""
    places = [Path(found).parent] if (found := shutil.which("initdb")) else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next(
        (place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None
    )


def _not_root(folder: Path) -> dict[str, Any]:
    """Return how to start a process as a user that Postgres accepts, who owns the folder."""
    if os.getuid() != 0:
        return {}
    names = {user.pw_name for user in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            server.run("SELECT 1")
        except psycopg.OperationalError:
            assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.1)
        else:
            return
