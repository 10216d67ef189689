"""Where a home's files are. What lies in the home is stored relative to it, so that a home can be moved and copied."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = [
    "PLACES_OPTION",
    "Places",
    "former_home",
    "is_shared",
    "local_path",
    "places_of",
    "stored_path",
    "whole_path",
]

#: The execution option of a connection that names the home; migrations read it, too.
PLACES_OPTION = "vlmprobe_places"
#: Before a path that is relative to the folder that hosts share (``VLMPROBE_STORE_ROOT``).
_SHARED = "shared:/"
#: ``runs:/``, ``s3://``, ``file:///``, ``mlflow-artifacts:/``; a path never begins so.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def stored_path(home: Path, path: Path) -> str:
    """Return a path as the database keeps it: relative if it is in the home, else absolute.

    It may be written through a link; the home is given as :class:`vlmprobe.settings.Settings` resolves it.
    """
    return _inside(home, path) or str(path.absolute())


def _inside(folder: Path, path: Path) -> str | None:
    """Return a path relative to a folder, None if it is not in it."""
    whole = path.absolute()
    for place in (whole, whole.resolve()):
        if place.is_relative_to(folder) and ".." not in place.relative_to(folder).parts:
            return str(place.relative_to(folder))
    return None


def is_shared(stored: str) -> bool:
    """Return whether a path lies in the folder that hosts share, and nobody said where it is mounted here."""
    return stored.startswith(_SHARED)


def whole_path(home: Path, stored: str) -> Path:
    """Return the path that :func:`stored_path` made a text of, for the place where the home is now."""
    return home / stored


def local_path(address: str) -> Path | None:
    """Return the path that an address of MLflow stands for; None if it is not one of this machine."""
    if address.startswith("file:"):
        parts = urlsplit(address)
        return Path(unquote(parts.path)) if parts.netloc in ("", "localhost") else None
    return None if _SCHEME.match(address) else Path(address)


def former_home(stored: str, inside: Path) -> Path | None:
    """Return the folder that was the home when ``stored`` was written as a place inside it; None if it was none.

    Args:
        stored: a path or an address.
        inside: where the file is in every home, such as ``spool/RUN/00001.safetensors``.
    """
    path = local_path(stored)
    if path is None or ".." in inside.parts or path.parts[-len(inside.parts) :] != inside.parts:
        return None
    return Path(*path.parts[: -len(inside.parts)])


@dataclass(frozen=True, slots=True)
class Places:
    """How the paths in one database are to be read and written."""

    home: Path
    holds_database: bool = True
    """If not, several homes may share the database, so that all paths are stored whole."""
    root: Path | None = None
    """The folder that all hosts share, where it is mounted here; paths below it are stored relative to it then."""

    def stored(self, path: Path) -> str:
        """Return a path as the database keeps it."""
        if is_shared(str(path)):
            # Read where nobody said what the folder is here: it is still the same file, wherever this goes.
            return str(path)
        if self.holds_database:
            return stored_path(self.home, path)
        shared = None if self.root is None else _inside(self.root, path)
        return str(path.absolute()) if shared is None else f"{_SHARED}{shared}"

    def is_inside(self, path: Path) -> bool:
        """Return whether a whole path lies in the home, and does not lead out of it again."""
        return not Path(stored_path(self.home, path)).is_absolute()

    def is_of_one_host(self, *stored: str | None) -> bool:
        """Return whether stored paths and addresses of one file, None for none, all lead to places of one host.

        What lies in a home with its database goes wherever its rows go.
        """
        if self.holds_database:
            return False
        return all(each is None or (not is_shared(each) and local_path(each) is not None) for each in stored)

    def whole(self, stored: str) -> Path:
        """Return a stored path's place on this machine; see :func:`is_shared` for one that has none."""
        if not is_shared(stored):
            return whole_path(self.home, stored)
        return Path(stored) if self.root is None else self.root / stored.removeprefix(_SHARED)

    def stored_address(self, address: str) -> str:
        """Return an address of MLflow as the database keeps it: a relative path if it is in the home."""
        path = local_path(address)
        if path is None or not path.is_absolute():
            return address
        stored = self.stored(path)
        return address if Path(stored).is_absolute() else stored

    def whole_address(self, stored: str | None) -> str | None:
        """Return the address that MLflow understands."""
        if stored is None:
            return None
        if is_shared(stored):
            return stored if self.root is None else self.whole(stored).as_uri()
        path = local_path(stored)
        return stored if path is None or path.is_absolute() else (self.home / path).as_uri()


def places_of(connection: Connection) -> Places:
    """Return how the paths in an open database are to be read and written."""
    places: Places = connection.get_execution_options()[PLACES_OPTION]
    return places
