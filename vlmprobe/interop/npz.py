"""Writes NPZ files one member at a time, and reads them without trusting their headers.

Replaces ``numpy.load``, which trusts a member's own header about its size and allocates that much.
"""

from __future__ import annotations

import lzma
import os
import struct
import tokenize
import zipfile
import zlib
from contextlib import contextmanager
from math import prod
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from vlmprobe.errors import InputError
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["MAX_BYTES", "NpzReader", "write_npz"]

#: No file of the old layout comes near this; a zip bomb does.
MAX_BYTES = 64 * 2**30
#: One array: 100,000 pairs of 8,192 dimensions are 3 GiB.
_MAX_MEMBER = 7 * 2**29
#: Larger arrays must not unpack to more than this many times their bytes: states reach 2, a bomb 1,000.
_HARMLESS, _MAX_RATIO = 64 * 2**20, 100

_SUFFIX = ".npy"
#: Exceptions that a truncated, altered or encrypted zip file can raise.
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError, struct.error),
    *(
        OSError,
        EOFError,
        ValueError,
        TypeError,
        ArithmeticError,
        LookupError,
        RuntimeError,
        SyntaxError,
        MemoryError,
    ),
)


def write_npz(path: Path, members: Iterable[tuple[str, npt.NDArray[Any]]], *, compress: bool = False) -> None:
    """Write arrays under their names, in order; an existing file is replaced once the new one is complete.

    Raises:
        ValueError: an array would need a pickle.
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with whole_file(path) as partial, zipfile.ZipFile(partial, "w", method, allowZip64=True) as archive:
        for name, array in members:
            # A fixed date: the same arrays give the same bytes.
            info = zipfile.ZipInfo(name + _SUFFIX)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


class NpzReader:
    """A context manager over an NPZ file that checks sizes first; names omit ``.npy``.

    Raises:
        InputError: the file is no NPZ, or holds more than ``max_bytes`` when unpacked, or an array of more
            than 3.5 GiB.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except _BROKEN as error:
            raise InputError(
                f"{path}: not a readable NPZ file ({_reason(error)}); copy it again from its source"
            ) from None
        infos = self._archive.infolist()
        self._members = {info.filename.removesuffix(_SUFFIX): info for info in infos}
        unpacked = sum(info.file_size for info in infos)
        largest = max(infos, key=lambda info: info.file_size, default=None)
        problem = None
        if len(self._members) != len(infos):
            problem = "the same key twice; save it again with numpy.savez"
        elif unpacked > max_bytes:
            problem = (
                f"{unpacked / 2**30:.1f} GiB when unpacked, more than the {max_bytes / 2**30:.1f} GiB allowed; "
                "if that is intended, save fewer layers per file"
            )
        elif largest is not None and largest.file_size > _MAX_MEMBER:
            problem = (
                f"{largest.filename.removesuffix(_SUFFIX)} with {largest.file_size / 2**30:.1f} GiB, more than the "
                f"{_MAX_MEMBER / 2**30:.1f} GiB an array may have; if that is intended, save fewer pairs per file"
            )
        elif bomb := next((info for info in infos if _is_bomb(info)), None):
            problem = (
                f"{bomb.filename.removesuffix(_SUFFIX)[:60]!r}, which unpacks to {bomb.file_size / 2**20:.0f} MiB from "
                f"{bomb.compress_size / 2**20:.2f} MiB, unlike any hidden states; if that is intended, "
                "save it uncompressed (numpy.savez)"
            )
        if problem:
            self._archive.close()
            raise InputError(f"{path}: holds {problem}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the arrays, in the file's order."""
        return tuple(self._members)

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def read(self, key: str) -> npt.NDArray[Any]:
        """Read one array.

        Raises:
            InputError: no such key, the member is damaged, larger than the file says, or needs a pickle.
        """
        with self._open(key) as file:
            self._check_header(key, file)
        with self._open(key) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    @contextmanager
    def _open(self, key: str) -> Iterator[IO[bytes]]:
        if key not in self._members:
            raise InputError(f"{self.path}: {key} is missing; the file has {_listed(self.keys)}")
        try:
            with self._archive.open(self._members[key]) as file:
                yield file
        except _BROKEN as error:
            raise InputError(
                f"{self.path}: {key} cannot be read ({_reason(error)}); copy the file again from its source"
            ) from None

    def _check_header(self, key: str, file: IO[bytes]) -> None:
        """Reject what would be unpickled, and what claims to be larger than it is."""
        version = np.lib.format.read_magic(file)
        reader = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if reader is None:
            raise ValueError(f"npy format {version[0]}.{version[1]}")
        shape, _, dtype = reader(file)
        if dtype.hasobject:
            raise InputError(
                f"{self.path}: {key} holds pickled Python objects, which can run code and are never loaded; if you "
                "trust the file, save it as plain arrays: python -c \"import numpy as np; z = np.load('OLD.npz', "
                "allow_pickle=True); np.savez('NEW.npz', **{k: np.array(z[k].tolist()) if z[k].dtype == object "
                'else z[k] for k in z.files})" and put NEW.npz in its place'
            )
        # Even an item of zero bytes takes memory once it is a Python object.
        if prod(shape) * max(dtype.itemsize, 1) > self._members[key].file_size or min(shape, default=0) < 0:
            raise ValueError(f"shape {shape} in {self._members[key].file_size} bytes")


def _is_bomb(info: zipfile.ZipInfo) -> bool:
    return info.file_size > max(_HARMLESS, _MAX_RATIO * info.compress_size)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return " ".join(str(error).split())[:120] or type(error).__name__


def _listed(names: tuple[str, ...], most: int = 12) -> str:
    if not names:
        return "no array at all"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
