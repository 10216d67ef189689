"""A Postgres of the tests' own in a temporary folder, and a database of its own for whoever asks."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

#: Set (``make test-postgres``), homes of commands and of the tests of the store are on Postgres.
VARIABLE = "VLMPROBE_TEST_POSTGRES"
#: In the address of every database, so that a test can look for it where no password may be.
PASSWORD = "hunter2postgres"  # noqa: S105
#: Who may do everything on the server, and who owns the databases and may do what a team's role may.
SUPERUSER, OWNER = "admin", "owner"
#: The server of this process, for commands and for what looks at a home's rows, where ``VARIABLE`` is set.
running: list[Server] = []
_with_a_file: set[Path] = set()
_named: dict[Path, str] = {}
_PATIENCE_S = 120.0
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    # A workspace that a test has left keeps its session until it is collected.
    "max_connections": "200",
    "autovacuum": "off",
}
#: Paths are whole in a database that homes share: those of a copied home lead into the copy, as a file's would.
_MOVED = "UPDATE shards SET path = '{new}' || substr(path, {length}) WHERE path LIKE '{old}/%'"


class Server:
    """A server that can be stopped and started; databases are copies of one that is migrated once."""

    def __init__(self, folder: Path, programs: Path) -> None:
        """Make its files in a folder."""
        self._folder, self._programs = folder, programs
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user = _not_root(folder)
        self.port = _free_port()
        self._count = 0
        self._migrated = False
        self._homes: dict[Path, str] = {}
        self._lock = threading.RLock()
        # A language with an order of its own, as servers have it: texts of ours must not follow it.
        language = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
        subprocess.run(
            [
                *(programs / "initdb", "-D", folder / "data", "-U", SUPERUSER, "-A", "trust"),
                *("-E", "UTF8", "--no-sync", *language),
            ],
            check=True,
            capture_output=True,
            cwd=folder,
            **self._as_user,
        )
        self.start()
        self.run(f"CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE", user=SUPERUSER)

    def start(self) -> None:
        """Start it, again on the same port, and return once it answers."""
        assert self._process is None
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        log = self._folder / "log"
        with log.open("ab") as stream:
            self._process = subprocess.Popen(
                [
                    *(self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port)),
                    *("-k", self._folder, "-h", "127.0.0.1", *settings),
                ],
                stdout=stream,
                stderr=stream,
                cwd=self._folder,
                **self._as_user,
            )
        self._wait(log)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it: SIGINT ends its sessions with a word to each, SIGQUIT at once, and the next start recovers."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def url(self, name: str, user: str = OWNER) -> str:
        """Return the address of a database, with a password that the server does not ask for."""
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def run(self, *statements: str, database: str = "postgres", user: str = OWNER) -> list[tuple[Any, ...]]:
        """Run statements, each in a transaction of its own; return the rows of the last."""
        import psycopg

        with psycopg.connect(self.url(database, user), autocommit=True) as session:
            for statement in statements:
                cursor = session.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> str:
        """Make a database without tables; return its address."""
        return self.url(self._create(""))

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
        return self.url(self._create("TEMPLATE migrated"))

    def of_home(self, home: Path) -> str:
        """Return the address of a home's own database, which begins without rows."""
        whole = home.resolve()
        with self._lock:
            if whole not in self._homes:
                self._homes[whole] = self.migrated()
            return self._homes[whole]

    def copy_home(self, source: Path, target: Path) -> None:
        """Give a copy of a home a copy of its database."""
        old, new = source.resolve(), target.resolve()
        with self._lock:
            self._homes[new] = self._copy(self._homes[old].rpartition("/")[2], str(old), new)

    def _copy(self, name: str, old: str, new: Path) -> str:
        # A template may have no sessions; whose it was connects again.
        self.run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'", user=SUPERUSER
        )
        copy = self._create(f"TEMPLATE {name}")
        self.run(_MOVED.format(old=old, new=new, length=len(old) + 1), database=copy)
        return self.url(copy)

    def _create(self, template: str) -> str:
        self._count += 1
        name = f"test_{self._count}"
        self.run(f"CREATE DATABASE {name} {template}")
        return name

    def _wait(self, log: Path) -> None:
        import psycopg

        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                self.run("SELECT 1", user=SUPERUSER)
            except psycopg.OperationalError:
                assert self._process is not None
                assert self._process.poll() is None, log.read_text(encoding="utf-8", errors="replace")
                assert time.monotonic() < deadline, "waited in vain"
                time.sleep(0.1)
            else:
                return


def home_url(home: Path) -> str | None:
    """Return the address of a home's database where homes are on Postgres; None where they have a file."""
    if home.resolve() in _named:
        return _named[home.resolve()]
    if VARIABLE not in os.environ or not running or home.resolve() in _with_a_file:
        return None
    return running[0].of_home(home)


def keeps_a_file(home: Path) -> Path:
    """Return a home that has a DuckDB file wherever the others are."""
    _with_a_file.add(home.resolve())
    return home


def on_server(home: Path, url: str) -> Path:
    """Return a home whose database is on a server wherever the others are."""
    _named[home.resolve()] = url
    return home


def copied_home(source: Path, target: Path) -> Path:
    """Copy a home, with its database; return the copy."""
    shutil.copytree(source, target)
    if home_url(source) is not None:
        running[0].copy_home(source, target)
    return target


def of_home(home: Path) -> dict[str, str]:
    """Return the setting that names it, for what opens a home without a command."""
    url = home_url(home)
    return {} if url is None else {"VLMPROBE_DATABASE_URL": url}


def environ_of(home: Path) -> dict[str, str]:
    """Return this process's environment with it."""
    return {**os.environ, **of_home(home)}


@contextmanager
def named_by_environment(home: Path) -> Iterator[None]:
    """Name it in this process's environment meanwhile, for what opens a home as scripts do."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in of_home(home).items():
            patch.setenv(name, value)
        yield


@contextmanager
def postgres_server() -> Iterator[Server]:
    """Start a server; skip where none is installed, or psycopg is not."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = find_programs()
    if programs is None:
        pytest.skip("no Postgres is installed (initdb and postgres on the PATH or below /usr/lib/postgresql)")
    # Not in pytest's own folder, which is closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="vlmprobe-postgres-"))
    server: Server | None = None
    try:
        server = Server(folder, programs)
        yield server
    finally:
        if server is not None:
            # Without waiting for sessions: nothing of it is needed any more.
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def add_database_option(parser: argparse.ArgumentParser) -> None:
    """Let a script ask which database the homes are on."""
    parser.add_argument("--database", choices=("duckdb", "postgres"), default="duckdb", help="of each home")


@contextmanager
def on_database(kind: str) -> Iterator[None]:
    """Put the homes of a script on a server that runs meanwhile, if it is ``postgres``."""
    if kind != "postgres":
        yield
        return
    with postgres_server() as server:
        os.environ[VARIABLE] = "1"
        running.append(server)
        try:
            yield
        finally:
            running.clear()
            del os.environ[VARIABLE]


@contextmanager
def postgres_lock(url: str) -> Iterator[None]:
    """Hold the lock that every writer takes."""
    import psycopg

    with psycopg.connect(url) as session:
        session.execute("LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE")
        yield


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
