"""Shards: safetensors files of hidden states, complete in themselves (DESIGN 5).

One tensor per layer, ``layer.017`` of shape (pairs, 2, dim), in the model's own dtype; the header holds the pair ids
and the predictions, so that rows can be rebuilt from a shard alone.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.arrays import to_float32
from vlmprobe.errors import InputError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = [
    "Answer",
    "FailureRecord",
    "ShardContent",
    "ShardFile",
    "read_header",
    "read_layer",
    "read_pair_ids",
    "unreadable",
    "write_shard",
]

_SAFETENSORS_DTYPE = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_NUMPY_DTYPE: dict[str, type[np.generic]] = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_NAME_OF = {code: name for name, code in _SAFETENSORS_DTYPE.items()}
_HEADER_KEY = "vlmprobe"
_SEAL = "content_sha256"
#: What reading a header that was cut or changed can raise.
_BROKEN = (
    *(
        struct.error,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        ArithmeticError,
    ),
)
#: As safetensors itself has it: a longer header would fill the memory.
_MAX_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """One row of ``predictions``, less the run and the place in the shard."""

    pair_id: str
    side: str
    text: str | None
    parsed: str | None
    correct: bool
    checker: str
    parsed_words: str | None
    correct_words: bool | None
    margin: float | None


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """One row of ``failures``, less the run."""

    pair_id: str
    error: str
    message: str


@dataclass(frozen=True, slots=True)
class ShardContent:
    """What one shard holds, before it is a file."""

    run_id: str
    number: int
    pair_ids: tuple[str, ...]
    states: np.ndarray[Any, Any]
    """(layers, pairs, 2, dim); bfloat16 as uint16 bits."""
    dtype: str
    layers: tuple[int, ...]
    answers: tuple[Answer, ...]
    """Two a pair; of deltas, those of the quads' pairs, if they are known and in no other shard."""
    certificates: tuple[dict[str, Any], ...] = ()
    replaces: bool = False
    """Whether these pairs were answered before and the earlier rows give way (a certificate failed)."""
    kind: str = "states"
    """``states``: orig and swap; ``deltas``: a quad's vertical and distance delta, at which no answer's row points."""


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A shard on disk: its place, hash and header."""

    path: Path
    sha256: str
    n_bytes: int
    run_id: str
    number: int
    pair_ids: tuple[str, ...]
    layers: tuple[int, ...]
    dim: int
    dtype: str
    answers: tuple[Answer, ...]
    certificates: tuple[dict[str, Any], ...] = ()
    replaces: bool = False
    kind: str = "states"


def write_shard(folder: Path, content: ShardContent) -> ShardFile:
    """Write a shard so that after a crash it is there whole or not at all; fsynced before it has its name.

    Raises:
        ValueError: the states are not of the dtype that they are said to be.
    """
    from safetensors import TensorSpec, serialize

    stored_as = _NUMPY_DTYPE.get(_SAFETENSORS_DTYPE.get(content.dtype, ""))
    if content.states.dtype != stored_as:
        raise ValueError(f"states are said to be {content.dtype}, but come as {content.states.dtype}")
    header = {
        "run_id": content.run_id,
        "number": content.number,
        "pair_ids": content.pair_ids,
        "layers": content.layers,
        "answers": [asdict(answer) for answer in content.answers],
        "certificates": content.certificates,
        "replaces": content.replaces,
        "kind": content.kind,
    }
    # NumPy has no bfloat16, so safetensors' own NumPy face cannot say it; the planes must outlive the specs.
    planes = [np.ascontiguousarray(plane) for plane in content.states]
    header[_SEAL] = _seal(header, content.dtype, planes)
    tensors = {
        f"layer.{layer:03d}": TensorSpec(
            dtype=content.dtype, shape=plane.shape, data_ptr=plane.ctypes.data, data_len=plane.nbytes
        )
        for layer, plane in zip(content.layers, planes, strict=True)
    }
    data: bytes = serialize(tensors, {_HEADER_KEY: json.dumps(header, allow_nan=False)})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{content.number:05d}.safetensors"
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        # A full disk does not say which file it was.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)
    _fsync_folder(folder)
    return ShardFile(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        n_bytes=len(data),
        run_id=content.run_id,
        number=content.number,
        pair_ids=content.pair_ids,
        layers=content.layers,
        dim=int(content.states.shape[-1]),
        dtype=content.dtype,
        answers=content.answers,
        certificates=content.certificates,
        replaces=content.replaces,
        kind=content.kind,
    )


def read_header(path: Path) -> ShardFile:
    """Read a shard's header and hash its bytes.

    Raises:
        UnreadableError: the system does not give it.
        InputError: the file is not a whole shard of ours, or not what was written.
    """
    header, start = _open(path)
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        meta = json.loads(header["__metadata__"][_HEADER_KEY])
        first = header[f"layer.{meta['layers'][0]:03d}"]
        # Shards of earlier versions have none.
        seal = meta.pop(_SEAL, None)
        if seal is not None and seal != _seal(
            meta, _NAME_OF[first["dtype"]], _planes(path, meta, header, start)
        ):
            raise InputError(f"{path}: damaged: its content does not have the hash that it was written with")
        return ShardFile(
            path=path,
            sha256=digest,
            n_bytes=path.stat().st_size,
            run_id=meta["run_id"],
            number=meta["number"],
            pair_ids=tuple(meta["pair_ids"]),
            layers=tuple(meta["layers"]),
            dim=first["shape"][-1],
            dtype=_NAME_OF[first["dtype"]],
            answers=tuple(Answer(**answer) for answer in meta["answers"]),
            certificates=tuple(meta["certificates"]),
            replaces=meta["replaces"],
            kind=meta["kind"],
        )
    except OSError as error:
        raise unreadable(path, error) from error
    except _BROKEN as error:
        raise InputError(f"{path}: not a readable shard ({type(error).__name__})") from error


def _planes(
    path: Path, meta: dict[str, Any], header: dict[str, Any], start: int
) -> Iterator[np.ndarray[Any, Any]]:
    """Map the layers of an open shard, one after the other, as stored."""
    for layer in meta["layers"]:
        entry = header[f"layer.{layer:03d}"]
        yield np.memmap(
            path,
            dtype=_NUMPY_DTYPE[entry["dtype"]],
            mode="r",
            offset=start + entry["data_offsets"][0],
            shape=tuple(entry["shape"]),
        )


def _seal(meta: dict[str, Any], dtype: str, planes: Iterable[np.ndarray[Any, Any]]) -> str:
    """Hash what a shard says, with its states: a shard without rows has no other witness of what was written."""
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True, allow_nan=False).encode())
    for plane in planes:
        digest.update(f"{dtype}{plane.shape}".encode())
        digest.update(plane.data)
    return digest.hexdigest()


def read_pair_ids(path: Path) -> tuple[str, ...]:
    """Read what a shard's rows are called.

    Raises:
        UnreadableError: the system does not give it.
        InputError: the file is not a whole shard of ours.
    """
    header, _ = _open(path)
    try:
        return tuple(json.loads(header["__metadata__"][_HEADER_KEY])["pair_ids"])
    except _BROKEN as error:
        raise InputError(f"{path}: not a readable shard ({type(error).__name__})") from error


def read_layer(
    path: Path, layer: int, rows: Sequence[int] | None = None
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Read one layer as float32, shape (pairs, 2, dim), without touching the others.

    Raises:
        UnreadableError: the system does not give it.
        InputError: the file is not a whole shard of ours or lacks the layer.
    """
    header, start = _open(path)
    entry = header.get(f"layer.{layer:03d}")
    if entry is None:
        raise InputError(f"{path}: has no layer {layer}")
    begin, _ = entry["data_offsets"]
    try:
        raw = np.memmap(
            path,
            dtype=_NUMPY_DTYPE[entry["dtype"]],
            mode="r",
            offset=start + begin,
            shape=tuple(entry["shape"]),
        )
        chosen = np.asarray(raw if rows is None else raw[np.asarray(rows, dtype=np.intp)])
    except OSError as error:
        raise unreadable(path, error) from error
    except _BROKEN as error:
        raise InputError(f"{path}: layer {layer} cannot be read ({type(error).__name__})") from error
    return to_float32(chosen, _NAME_OF[entry["dtype"]])


