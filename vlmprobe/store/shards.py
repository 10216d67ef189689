"""Shards: self-contained safetensors files of hidden states (DESIGN 5).

One tensor per layer, ``layer.017`` of shape (pairs, 2, dim), in the model's own dtype; the header holds the pair ids
and the predictions, so that rows can be rebuilt from a shard alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.arrays import to_float32
from vlmprobe.errors import InputError
from vlmprobe.store.layer_file import META_KEY, LayerFile, layer_name, reading, stored_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = [
    "LAYER_HASHES",
    "Answer",
    "FailureRecord",
    "ShardContent",
    "ShardFile",
    "read_header",
    "read_layer",
    "read_pair_ids",
    "shard_name",
    "shard_number",
    "write_shard",
]

#: Key of the hash of all that a shard holds, in its header.
_SEAL = "content_sha256"
#: Key of the hashes of the layers, in their order, for those who read one of them alone.
LAYER_HASHES = "layers_sha256"
_NAME = re.compile(r"([0-9]+)(?:-[0-9a-f]{8})?")


@dataclass(frozen=True, slots=True)
class Answer:
    """One row of ``predictions``, without the run and the position in the shard."""

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
    """One row of ``failures``, without the run."""

    pair_id: str
    error: str
    message: str


@dataclass(frozen=True, slots=True)
class ShardContent:
    """The content of a shard before it is written."""

    run_id: str
    number: int
    pair_ids: tuple[str, ...]
    states: np.ndarray[Any, Any]
    """(layers, pairs, 2, dim); bfloat16 as uint16 bits."""
    dtype: str
    layers: tuple[int, ...]
    answers: tuple[Answer, ...]
    """Two per pair; for deltas, those of the quads' pairs, if they are known and in no other shard."""
    certificates: tuple[dict[str, Any], ...] = ()
    replaces: bool = False
    """Whether this shard replaces earlier rows of its pairs, because a certificate failed."""
    kind: str = "states"
    """``states``: orig and swap; ``deltas``: a quad's vertical and distance delta; no answers point here."""
    mark: str = ""
    """Of the process that writes it, where several machines may write one run; part of the file's name."""


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


def shard_name(number: int, mark: str = "") -> str:
    """Return the name of a shard's file."""
    return f"{number:05d}{'-' if mark else ''}{mark}.safetensors"


def shard_number(path: Path) -> int | None:
    """Return the number in the name of a shard, whole or half-written; None if it is no such name."""
    found = _NAME.fullmatch(path.stem)
    return int(found[1]) if found else None


def write_shard(folder: Path, content: ShardContent) -> ShardFile:
    """Write a shard atomically: it is fsynced before it gets its name, so no crash leaves half a shard.

    Raises:
        ValueError: the states do not have the declared dtype.
    """
    from safetensors import TensorSpec, serialize

    if content.states.dtype != stored_as(content.dtype):
        raise ValueError(f"states are declared as {content.dtype} but stored as {content.states.dtype}")
    header: dict[str, Any] = {
        "run_id": content.run_id,
        "number": content.number,
        "pair_ids": content.pair_ids,
        "layers": content.layers,
        "answers": [asdict(answer) for answer in content.answers],
        "certificates": content.certificates,
        "replaces": content.replaces,
        "kind": content.kind,
    }
    # NumPy has no bfloat16, so safetensors' NumPy API cannot write it. The planes must outlive the specs.
    planes = [np.ascontiguousarray(plane) for plane in content.states]
    header[LAYER_HASHES] = [hashlib.sha256(plane.data).hexdigest() for plane in planes]
    header[_SEAL] = _seal(header, content.dtype, planes)
    tensors = {
        layer_name(layer): TensorSpec(
            dtype=content.dtype, shape=plane.shape, data_ptr=plane.ctypes.data, data_len=plane.nbytes
        )
        for layer, plane in zip(content.layers, planes, strict=True)
    }
    data: bytes = serialize(tensors, {META_KEY: json.dumps(header, allow_nan=False)})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / shard_name(content.number, content.mark)
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        # A full disk's error does not name the file.
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
        UnreadableError: it cannot be read right now.
        InputError: the file is not a complete shard of ours, or not what was written.
    """
    file = LayerFile.open(path)
    with reading(path):
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        meta = file.meta()
        first = meta["layers"][0]
        # Shards of earlier versions have none.
        seal = meta.pop(_SEAL, None)
        if seal is not None and seal != _seal(meta, file.dtype(first), map(file.plane, meta["layers"])):
            raise InputError(f"{path}: damaged; the hash of its content has changed since it was written")
        return ShardFile(
            path=path,
            sha256=digest,
            n_bytes=path.stat().st_size,
            run_id=meta["run_id"],
            number=meta["number"],
            pair_ids=tuple(meta["pair_ids"]),
            layers=tuple(meta["layers"]),
            dim=file.dim(first),
            dtype=file.dtype(first),
            answers=tuple(Answer(**answer) for answer in meta["answers"]),
            certificates=tuple(meta["certificates"]),
            replaces=meta["replaces"],
            kind=meta["kind"],
        )


def _seal(meta: dict[str, Any], dtype: str, planes: Iterable[np.ndarray[Any, Any]]) -> str:
    """Hash a shard's header and states; nothing else can show that a shard without rows is intact."""
    digest = hashlib.sha256(json.dumps(meta, sort_keys=True, allow_nan=False).encode())
    for plane in planes:
        digest.update(f"{dtype}{plane.shape}".encode())
        digest.update(plane.data)
    return digest.hexdigest()


def read_pair_ids(path: Path) -> tuple[str, ...]:
    """Read the pair ids of a shard.

    Raises:
        UnreadableError: it cannot be read right now.
        InputError: the file is not a complete shard of ours.
    """
    file = LayerFile.open(path)
    with reading(path):
        return tuple(file.meta()["pair_ids"])


def read_layer(
    path: Path, layer: int, rows: Sequence[int] | None = None
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Read one layer as float32, shape (pairs, 2, dim), without touching the others.

    Raises:
        UnreadableError: it cannot be read right now.
        InputError: the file is not a complete shard of ours or lacks the layer.
    """
    file = LayerFile.open(path)
    if layer not in file:
        raise InputError(f"{path}: has no layer {layer}")
    with reading(path, f"layer {layer} cannot be read"):
        plane = file.plane(layer)
        chosen = np.asarray(plane if rows is None else plane[np.asarray(rows, dtype=np.intp)])
    return to_float32(chosen, file.dtype(layer))


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
