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
    "local_path",
    "places_of",
    "stored_path",
    "whole_path",
]

#: The execution option of a connection that names the home; migrations read it, too.
PLACES_OPTION = "vlmprobe_places"
#: ``runs:/``, ``s3://``, ``file:///``, ``mlflow-artifacts:/``; a path never begins so.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def stored_path(home: Path, path: Path) -> str:
    """Return a path as the database keeps it: relative if it is in the home, else absolute.

    It may be written through a link; the home is given as :class:`vlmprobe.settings.Settings` resolves it.
    """
    whole = path.absolute()
    for place in (whole, whole.resolve()):
        if place.is_relative_to(home) and ".." not in place.relative_to(home).parts:
            return str(place.relative_to(home))
    return str(whole)


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

    def stored(self, path: Path) -> str:
        """Return a path as the database keeps it."""
        return stored_path(self.home, path) if self.holds_database else str(path.absolute())

    def is_inside(self, path: Path) -> bool:
        """Return whether a whole path lies in the home, and does not lead out of it again."""
        return not Path(stored_path(self.home, path)).is_absolute()

    def whole(self, stored: str) -> Path:
        """Return a stored path's place on this machine."""
        return whole_path(self.home, stored)

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
        path = local_path(stored)
        return stored if path is None or path.is_absolute() else (self.home / path).as_uri()


def places_of(connection: Connection) -> Places:
    """Return how the paths in an open database are to be read and written."""
    places: Places = connection.get_execution_options()[PLACES_OPTION]
    return places