def _open(path: Path) -> tuple[dict[str, Any], int]:
    """Return the safetensors header and where its data begins, having checked that the file is whole."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(path.stat().st_size, _MAX_HEADER):
                raise InputError(
                    f"{path}: truncated or not a shard; run 'vlmprobe extract' again to redo its pairs"
                )
            header = json.loads(stream.read(length))
            end = 0
            tensors = [entry for name, entry in header.items() if name != "__metadata__"]
            for entry in sorted(tensors, key=lambda entry: entry["data_offsets"]):
                if not all(type(side) is int and side >= 0 for side in entry["shape"]):
                    raise ValueError("a shape is no list of sizes")
                size = math.prod(entry["shape"]) * np.dtype(_NUMPY_DTYPE[entry["dtype"]]).itemsize
                if entry["data_offsets"] != [end, end + size]:
                    raise ValueError("the tensors do not lie one after the other")
                end += size
            whole = _HEADER_KEY in header["__metadata__"] and 8 + length + end == path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error
    except _BROKEN as error:
        raise InputError(f"{path}: not a readable shard ({type(error).__name__})") from error
    if not whole:
        raise InputError(f"{path}: truncated or not a shard; run 'vlmprobe extract' again to redo its pairs")
    return header, 8 + length


def unreadable(path: Path, error: OSError) -> UnreadableError:
    """Build the error for a shard that the system does not give: of what is in it, that says nothing."""
    return UnreadableError(
        f"{path}: cannot be read: {error.strerror or error}; start the same command again when it can"
    )


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
