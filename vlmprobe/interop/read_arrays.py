"""Reads the NPZ files of the old layout: checks them whole at first, then reads layer by layer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from vlmprobe.errors import InputError
from vlmprobe.interop.npz import NpzReader
from vlmprobe.interop.old_layout import Float32Array, QuadDeltas
from vlmprobe.interop.predictions import parse_verdict
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from vlmprobe.pairs.axes import Category

__all__ = ["Vectors", "read_quads", "read_vectors"]

_T = TypeVar("_T")

#: A stored delta may have been taken in half precision.
_DELTA_TOLERANCE = 1e-2


@dataclass(frozen=True, slots=True)
class Vectors:
    """The content of ``vectors_{scale}.npz``: N pairs, and their states by layer."""

    path: Path
    pair_ids: tuple[str, ...]
    categories: tuple[Category, ...]
    correct_orig: tuple[bool, ...] | None
    correct_swap: tuple[bool, ...] | None
    layers: Mapping[int, Float32Array]
    """Layer -> (N, 2, D)."""


class _ByLayer(Mapping[int, _T]):
    """A file's content by layer, read on access, since a study's states may exceed the memory."""

    def __init__(
        self, path: Path, max_bytes: int, layers: list[int], read: Callable[[NpzReader, int], _T]
    ) -> None:
        self._path, self._max_bytes, self._layers, self._read = path, max_bytes, layers, read

    def __getitem__(self, layer: int) -> _T:
        if layer not in self._layers:
            raise KeyError(layer)
        with NpzReader(self._path, self._max_bytes) as npz:
            return self._read(npz, layer)

    def __iter__(self) -> Iterator[int]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def read_vectors(path: Path, max_bytes: int) -> Vectors:
    """Check every array of ``vectors_{scale}.npz`` and keep the facts about the pairs.

    Raises:
        InputError: a key is missing, needs a pickle, is not finite or does not fit the others; the message names
            file and key.
    """
    with NpzReader(path, max_bytes) as npz:
        layers = _layers(npz, "orig_L", "swap_L")
        first = layers[0]
        pair_ids = _pair_ids(npz, f"indices_L{first}")
        categories = _categories(npz, _either(npz, f"categories_L{first}", f"labels_L{first}"), len(pair_ids))
        verdicts = [_verdicts(npz, f"is_correct_{side}_L{first}", len(pair_ids)) for side in ("orig", "swap")]
        for layer in layers:
            _check_same_pairs(npz, layer, first)
            _check_states(npz, layer, len(pair_ids))
    states = _ByLayer(path, max_bytes, layers, _states_of)
    return Vectors(path, pair_ids, categories, verdicts[0], verdicts[1], states)


def read_quads(path: Path, max_bytes: int) -> QuadDeltas:
    """Check every array of ``cross_group_vectors_{scale}.npz``.

    Raises:
        InputError: as :func:`read_vectors`.
    """
    with NpzReader(path, max_bytes) as npz:
        layers = _layers(npz, "delta_vert_L", "delta_dist_L")
        n = len(_floats(npz, f"delta_vert_L{layers[0]}"))
        for layer in layers:
            keys = f"delta_vert_L{layer}", f"delta_dist_L{layer}"
            vertical, distance = (_finite(npz, key) for key in keys)
            _check_length(npz, keys[0], len(vertical), n)
            _check_same_shape(npz, keys, vertical, distance)
    return QuadDeltas(n, _ByLayer(path, max_bytes, layers, _quads_of))


def _states_of(npz: NpzReader, layer: int) -> Float32Array:
    return np.stack([_floats(npz, f"orig_L{layer}"), _floats(npz, f"swap_L{layer}")], axis=1)


def _quads_of(npz: NpzReader, layer: int) -> tuple[Float32Array, Float32Array]:
    return _floats(npz, f"delta_vert_L{layer}"), _floats(npz, f"delta_dist_L{layer}")


def _layers(npz: NpzReader, *starts: str) -> list[int]:
    """List the layers; each must have a key for each of these prefixes."""
    forms = [re.compile(re.escape(start) + r"(\d{1,6})") for start in starts]
    layers = sorted({int(match[1]) for key in npz.keys for form in forms if (match := form.fullmatch(key))})
    if not layers:
        found = ", ".join(npz.keys[:8]) or "no array at all"
        raise InputError(f"{npz.path}: no layers ({starts[0]}0 or similar); the file has {found}")
    for layer in layers:
        for start in starts:
            if f"{start}{layer}" not in npz:
                raise InputError(
                    f"{npz.path}: {start}{layer} is missing; copy the file again, or save it again"
                )
    return layers


def _check_same_pairs(npz: NpzReader, layer: int, first: int) -> None:
    for name in ("indices", "categories", "labels", "groups", "is_correct_orig", "is_correct_swap"):
        key, of_first = f"{name}_L{layer}", f"{name}_L{first}"
        if (key in npz) != (of_first in npz):
            missing, present = (of_first, key) if key in npz else (key, of_first)
            raise InputError(f"{npz.path}: {missing} is missing, but {present} is there; save the file again")
        if key in npz and not np.array_equal(npz.read(key), npz.read(of_first)):
            raise InputError(
                f"{npz.path}: {key} differs from {of_first}; every layer must hold the same pairs in the same order"
            )
    labels, categories = f"labels_L{layer}", f"categories_L{layer}"
    if labels in npz and categories in npz and not np.array_equal(npz.read(labels), npz.read(categories)):
        raise InputError(
            f"{npz.path}: {labels} differs from {categories}; states and deltas belong to different pairs"
        )


def _check_states(npz: NpzReader, layer: int, n: int) -> None:
    keys = f"orig_L{layer}", f"swap_L{layer}"
    orig, swap = (_finite(npz, key) for key in keys)
    _check_length(npz, keys[0], len(orig), n)
    _check_same_shape(npz, keys, orig, swap)
    delta_key = f"delta_L{layer}"
    if delta_key in npz:
        delta = _finite(npz, delta_key)
        _check_same_shape(npz, (delta_key, keys[0]), delta, orig)
        largest = max(float(np.abs(orig).max(initial=0)), float(np.abs(swap).max(initial=0)))
        if float(np.abs(swap - orig - delta).max(initial=0)) > _DELTA_TOLERANCE * largest:
            raise InputError(
                f"{npz.path}: {delta_key} is not {keys[1]} - {keys[0]}; the rows belong to different pairs"
            )


def _check_length(npz: NpzReader, key: str, found: int, expected: int) -> None:
    if found != expected:
        raise InputError(f"{npz.path}: {key} has {found} rows, expected {expected}; save the file again")


def _check_same_shape(
    npz: NpzReader, keys: tuple[str, str], first: npt.NDArray[Any], second: npt.NDArray[Any]
) -> None:
    if first.shape != second.shape:
        raise InputError(
            f"{npz.path}: {keys[0]} is {first.shape}, {keys[1]} {second.shape}; they must be of one shape"
        )


def _floats(npz: NpzReader, key: str) -> Float32Array:
    array = npz.read(key)
    if array.dtype.kind != "f" or array.ndim != 2 or not array.shape[1]:
        raise InputError(
            f"{npz.path}: {key} is {array.dtype} {array.shape}; expected (rows, dimensions) of floats"
        )
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def _finite(npz: NpzReader, key: str) -> Float32Array:
    array = _floats(npz, key)
    broken = int((~np.isfinite(array).all(axis=1)).sum())
    if broken:
        raise InputError(
            f"{npz.path}: {key} is not finite in {broken} of {len(array)} rows; extract them again in float32 or "
            "bfloat16 (float16 overflows), or leave the rows out of the file"
        )
    return array


def _pair_ids(npz: NpzReader, key: str) -> tuple[str, ...]:
    array = npz.read(key)
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.trunc(array)).all():
        array = array.astype(np.int64)  # pandas turns a column with a gap into floats
    if array.ndim != 1 or array.dtype.kind not in "iuU":
        raise InputError(
            f"{npz.path}: {key} is {array.dtype} {array.shape}; expected a list of integers or strings"
        )
    pair_ids = tuple(str(value).strip() for value in array.tolist())
    if not pair_ids:
        raise InputError(f"{npz.path}: {key} is empty; there is no pair to import")
    (twice, times), *_ = Counter(pair_ids).most_common(1)
    if times > 1:
        raise InputError(f"{npz.path}: {key} has the index {twice[:40]!r} twice; each pair must appear once")
    return pair_ids


def _categories(npz: NpzReader, key: str, n: int) -> tuple[Category, ...]:
    array = npz.read(key)
    if array.ndim != 1 or array.dtype.kind != "U":
        raise InputError(f"{npz.path}: {key} is {array.dtype} {array.shape}; expected a list of strings")
    _check_length(npz, key, len(array), n)
    try:
        return tuple(SPACE.category(text) for text in array.tolist())
    except ValueError as error:
        raise InputError(f"{npz.path}: {key}: {error}") from None


def _verdicts(npz: NpzReader, key: str, n: int) -> tuple[bool, ...] | None:
    if key not in npz:
        return None
    array = npz.read(key)
    _check_length(npz, key, len(array) if array.ndim == 1 else 0, n)
    verdicts = [parse_verdict(str(value)) for value in array.tolist()]
    known = [verdict for verdict in verdicts if verdict is not None]
    if len(known) != n:
        raise InputError(f"{npz.path}: {key} must hold only true and false")
    return tuple(known)


def _either(npz: NpzReader, *keys: str) -> str:
    return next((key for key in keys if key in npz), keys[0])
