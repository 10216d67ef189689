"""Where a pair's image comes from: a file of its own, bytes in memory, or a cell of a table.

A pair keeps its source and not its image, so that a long list of pairs is small. The sources of cells stand with
their tables in ``vlmprobe.pairs.tables``; a reader may have one of its own, which draws a mark for example.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vlmprobe.errors import ImageError, InputError
from vlmprobe.pairs.images import decode_base64

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_IMAGE_BYTES", "HeldImage", "ImageFile", "ImageSource", "inline_image", "named_file"]

#: A larger image file is refused instead of filling the memory.
MAX_IMAGE_BYTES = 256 * 2**20

_DATA_URL = re.compile(r"\s*data:", re.IGNORECASE)


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

    def read(self) -> bytes:
        """Read the file.

        Raises:
            ImageError: it is no plain file, is larger than ``MAX_IMAGE_BYTES``, or its name cannot be one.
            InputError: it is gone or cannot be read.
        """
        try:
            size = self.file.stat().st_size
            if not self.file.is_file():
                # A pipe or a device may never end.
                raise ImageError(f"{self.file} is not a file")
            if size > MAX_IMAGE_BYTES:
                raise ImageError(f"{self.file} is larger than {MAX_IMAGE_BYTES // 2**20} MiB")
            return self.file.read_bytes()
        except OSError as error:
            name = str(self.file).encode(errors="backslashreplace").decode()
            raise InputError(
                f"cannot read image {name[:500]}: {error.strerror or error}; check the path of the image"
            ) from None
        except ValueError as error:  # a NUL character, for example
            raise ImageError(f"not the name of a file ({error})") from None


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


def named_file(cell: object) -> str | None:
    """Return the path in a cell that names an image file; None if the cell should hold the image itself.

    A text with a dot is a path, since base64 has no dot; ``./photo`` names a file without an ending. Data URLs
    are no paths. Of ``{bytes, path}`` the path counts where there are no bytes.
    """
    if isinstance(cell, dict):
        path = cell.get("path")
        return path if cell.get("bytes") is None and isinstance(path, str) and path else None
    if isinstance(cell, str) and "." in cell and not _DATA_URL.match(cell):
        return cell.strip()
    return None


def inline_image(cell: object) -> bytes:
    """Return the image that a cell holds: bytes, base64 text, a data URL, or one of these as ``{bytes, path}``.

    Raises:
        ImageError: it holds none.
    """
    held = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(held, bytes) and held:
        return held
    if held is None or held in (b"", ""):
        raise ImageError("empty")
    if not isinstance(held, str):
        raise ImageError(f"a {type(held).__name__}; use a path, base64, bytes or {{bytes, path}}")
    return decode_base64(held)
