"""Rewrites the paths of a whole database: relative where they lie in the home, which may have been moved before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from vlmprobe.settings import ARTIFACTS, SPOOL
from vlmprobe.store.places import former_home, local_path, places_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from vlmprobe.store.places import Places

__all__ = ["make_absolute", "make_relative", "shard_place"]


def shard_place(run_id: str, number: int) -> Path:
    """Return where a shard is in every home."""
    return Path(SPOOL, run_id, f"{number:05d}.safetensors")


def make_relative(connection: Connection) -> None:
    """Let paths in the home be relative, also those that name its former place if the file is here now.

    Does nothing for a database outside of the home, which several homes may share.
    """
    places = places_of(connection)
    if not places.holds_database:
        return
    former: set[Path] = set()
    for shard in _shards(connection):
        place, address = _made_relative(places, shard, former)
        _set_shard(connection, shard, place, address)
    datasets = connection.execute(text("SELECT dataset_id, path FROM datasets")).all()
    for dataset_id, path in datasets:
        _set_dataset(connection, dataset_id, _dataset_path(places, path, former))


def make_absolute(connection: Connection) -> None:
    """Let all paths be absolute again, from where the home is now."""
    places = places_of(connection)
    for shard in _shards(connection):
        _set_shard(connection, shard, str(places.whole(shard.path)), places.whole_address(shard.artifact_uri))
    for dataset_id, path in connection.execute(text("SELECT dataset_id, path FROM datasets")).all():
        _set_dataset(connection, dataset_id, str(places.whole(path)))


@dataclass(frozen=True, slots=True)
class _Shard:
    run_id: str
    number: int
    path: str
    artifact_uri: str | None
    n_bytes: int


def _shards(connection: Connection) -> list[_Shard]:
    rows = connection.execute(text("SELECT run_id, shard, path, artifact_uri, n_bytes FROM shards"))
    return [_Shard(*row) for row in rows.all()]


def _made_relative(places: Places, shard: _Shard, former: set[Path]) -> tuple[str, str | None]:
    """Return a shard's path and address as they are to be stored; note the home that they were written in."""
    inside = shard_place(shard.run_id, shard.number)
    path, address = _stored(places, shard.path), shard.artifact_uri
    home = former_home(path, inside)
    if address is not None:
        address = _address_here(places, address, home, shard.n_bytes)
    # What 'sync --prune' freed is in MLflow alone; its row names its place in the spool.
    is_pruned = address is not None and not _is_file(Path(path), shard.n_bytes)
    if home is not None and (_is_file(places.home / inside, shard.n_bytes) or is_pruned):
        former.add(home)
        path = str(inside)
    return path, address


def _stored(places: Places, path: str) -> str:
    return places.stored(Path(path)) if Path(path).is_absolute() else path


def _address_here(places: Places, address: str, home: Path | None, n_bytes: int) -> str:
    stored = places.stored_address(address)
    path = local_path(address)
    if stored != address or path is None or home is None or not path.is_relative_to(home / ARTIFACTS):
        return stored
    inside = path.relative_to(home)
    return str(inside) if _is_file(places.home / inside, n_bytes) else address


def _dataset_path(places: Places, path: str, former: set[Path]) -> str:
    stored = _stored(places, path)
    for home in former:
        if home.is_absolute() and Path(stored).is_relative_to(home):
            inside = Path(stored).relative_to(home)
            if (places.home / inside).exists():
                return str(inside)
    return stored


def _is_file(path: Path, n_bytes: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == n_bytes
    except OSError:
        return False


def _set_shard(connection: Connection, shard: _Shard, path: str, address: str | None) -> None:
    if (path, address) != (shard.path, shard.artifact_uri):
        connection.execute(
            text(
                "UPDATE shards SET path = :path, artifact_uri = :address WHERE run_id = :run AND shard = :shard"
            ),
            {"path": path, "address": address, "run": shard.run_id, "shard": shard.number},
        )


def _set_dataset(connection: Connection, dataset_id: str, path: str) -> None:
    connection.execute(
        text("UPDATE datasets SET path = :path WHERE dataset_id = :id AND path <> :path"),
        {"path": path, "id": dataset_id},
    )
