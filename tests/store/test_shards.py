"""Shards: true safetensors files that are there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from vlmprobe.errors import InputError
from vlmprobe.store.shards import read_header, read_layer, write_shard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vlmprobe.store.shards import ShardContent

    Make = Callable[..., ShardContent]

STORED_AS = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}


def _states(dtype: str) -> np.ndarray[Any, Any]:
    """Every bit pattern of 16 bits that is a number (and some of 32), as (layers, pairs, 2, dim)."""
    bits = np.arange(2**16, dtype=np.uint16)
    if dtype == "float32":
        return (
            np.random.default_rng(0)
            .integers(0, 2**31 - 2**24, 24000, np.uint32)
            .view(np.float32)
            .reshape(2, 3, 2, -1)
        )
    finite = np.isfinite(bits.view(np.float16)) if dtype == "float16" else (bits & 0x7F80) != 0x7F80
    kept = bits[finite]
    return kept[: len(kept) // 24 * 24].view(STORED_AS[dtype]).reshape(2, 3, 2, -1)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_shard_keeps_every_bit(tmp_path: Path, shard_content: Make, dtype: str) -> None:
    """Read by us and by safetensors with torch, which knows nothing of us."""
    states = _states(dtype)
    shard = write_shard(tmp_path, shard_content(pair_ids=("1", "2", "3"), states=states, dtype=dtype))
    assert shard.path.name == "00001.safetensors"
    with safe_open(shard.path, framework="pt") as file:
        assert sorted(file.keys()) == ["layer.000", "layer.005"]
        for plane, layer in zip(states, (0, 5), strict=True):
            tensor = file.get_tensor(f"layer.{layer:03d}")
            assert tensor.dtype == getattr(torch, dtype)
            integers = np.int32 if dtype == "float32" else np.int16
            as_bits = tensor.view(torch.int32 if dtype == "float32" else torch.int16).numpy()
            np.testing.assert_array_equal(as_bits, plane.view(integers))
            ours = read_layer(shard.path, layer)
            assert ours.dtype == np.float32
            np.testing.assert_array_equal(ours.view(np.uint32), tensor.float().numpy().view(np.uint32))


def test_a_shard_tells_all_about_itself(tmp_path: Path, shard_content: Make) -> None:
    """Its header gives back what writing it returned, answers and hash included."""
    certificate = {"batch": 3, "passed": False, "max_rel_dh": None}
    written = write_shard(tmp_path, shard_content(7, certificates=(certificate,), replaces=True, text="über"))
    assert read_header(written.path) == written
    assert (written.number, written.pair_ids, written.layers, written.dim) == (7, ("1", "2"), (0, 5), 4)
    assert written.answers[1].side == "swap"
    content = written.path.read_bytes()
    assert (written.n_bytes, written.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_rows_of_a_layer_come_in_the_order_asked_for(tmp_path: Path, shard_content: Make) -> None:
    """Analysis picks the pairs that it needs."""
    content = shard_content(pair_ids=("1", "2", "3"))
    path = write_shard(tmp_path, content).path
    np.testing.assert_array_equal(read_layer(path, 5, [2, 0]), content.states[1][[2, 0]])
    assert read_layer(path, 5, []).shape == (0, 2, 4)


def test_a_layer_that_was_not_kept_is_an_error(tmp_path: Path, shard_content: Make) -> None:
    """The error names file and layer."""
    path = write_shard(tmp_path, shard_content()).path
    with pytest.raises(InputError, match=r"00001.safetensors: has no layer 3"):
        read_layer(path, 3)


def test_states_of_another_dtype_than_said_are_refused(tmp_path: Path, shard_content: Make) -> None:
    """bfloat16 travels as bits: floating-point numbers would be cut to whole ones without a word."""
    with pytest.raises(ValueError, match="declared as bfloat16 but stored as float32"):
        write_shard(tmp_path, replace(shard_content(), dtype="bfloat16"))


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace"])
def test_a_write_that_fails_leaves_no_file(
    tmp_path: Path, shard_content: Make, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A full disk or Ctrl-C, in the middle or at the end, leaves what was there before."""
    before = write_shard(tmp_path, shard_content(text="before"))

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(failing, fail)
    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, shard_content(text="after"))
    assert list(tmp_path.iterdir()) == [before.path]
    assert read_header(before.path) == before


def test_a_file_cut_anywhere_is_an_input_error(tmp_path: Path, shard_content: Make) -> None:
    """From nothing to one byte less than all."""
    path = write_shard(tmp_path, shard_content()).path
    whole = path.read_bytes()
    for length in [*range(0, 200), len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="shard"):
            read_header(path)
        with pytest.raises(InputError, match="shard"):
            read_layer(path, 0)


def test_a_longer_file_is_an_input_error(tmp_path: Path, shard_content: Make) -> None:
    """Two files written into one are no shard."""
    path = write_shard(tmp_path, shard_content()).path
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InputError, match="truncated or not a shard"):
        read_header(path)


def test_a_flipped_bit_is_an_input_error_or_changes_nothing(tmp_path: Path, shard_content: Make) -> None:
    """Header or states: what reads as a shard says what was written (a blank may become another)."""
    written = write_shard(tmp_path, shard_content(pair_ids=("1",)))
    path, states = written.path, [read_layer(written.path, layer).tobytes() for layer in (0, 5)]
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        bit = (0x01, 0x20, 0x80)[place % 3]
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        try:
            assert replace(read_header(path), sha256=written.sha256) == written
            assert [read_layer(path, layer).tobytes() for layer in (0, 5)] == states
        except InputError:
            refused += 1
    assert refused > 0.9 * len(whole)


def test_a_shard_of_an_earlier_version_has_no_seal_and_is_read(tmp_path: Path, shard_content: Make) -> None:
    """Only what is written from now on carries the hash of its content."""
    written = write_shard(tmp_path, shard_content())
    whole = written.path.read_bytes()
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8:end])
    meta = json.loads(header["__metadata__"]["vlmprobe"])
    del meta["content_sha256"]
    header["__metadata__"]["vlmprobe"] = json.dumps(meta)
    text = json.dumps(header).encode()
    written.path.write_bytes(struct.pack("<Q", len(text)) + text + whole[end:])
    read = read_header(written.path)
    assert (read.pair_ids, read.answers) == (written.pair_ids, written.answers)


@pytest.mark.parametrize(
    "changed",
    [
        {"data_offsets": [0, 32]},
        {"data_offsets": [32, 96]},
        {"shape": [2, 2, 5]},
        {"dtype": "F16"},
        {"dtype": "I64"},
        {"shape": None},
    ],
)
def test_tensors_that_do_not_fill_the_file_are_an_input_error(
    tmp_path: Path, shard_content: Make, changed: dict[str, Any]
) -> None:
    """Otherwise one layer's numbers would be read as another's."""
    path = write_shard(tmp_path, shard_content()).path
    whole = path.read_bytes()
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8:end])
    header["layer.005"] |= changed
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + whole[end:])
    with pytest.raises(InputError, match="not a readable shard"):
        read_layer(path, 0)


def test_someone_elses_safetensors_file_is_an_input_error(tmp_path: Path) -> None:
    """A checkpoint is no shard."""
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="shard"):
        read_header(tmp_path / "model.safetensors")
