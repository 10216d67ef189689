"""Checks what hosts share: a Postgres server and our role there, an MLflow server and its artifacts, a folder.

Nothing is left behind: an artifact and a file are written, read and removed.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from vlmprobe.errors import DatabaseError, TrackingError, VlmprobeError, in_one_line
from vlmprobe.settings import without_password
from vlmprobe.store.migrate import current_revision
from vlmprobe.store.places import local_path
from vlmprobe.store.revision import check_revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from vlmprobe.store.server_facts import ServerFacts
    from vlmprobe.workspace import Workspace

__all__ = [
    "Finding",
    "check_mlflow",
    "check_postgres",
    "check_reader",
    "check_shared_folder",
    "existing",
    "gib",
    "looked",
]

#: Times of runs and metrics are those of the machine that writes them.
_LARGEST_SHIFT_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a run needs."""

    what: str
    state: str
    """What there is; where it will not do, also what to do."""
    ok: bool = True
    """Whether it will do."""


def looked(
    what: str, look: Callable[[Workspace], Iterator[Finding]], workspace: Workspace
) -> Iterator[Finding]:
    """Turn an error of one check into its finding, so that the others still say what they see."""
    try:
        yield from look(workspace)
    except VlmprobeError as error:
        yield Finding(what, str(error), ok=False)
    except (OSError, ImportError, RuntimeError) as error:
        yield Finding(what, f"{type(error).__name__}: {in_one_line(error)[:200]}", ok=False)


def check_postgres(workspace: Workspace) -> Iterator[Finding]:
    """Look at the server, the schema, the rights of our role, and the two clocks.

    Raises:
        DatabaseError: the server does not let us in.
    """
    from vlmprobe.store.server_facts import OLDEST, Rights, server_facts

    name = workspace.settings.database_name
    facts = server_facts(workspace.settings.database_url)
    encrypted = "encrypted" if facts.is_encrypted else "not encrypted"
    server = f"{name}: Postgres {facts.release}, psycopg {version('psycopg')}, {encrypted}"
    if facts.version < OLDEST:
        yield Finding("database", f"{server}; use version {OLDEST} or newer", ok=False)
    if not facts.has_tables:
        if facts.rights is Rights.OWNER:
            yield Finding("database", f"{server}; the first command creates the tables")
        else:
            state = "it has no tables of vlmprobe, and the role cannot create them"
            todo = "ask its owner to run 'vlmprobe db upgrade' and 'vlmprobe db grant-writer'"
            yield Finding("database", f"{server}; {state}; {todo}", ok=False)
    else:
        if "alembic_version" not in facts.lacking:
            yield from looked("database", partial(_schema, server), workspace)
        yield _rights(facts)
    yield _clock(facts)


def _schema(server: str, workspace: Workspace) -> Iterator[Finding]:
    with workspace.unchecked_database.transaction(write=False) as connection:
        revision = current_revision(connection)
    check_revision(workspace.settings.database_name, revision)
    yield Finding("database", f"{server}, schema {revision}")


def _rights(facts: ServerFacts) -> Finding:
    from vlmprobe.store.server_facts import Rights

    if facts.rights is Rights.NONE:
        todo = "ask its owner to run 'vlmprobe db grant-reader' or 'db grant-writer' again"
        return Finding("rights", f"the role may not read {_some(facts.lacking)}; {todo}", ok=False)
    if facts.lacking:
        todo = "ask its owner to run 'vlmprobe db grant-writer' again"
        state = f"the role may write some tables, but not {_some(facts.lacking)}"
        return Finding("rights", f"{state}; {todo}", ok=False)
    if facts.rights is Rights.OWNER:
        return Finding("rights", "owner of the tables: may upgrade the schema, write and read")
    if facts.rights is Rights.WRITER:
        return Finding("rights", "writer: may write and read rows, not upgrade the schema")
    return Finding("rights", "reader: may only read; 'extract' and 'analyze' need the role of a writer")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")


def _clock(facts: ServerFacts) -> Finding:
    side = "ahead of" if facts.ahead_s > 0 else "behind"
    shift = (
        f"this machine is {abs(facts.ahead_s):.1f} s {side} the database, give or take {facts.unsure_s:.1f} s"
    )
    if abs(facts.ahead_s) - facts.unsure_s <= _LARGEST_SHIFT_S:
        return Finding("clock", shift)
    return Finding("clock", f"{shift}; its runs would have wrong times; set the clocks by NTP", ok=False)


def check_reader(workspace: Workspace) -> Iterator[Finding]:
    """Look at the role for ad-hoc SQL, where the database is Postgres.

    Raises:
        DatabaseError: the server does not let it in.
    """
    url = workspace.settings.reader_url
    if not workspace.settings.is_postgres:
        return
    from vlmprobe.store.server_facts import Rights, server_facts

    if url is None:
        try:
            refused = server_facts(workspace.settings.database_url).may_do_more
        except DatabaseError:
            return  # said where the database is looked at
        what = "refuses the one above, a superuser or the like" if refused else "uses the one above"
        todo = "'vlmprobe db grant-reader NAME' makes one for VLMPROBE_READER_URL"
        yield Finding("reader", f"no role of its own for 'vlmprobe sql', which {what}; {todo}")
        return
    facts, name = server_facts(url), without_password(url)
    if not facts.has_tables:
        state = f"{name} has no tables of vlmprobe; name the same database in VLMPROBE_READER_URL"
    elif facts.rights is Rights.NONE:
        state = f"the role may not read {_some(facts.lacking)}; run 'vlmprobe db grant-reader' with its name again"
    elif facts.rights is not Rights.READER:
        state = "the role of VLMPROBE_READER_URL may write; name one that 'vlmprobe db grant-reader' made"
    else:
        yield Finding("reader", f"{name}: may only read")
        return
    yield Finding("reader", state, ok=False)


