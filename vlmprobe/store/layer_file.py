"""Safetensors files with one tensor a layer, ``layer.017``, read without trusting them and one layer at a time.

Read here and not by safetensors: NumPy has no bfloat16, so its NumPy face cannot give one, and a file that was cut,
changed or is no file of ours must be told in a line.
"""

from __future__ import annotations

import json
import math
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.errors import InputError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

__all__ = ["META_KEY", "LayerFile", "layer_name", "reading", "stored_as", "unreadable"]

#: Where in the header our own JSON is.
META_KEY = "vlmprobe"
_CODES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_NUMPY_DTYPE: dict[str, type[np.generic]] = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_NAME_OF = {code: name for name, code in _CODES.items()}
#: Exceptions that a truncated or altered header can raise.
_BROKEN = (struct.error, ValueError, LookupError, TypeError, AttributeError, RecursionError, ArithmeticError)
#: The limit of safetensors itself; a longer header would fill the memory.
_MAX_HEADER = 100_000_000


def layer_name(layer: int) -> str:
    """Return the name of a layer's tensor."""
    return f"layer.{layer:03d}"


def stored_as(dtype: str) -> type[np.generic] | None:
    """Return the NumPy type that holds a number format: ``uint16`` for bfloat16's bits, None for an unknown one."""
    return _NUMPY_DTYPE.get(_CODES.get(dtype, ""))


def unreadable(path: Path, error: OSError) -> UnreadableError:
    """Build the error for a shard that cannot be read right now; its content may still be intact."""
    return UnreadableError(
        f"{path}: cannot be read: {error.strerror or error}; rerun the same command once it is readable"
    )


@contextmanager
def reading(path: Path, problem: str = "not a readable shard") -> Iterator[None]:
    """Turn what reading a damaged file can raise into the line that a user sees.

    Raises:
        UnreadableError: the system does not give it.
        InputError: what was read makes no sense.
    """
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from error
    except _BROKEN as error:
        raise InputError(f"{path}: {problem} ({type(error).__name__})") from error


@dataclass(frozen=True, slots=True)
class LayerFile:
    """A file that is known to be whole."""

    path: Path
    header: dict[str, Any]
    """As safetensors has it: name -> dtype, shape and offsets of each tensor, and ``__metadata__``."""
    start: int
    """Where the tensors begin."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read and check the header.

        Raises:
            UnreadableError: the system does not give it.
            InputError: the file is not a whole shard of ours.
        """
        with reading(path), path.open("rb") as stream:
            size = path.stat().st_size
            (length,) = struct.unpack("<Q", stream.read(8))
            start = 8 + length
            if length <= min(size, _MAX_HEADER):
                header = json.loads(stream.read(length))
                if start + _length_of_tensors(header) == size and META_KEY in header["__metadata__"]:
                    return cls(path, header, start)
        raise InputError(f"{path}: truncated or not a shard; rerun 'vlmprobe extract' to redo its pairs")

    def meta(self) -> dict[str, Any]:
        """Read what we wrote into the header ourselves."""
        meta: dict[str, Any] = json.loads(self.header["__metadata__"][META_KEY])
        return meta

    def __contains__(self, layer: int) -> bool:
        return layer_name(layer) in self.header

    def dtype(self, layer: int) -> str:
        """Return the number format of a layer."""
        return _NAME_OF[self.header[layer_name(layer)]["dtype"]]

    def dim(self, layer: int) -> int:
        """Return the length of a layer's states."""
        length: int = self.header[layer_name(layer)]["shape"][-1]
        return length

    def plane(self, layer: int) -> np.ndarray[Any, Any]:
        """Map a layer as it is stored, (pairs, 2, dim); bfloat16 as uint16 bits."""
        entry = self.header[layer_name(layer)]
        return np.memmap(
            self.path,
            dtype=_NUMPY_DTYPE[entry["dtype"]],
            mode="r",
            offset=self.start + entry["data_offsets"][0],
            shape=tuple(entry["shape"]),
        )


def _length_of_tensors(header: dict[str, Any]) -> int:
    """Return how many bytes the tensors take, having checked that they lie one after the other.

    Raises:
        ValueError: they do not, or a shape is not a list of sizes.
    """
    end = 0
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    for entry in sorted(tensors, key=lambda entry: entry["data_offsets"]):
        if not all(type(side) is int and side >= 0 for side in entry["shape"]):
            raise ValueError("a shape is not a list of sizes")
        size = math.prod(entry["shape"]) * np.dtype(_NUMPY_DTYPE[entry["dtype"]]).itemsize
        if entry["data_offsets"] != [end, end + size]:
            raise ValueError("the tensors are not stored one after another")
        end += size
    return end
