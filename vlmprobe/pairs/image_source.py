"""Where a pair's image comes from: a file of its own, bytes in memory, or a cell of a table.

A pair keeps its source and not its image, so that a long list of pairs is small. The sources of cells stand with
their tables in ``vlmprobe.pairs.tables``; a reader may have one of its own, which draws a mark for example.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from vlmprobe.errors import ImageError, InputError
from vlmprobe.pairs.cells import inline_image

__all__ = ["MAX_IMAGE_BYTES", "HeldImage", "ImageFile", "ImageSource", "find_image", "in_file"]

#: A larger image file is refused instead of filling the memory.
MAX_IMAGE_BYTES = 256 * 2**20
_OF_WINDOWS = re.compile(r"\\|(?:\A|/)[A-Za-z]:/")


class ImageSource(Protocol):
    """Where an image comes from."""

    @property
    def file(self) -> Path | None:
        """The image's own file; None if the image comes with the benchmark's file."""

    def read(self) -> bytes:
        """Return the encoded image (PNG, JPEG ...); safe in threads.

        Raises:
            ImageError: there is no image at this place.
            InputError: the file is gone or cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image in a file of its own."""

    file: Path

    @property
    def exists(self) -> bool:
        """Whether there is anything at its path."""
        try:
            self.file.stat()
        except (OSError, ValueError):
            return False
        return True

    def read(self) -> bytes:
        """Read the file.

        Raises:
            ImageError: it is no plain file, is larger than ``MAX_IMAGE_BYTES``, or its name cannot be one.
            InputError: it is gone or cannot be read.
        """
        # The file system allows bytes that are not UTF-8; a message is text.
        name = _shown(self.file)
        try:
            size = self.file.stat().st_size
            if not self.file.is_file():
                # A pipe or a device may never end.
                raise ImageError(f"{name} is {'a folder' if self.file.is_dir() else 'not a file'}")
            if size > MAX_IMAGE_BYTES:
                raise ImageError(f"{name} is larger than {MAX_IMAGE_BYTES // 2**20} MiB")
            return self.file.read_bytes()
        except OSError as error:
            raise InputError(
                f"cannot read image {name}: {error.strerror or error}; {_advice(name)}"
            ) from None
        except ValueError as error:  # a NUL character, for example
            raise ImageError(f"not the name of a file ({error})") from None


def find_image(folder: Path, path: str) -> ImageFile:
    """Return the image file that a cell names, also where it divides folders as Windows does.

    Args:
        folder: where paths start.
        path: the cell.
    """
    file = ImageFile(folder / path)
    if "\\" in path and not file.exists:
        other = ImageFile(folder / path.replace("\\", "/"))
        if other.exists:
            return other
    return file


def in_file(file: Path | None, error: ImageError) -> ImageError:
    """Return an error about an image that names the image's own file, if it has one."""
    if file is None or (shown := _shown(file)) in str(error):
        return error
    return type(error)(f"{shown}: {error}")


def _shown(file: Path) -> str:
    return str(file).encode(errors="backslashreplace").decode()[:500]


def _advice(name: str) -> str:
    """Return what to do about a path that leads nowhere."""
    if _OF_WINDOWS.search(name):
        return "it is a path as Windows writes it; write it with /, starting at the benchmark's folder"
    if re.fullmatch(r"[\d.]+", Path(name).name):
        return "no row has this index either; check the index, or the path of the image"
    if name.startswith("~") or "/~" in name:
        return "~ stands for no folder here; write the whole path"
    if "%" in name and ImageFile(Path(unquote(name))).exists:
        return f"the file is {unquote(name)}; write % only where a name has one"
    pieces = re.split(r"\s*[,;|]\s*", name)
    if len(pieces) > 1 and ImageFile(Path(pieces[0])).exists:
        return "these are several paths; write one image a row"
    return "check the path of the image"


@dataclass(frozen=True, slots=True)
class HeldImage:
    """An image that is held in memory, as :func:`inline_image` takes it; for benchmarks that are small."""

    cell: object

    @property
    def file(self) -> None:
        """No file of its own."""

    def read(self) -> bytes:
        """Decode the image's bytes.

        Raises:
            ImageError: the cell holds none.
        """
        return inline_image(self.cell)
