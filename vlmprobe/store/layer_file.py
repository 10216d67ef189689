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

__all__ = ["META_KEY", "LayerFile", "LayerHeader", "layer_name", "reading", "stored_as", "unreadable"]

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
class LayerHeader:
    """The header of a file, which fits the file's length."""

    header: dict[str, Any]
    """As safetensors has it: name -> dtype, shape and offsets of each tensor, and ``__metadata__``."""
    start: int
    """Where the tensors begin."""

    @staticmethod
    def ends_at(prefix: bytes, size: int) -> int | None:
        """Return where the header of a file of ``size`` bytes ends, from its first 8 bytes; None if it has none.

        Raises:
            struct.error: there are fewer bytes.
        """
        (length,) = struct.unpack("<Q", prefix[:8])
        return 8 + length if length <= min(size, _MAX_HEADER) else None

    @classmethod
    def parse(cls, head: bytes, size: int) -> Self | None:
        """Read the head of a file of ``size`` bytes, up to its first tensor; None if it is no whole shard of ours.

        Raises:
            ValueError, LookupError, TypeError and the like: it makes no sense; see :func:`reading`.
        """
        header = json.loads(head[8:])
        fits = len(head) + _length_of_tensors(header) == size
        return cls(header, len(head)) if fits and META_KEY in header["__metadata__"] else None

    def meta(self) -> dict[str, Any]:
        """Read what we wrote into the header ourselves."""
        meta: dict[str, Any] = json.loads(self.header["__metadata__"][META_KEY])
        return meta

    def __contains__(self, layer: int) -> bool:
        return layer_name(layer) in self.header

    def dtype(self, layer: int) -> str:
        """Return the number format of a layer."""
        return _NAME_OF[self.header[layer_name(layer)]["dtype"]]

    def shape(self, layer: int) -> tuple[int, ...]:
        """Return the shape of a layer, (pairs, 2, dim)."""
        return tuple(self.header[layer_name(layer)]["shape"])

    def dim(self, layer: int) -> int:
        """Return the length of a layer's states."""
        return self.shape(layer)[-1]

    def span(self, layer: int) -> tuple[int, int]:
        """Return where in the file a layer begins and ends, in bytes."""
        first, last = self.header[layer_name(layer)]["data_offsets"]
        return self.start + first, self.start + last

    def decode(self, layer: int, data: bytes) -> np.ndarray[Any, Any]:
        """Return a layer as it is stored, (pairs, 2, dim), from its bytes; bfloat16 as uint16 bits."""
        entry = self.header[layer_name(layer)]
        return np.frombuffer(data, dtype=_NUMPY_DTYPE[entry["dtype"]]).reshape(self.shape(layer))


@dataclass(frozen=True, slots=True)
class LayerFile(LayerHeader):
    """A file that is known to be whole."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read and check the header.

        Raises:
            UnreadableError: the system does not give it.
            InputError: the file is not a whole shard of ours.
        """
        with reading(path), path.open("rb") as stream:
            size = path.stat().st_size
            prefix = stream.read(8)
            end = LayerHeader.ends_at(prefix, size)
            if end is not None and (head := LayerHeader.parse(prefix + stream.read(end - 8), size)):
                return cls(head.header, head.start, path)
        raise InputError(f"{path}: truncated or not a shard; rerun 'vlmprobe extract' to redo its pairs")

    def plane(self, layer: int) -> np.ndarray[Any, Any]:
        """Map a layer as it is stored, (pairs, 2, dim); bfloat16 as uint16 bits."""
        entry = self.header[layer_name(layer)]
        return np.memmap(
            self.path,
            dtype=_NUMPY_DTYPE[entry["dtype"]],
            mode="r",
            offset=self.span(layer)[0],
            shape=self.shape(layer),
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