def check_mlflow(workspace: Workspace) -> Iterator[Finding]:
    """Look at an MLflow server that answers: its version, its artifacts, and the cache for what it has.

    Raises:
        TrackingError: it answers no more.
    """
    from vlmprobe.store.artifact_check import server_version

    tracker = workspace.tracker
    theirs, ours = server_version(tracker), version("mlflow")
    state = f"{tracker.address} answers, version {theirs or 'unknown'}; here is {ours}"
    same = theirs is None or theirs.split(".")[0] == ours.split(".")[0]
    yield Finding("MLflow", state if same else f"{state}; install the same on both", ok=same)
    yield from looked("artifacts", _artifacts, workspace)
    yield from looked("cache", _cache, workspace)


def _artifacts(workspace: Workspace) -> Iterator[Finding]:
    from vlmprobe.store.artifact_check import By, artifact_folder, check_artifacts

    tracker, root = workspace.tracker, workspace.settings.store_root
    folder = artifact_folder(tracker, workspace.settings.experiment)
    shown, path = without_password(folder), local_path(folder)
    if path is not None and (root is None or not path.is_relative_to(root)):
        state = f"the server leaves artifacts to each machine's own folder {shown}"
        todo = "start it with --artifacts-destination, then use a new --experiment"
        yield Finding("artifacts", f"{state}; {todo}", ok=False)
        return
    try:
        found = check_artifacts(tracker, folder)
    except TrackingError as error:
        todo = "look into the server's log for its store, and check what this MLflow user may do"
        yield Finding("artifacts", f"{shown} cannot be written and read: {error}; {todo}", ok=False)
        return
    if path is not None:
        yield Finding("artifacts", f"{shown}: written and read, as files that hosts share")
    elif found.by is By.SIGNED:
        yield Finding("artifacts", f"{shown}: written and read, parts by signed addresses of {found.signed}")
    elif found.by is By.SERVER:
        yield Finding("artifacts", f"{shown}: written and read, parts through the server")
    elif found.signed is not None:
        state = f"cannot be read: the server signs addresses of {found.signed}, which does not answer here"
        todo = (
            "set MLFLOW_S3_ENDPOINT_URL of the server to an address that all hosts reach; until then "
            "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD=false here fetches whole files through the server"
        )
        yield Finding("artifacts", f"{shown} {state}; {todo}", ok=False)
    else:
        todo = "start it with --artifacts-destination, with the version of MLflow that is here"
        yield Finding("artifacts", f"{shown}: parts cannot be read through the server; {todo}", ok=False)


def _cache(workspace: Workspace) -> Iterator[Finding]:
    folder, limit = workspace.settings.home / "cache", workspace.settings.shard_cache_bytes
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    tight = limit - held > shutil.disk_usage(existing(folder)).free
    todo = "; the disk has no room for as much: lower VLMPROBE_SHARD_CACHE_MIB" if tight else ""
    yield Finding("cache", f"{gib(held)} of at most {gib(limit)} GiB{todo}")


def check_shared_folder(workspace: Workspace) -> Iterator[Finding]:
    """Look at the folder of ``VLMPROBE_STORE_ROOT``, and whether the database says that there must be one."""
    root, home = workspace.settings.store_root, workspace.settings.home
    homes = _shared_homes(workspace)
    if root is None:
        if homes:
            state = f"hidden states are in a folder that hosts share (below {_some(homes)} there)"
            todo = "set VLMPROBE_STORE_ROOT to where it is mounted here"
            yield Finding("shared folder", f"{state}; {todo}", ok=False)
        return
    todo = "mount it, or correct VLMPROBE_STORE_ROOT"
    missing = [name for name in homes if not (root / name).exists()]
    if not root.is_dir():
        yield Finding("shared folder", f"{root} is not there; {todo}", ok=False)
    elif homes and missing == homes:
        state = f"{root} lacks what the database names in it ({_some(homes)})"
        yield Finding("shared folder", f"{state}; {todo}", ok=False)
    elif not home.is_relative_to(root):
        state = f"{root}: other hosts do not see this home, which is outside of it"
        yield Finding("shared folder", f"{state}; name one in it with --home to share what it extracts")
    elif (reason := _refusal(existing(home))) is not None:
        yield Finding("shared folder", f"{root} cannot be written: {reason}; check its rights", ok=False)
    else:
        lost = f"; not there any more: {_some(missing)}" if missing else ""
        yield Finding("shared folder", f"{root}: written, and this home is in it{lost}")


def _shared_homes(workspace: Workspace) -> list[str]:
    """Return what the database names in the folder that hosts share; nothing if it cannot be asked."""
    from vlmprobe.store.server_facts import shared_homes

    database = workspace.unchecked_database
    try:
        if database.places.holds_database or not database.exists():
            return []
        with database.transaction(write=False) as connection:
            check_revision(database.name, current_revision(connection))
            return shared_homes(connection)
    except (VlmprobeError, OSError, RuntimeError):
        return []  # said where the database is looked at


def _refusal(folder: Path) -> str | None:
    """Return why a folder cannot be written; None if it can. Only a try tells on a file system of another machine."""
    try:
        with TemporaryFile(dir=folder) as file:
            file.write(b"vlmprobe doctor")
    except OSError as error:
        return error.strerror or str(error)
    return None


def existing(folder: Path) -> Path:
    """Return a folder, or the first one above it that is there."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def gib(size: int) -> str:
    """Return a number of bytes in GiB."""
    return f"{size / 2**30:.1f}"
