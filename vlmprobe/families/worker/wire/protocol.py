"""The protocol between vlmprobe and a worker: framed JSON with binary blobs over pipes, no pickle.

    frame = b"vlmp" | version, 1 byte | header's length, 4 bytes, big endian | header, JSON in UTF-8 | blobs

The header's key ``blobs`` holds their lengths. Both sides use this file.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.contract import (
    BatchItem,
    BatchOutput,
    LoadOptions,
    ModelInfo,
    Unembedding,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

__all__ = [
    "ProtocolError",
    "read_info",
    "read_items",
    "read_options",
    "read_output",
    "read_unembedding",
    "receive",
    "send",
    "write_info",
    "write_items",
    "write_options",
    "write_output",
    "write_unembedding",
]

_MAGIC = b"vlmp"
_VERSION = 1
_HEAD = struct.Struct(">4sBI")
#: No valid header or blob comes near these; a stream that got out of sync would.
_MAX_HEADER = 64 * 2**20
_MAX_BLOB = 16 * 2**30


class ProtocolError(Exception):
    """The stream holds something other than a frame."""


def send(stream: IO[bytes], header: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write one frame."""
    text = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}).encode()
    stream.write(_HEAD.pack(_MAGIC, _VERSION, len(text)) + text)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]] | None:
    """Read one frame; None when the stream ends before one begins.

    Raises:
        ProtocolError: the data is not a frame, is of another version, or is cut short.
    """
    head = stream.read(_HEAD.size)
    if not head:
        return None
    if len(head) < _HEAD.size:
        raise ProtocolError("the stream ends inside a frame")
    magic, version, length = _HEAD.unpack(head)
    if magic != _MAGIC or version != _VERSION or length > _MAX_HEADER:
        raise ProtocolError(f"this is not a frame of version {_VERSION}: {head!r}")
    try:
        header = json.loads(_exactly(stream, length))
        sizes = [int(size) for size in header.pop("blobs")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"a frame's header cannot be read: {error}") from error
    if not all(0 <= size <= _MAX_BLOB for size in sizes):
        raise ProtocolError("a blob's length is out of range")
    return header, [_exactly(stream, size) for size in sizes]


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise ProtocolError("the stream ends inside a frame")
    return data


def write_options(options: LoadOptions) -> dict[str, Any]:
    """Return load options as JSON."""
    return asdict(options)


def read_options(said: dict[str, Any]) -> LoadOptions:
    """Return load options from JSON."""
    layers = said["layers"]
    lists = {"layers": None if layers is None else tuple(layers), "devices": tuple(said["devices"])}
    return LoadOptions(**{**said, **lists})


def write_info(info: ModelInfo) -> dict[str, Any]:
    """Return a model's info as JSON."""
    return asdict(info)


def read_info(said: dict[str, Any]) -> ModelInfo:
    """Return a model's info from JSON."""
    return ModelInfo(**{**said, "layers": tuple(said["layers"])})


def write_items(items: Sequence[BatchItem]) -> tuple[dict[str, Any], list[bytes]]:
    """Return pairs as JSON and the RGB bytes of each distinct image object."""
    places: dict[int, int] = {}
    images: list[list[int]] = []
    blobs: list[bytes] = []
    rows: list[list[Any]] = []
    for item in items:
        if id(item.image) not in places:
            places[id(item.image)] = len(images)
            rgb = item.image.convert("RGB")
            images.append(list(rgb.size))
            blobs.append(rgb.tobytes())
        rows.append([item.pair_id, places[id(item.image)], item.questions, item.answers])
    return {"images": images, "items": rows}, blobs


def read_items(said: dict[str, Any], blobs: Sequence[bytes]) -> list[BatchItem]:
    """Return pairs; those about one image share its object."""
    from PIL import Image

    images = [
        Image.frombytes("RGB", (width, height), blob)
        for (width, height), blob in zip(said["images"], blobs, strict=True)
    ]
    return [
        BatchItem(pair_id, images[image], tuple(questions), (tuple(answers[0]), tuple(answers[1])))
        for pair_id, image, questions, answers in said["items"]
    ]


def write_output(output: BatchOutput) -> tuple[dict[str, Any], list[bytes]]:
    """Return an output as JSON, with the bytes of its states and its margins (float64)."""
    header = {
        "pair_ids": output.pair_ids,
        "texts": output.texts,
        "dtype": output.dtype,
        "shape": output.states.shape,
        "stored": output.states.dtype.str,
    }
    leads = [] if output.leads is None else [output.leads.tobytes()]
    return header, [output.states.tobytes(), output.margins.tobytes(), *leads]


def read_output(said: dict[str, Any], blobs: Sequence[bytes]) -> BatchOutput:
    """Return an output, bit for bit."""
    import numpy as np

    states, margins, *leads = blobs
    return BatchOutput(
        pair_ids=tuple(said["pair_ids"]),
        states=np.frombuffer(states, dtype=said["stored"]).reshape(said["shape"]),
        dtype=said["dtype"],
        texts=tuple((orig, swap) for orig, swap in said["texts"]),
        margins=np.frombuffer(margins, dtype=np.float64).reshape(-1, 2),
        leads=np.frombuffer(leads[0], dtype=np.float64).reshape(-1, 2) if leads else None,
    )


def write_unembedding(found: Unembedding | None) -> tuple[dict[str, Any], list[bytes]]:
    """Return an unembedding as JSON, with the bytes of its arrays (float32)."""
    if found is None:
        return {"none": True}, []
    header = {
        "spellings": found.spellings,
        "tokens": found.tokens,
        "controls": found.controls,
        "n_tokens": found.n_tokens,
        "tied": found.tied,
        "seed": found.seed,
    }
    return header, [each.tobytes() for each in (found.rows, found.gain, found.covariance)]


def read_unembedding(said: dict[str, Any], blobs: Sequence[bytes]) -> Unembedding | None:
    """Return an unembedding, bit for bit; None if the family knows none."""
    import numpy as np

    if said.get("none"):
        return None
    rows, gain, covariance = (np.frombuffer(blob, dtype=np.float32) for blob in blobs)
    dim = len(gain)
    return Unembedding(
        spellings={word: tuple(tokens) for word, tokens in said["spellings"].items()},
        tokens=tuple(said["tokens"]),
        controls=tuple(said["controls"]),
        rows=rows.reshape(-1, dim),
        gain=gain,
        covariance=covariance.reshape(dim, dim),
        n_tokens=said["n_tokens"],
        tied=said["tied"],
        seed=said["seed"],
    )
