"""Frozen settings: command-line option > environment > ./mlflow.env > default (DESIGN 9)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.paths import check_characters, check_home, expanded, is_sqlite, sqlite_address
from vlmprobe.safe_names import safe_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ARTIFACTS", "ENV_FILE", "SPOOL", "Settings", "without_password"]

ENV_FILE = "mlflow.env"
#: Folders in a home.
SPOOL, ARTIFACTS = "spool", "mlartifacts"
_DUCKDB_SCHEME = "duckdb:///"
_POSTGRES_SCHEMES = ("postgresql://", "postgres://")
_SQLITE_SCHEME = "sqlite:///"
_MAX_ENV_FILE = 2**20
#: Values that reference each other twice each outgrow any memory within thirty lines.
_MAX_REFERENCES = 20
#: Upper bound for any size setting (pairs, MiB, seconds).
_MOST = 1e9


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is stored, and how large a shard may grow."""

    home: Path
    #: It may hold a password.
    database_url: str = field(repr=False)
    tracking_uri: str
    experiment: str
    shard_pairs: int
    shard_bytes: int
    shard_seconds: float
    cache: Path
    """Where this machine's user keeps what can be computed again; it need not be there."""
    shard_cache_bytes: int
    """How much of what MLflow alone has is kept in the home, to be read again."""
    store_root: Path | None
    """A folder that several hosts share, where it is mounted here; paths below it are stored relative to it."""
    environment: Mapping[str, str]
    """``MLFLOW_*`` values of the dotenv file that the process environment does not override."""
    reader_url: str | None = field(default=None, repr=False)
    """The database's address with a Postgres role that may only read, for ad-hoc SQL."""

    @property
    def database_path(self) -> Path:
        """The DuckDB file.

        Raises:
            UsageError: the database is no file.
        """
        if self.is_postgres:
            raise UsageError(f"{self.database_name} is a Postgres database; this needs one of DuckDB")
        return Path(self.database_url.removeprefix(_DUCKDB_SCHEME))

    @property
    def is_postgres(self) -> bool:
        """Whether the database is Postgres, which several machines may share."""
        return self.database_url.startswith(_POSTGRES_SCHEMES)

    @property
    def database_name(self) -> str:
        """What messages call the database: its file, or its address without user and password."""
        return without_password(self.database_url) if self.is_postgres else str(self.database_path)

    @property
    def spool(self) -> Path:
        """Where shards wait until MLflow has them."""
        return self.home / SPOOL

    @property
    def artifacts(self) -> Path:
        """Artifact root of the local MLflow store."""
        return self.home / ARTIFACTS

    @property
    def reports(self) -> Path:
        """The default output folder of ``merge``."""
        return self.home / "reports"

    def spool_of(self, run_id: str) -> Path:
        """Return a run's folder in the spool.

        Raises:
            UsageError: the id would lead out of the spool; another program must have edited the database.
        """
        return self.spool / safe_name(run_id, "run")

    def is_spooled(self, path: Path, run_id: str) -> bool:
        """Return whether a file lies in a run's spool folder; files anywhere else are left alone."""
        return path.parent.resolve() == self.spool_of(run_id).resolve()

    @classmethod
    def load(
        cls,
        home: Path | None = None,
        *,
        experiment: str | None = None,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Settings:
        """Read the settings of a process.

        Args:
            home: the command line's ``--home``.
            experiment: the command line's ``--experiment``.
            environ: environment variables; the process's own when None.
            folder: where ``mlflow.env`` is looked for; the working directory when None.

        Raises:
            UsageError: a value is not usable; the message names the variable.
        """
        env = dict(os.environ if environ is None else environ)
        folder = _working_directory() if folder is None else folder
        dotenv = _read_dotenv(folder / ENV_FILE)
        merged = {**dotenv, **env}
        chosen = home or Path(merged.get("VLMPROBE_HOME") or "vlmprobe-data")
        root = _absolute(chosen, folder, "--home (or VLMPROBE_HOME)")
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is a file; --home (or VLMPROBE_HOME) must be a folder")
        check_home(root, "--home (or VLMPROBE_HOME)")
        # --home moves everything, so a database named in the dotenv file must not override it.
        named = env if home is not None else merged
        return cls(
            home=root,
            database_url=_database_url(named.get("VLMPROBE_DATABASE_URL"), root, folder),
            tracking_uri=_tracking_uri(named.get("MLFLOW_TRACKING_URI"), root, folder),
            experiment=experiment or merged.get("VLMPROBE_EXPERIMENT") or "vlmprobe",
            shard_pairs=int(_positive(merged, "VLMPROBE_SHARD_PAIRS", 256, least=1)),
            shard_bytes=int(_positive(merged, "VLMPROBE_SHARD_MIB", 64) * 2**20),
            shard_seconds=_positive(merged, "VLMPROBE_SHARD_SECONDS", 30),
            cache=_cache(merged, folder),
            shard_cache_bytes=int(_positive(merged, "VLMPROBE_SHARD_CACHE_MIB", 20480) * 2**20),
            store_root=_store_root(merged.get("VLMPROBE_STORE_ROOT"), folder),
            reader_url=_reader_url(named.get("VLMPROBE_READER_URL")),
            environment={k: v for k, v in dotenv.items() if k.startswith("MLFLOW_") and k not in env},
        )


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        # The shell still shows the name of a folder that was deleted.
        name = os.environ.get("PWD") or "no name is left of it"
        raise UsageError(
            f"the working directory ({name}) cannot be read: {error.strerror}; it may have been deleted or replaced; "
            "change to another folder, or to this one again"
        ) from None


def _read_dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    import io
    import logging

    from dotenv import dotenv_values

    # dotenv logs each line that it skips, and no logging is configured.
    logging.getLogger("dotenv").setLevel(logging.ERROR)
    try:
        if path.stat().st_size > _MAX_ENV_FILE:
            raise UsageError(
                f"{path}: larger than {_MAX_ENV_FILE // 2**10} KiB; it should hold lines of NAME=value"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{path} cannot be read: {reason}") from None
    if text.count("${") > _MAX_REFERENCES:
        raise UsageError(f"{path}: more than {_MAX_REFERENCES} references to other values; write them out")
    found = {key: value for key, value in dotenv_values(stream=io.StringIO(text)).items() if value}
    for key, value in found.items():
        if "\0" in value:
            raise UsageError(f"{path}: {key[:40]!r} contains a NUL byte; remove it")
    return found


def _database_url(value: str | None, home: Path, folder: Path) -> str:
    if not value:
        return f"{_DUCKDB_SCHEME}{home / 'vlmprobe.duckdb'}"
    if value.startswith(("md:", "motherduck:")):
        raise UsageError(
            "VLMPROBE_DATABASE_URL: MotherDuck is not supported; use duckdb:///path/to/file.duckdb"
        )
    if value.startswith(_POSTGRES_SCHEMES):
        return value
    if re.search(r"(?:^|\s)(?:host|hostaddr|dbname|user|password|service)\s*=", value):
        # As libpq reads it, but a path to us, which a message would show.
        raise UsageError(
            "VLMPROBE_DATABASE_URL: name=value is not supported; use postgresql://user@host/database"
        )
    if "://" not in value:
        value = _DUCKDB_SCHEME + value
    if not value.startswith(_DUCKDB_SCHEME):
        scheme = value.split("://", 1)[0]
        # If it is not a scheme, it may be part of a password.
        shown = f"{scheme}://" if re.fullmatch(r"[a-z][a-z0-9+]{0,30}", scheme) else "such an address"
        raise UsageError(
            f"VLMPROBE_DATABASE_URL: {shown} is not supported; use duckdb:///path/to/file.duckdb "
            "or postgresql://user@host/database"
        )
    path = Path(value.removeprefix(_DUCKDB_SCHEME))
    if str(path) in {"", ".", ":memory:"}:
        raise UsageError("VLMPROBE_DATABASE_URL: a database in memory is lost at exit; use a file")
    whole = _absolute(path, folder, "VLMPROBE_DATABASE_URL")
    check_characters(whole, "VLMPROBE_DATABASE_URL")
    return f"{_DUCKDB_SCHEME}{whole}"


def _reader_url(value: str | None) -> str | None:
    if value and not value.startswith(_POSTGRES_SCHEMES):
        raise UsageError("VLMPROBE_READER_URL: use postgresql://reader@host/database")
    return value or None


def _tracking_uri(value: str | None, home: Path, folder: Path) -> str:
    if not value:
        return sqlite_address(home / "mlflow.db")
    if is_sqlite(value):
        # The server runs in another folder than this process.
        return f"{_SQLITE_SCHEME}{folder / value.removeprefix(_SQLITE_SCHEME)}"
    return value


def _cache(values: Mapping[str, str], folder: Path) -> Path:
    named = values.get("VLMPROBE_CACHE")
    if named:
        return folder / os.path.expanduser(named)  # noqa: PTH111 - Path's raises where there is no such user
    # As the XDG base directories say: a relative path there does not count.
    base = values.get("XDG_CACHE_HOME", "")
    return Path(base if base.startswith("/") else os.path.expanduser("~/.cache")) / "vlmprobe"  # noqa: PTH111


def _store_root(value: str | None, folder: Path) -> Path | None:
    return _absolute(Path(value), folder, "VLMPROBE_STORE_ROOT") if value else None


def _absolute(path: Path, folder: Path, named_by: str) -> Path:
    try:
        whole = (folder / expanded(path, folder)).resolve()
        whole.exists()  # raises for an overlong name
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{named_by}: {str(path)[:60]!r} is not a usable path: {reason}") from None
    return whole


def without_password(url: str) -> str:
    """Return an address for display, without user, password or query."""
    shown = re.sub(r"//[^/\s]*@", "//", url)
    # A slash in a password ends the host part too early. A port is all digits and may precede a slash.
    shown = re.sub(r"//[^/\s:@]*:(?!\d*(?:[/?\s]|$))\S*@", "//", shown)
    # A password may look like a port and a path. No database's name has an @, but a parameter's value may.
    shown = re.sub(r"(postgres(?:ql)?://)(?:(?!\?[a-z_]+=)\S)*@", r"\1", shown)
    return re.sub(r"\?[^\s=]*=\S*", "?...", shown)


def _positive(values: Mapping[str, str], name: str, default: float, *, least: float = 0.0) -> float:
    text = values.get(name)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= _MOST:
        raise UsageError(f"{name}={text[:60]!r}: expected a number above 0")
    if number < least:
        raise UsageError(f"{name}={text[:60]!r}: expected {least:g} or more")
    return number
