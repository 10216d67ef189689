"""Writes the NPZ files of the old layout, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.interop.npz import write_npz
from vlmprobe.safe_names import safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from vlmprobe.interop.old_layout import QuadDeltas, ScaleData

__all__ = ["write_arrays"]

_INT64_DIGITS = 18


def write_arrays(folder: Path, data: ScaleData, *, compress: bool = False) -> list[Path]:
    """Write ``npz/vectors_{scale}.npz``, and ``npz/cross_group_vectors_{scale}.npz`` if there are quads.

    Float32, one layer in memory at a time. Pair ids are written as int64 if all of them are numbers, else as text.

    Raises:
        UsageError: the scale's name cannot be part of a file name.
        ValueError: a layer has not as many rows as there are pairs or quads.
    """
    scale = safe_name(data.scale, "scale")
    files: list[tuple[str, Iterator[tuple[str, npt.NDArray[Any]]]]] = []
    if data.layers and data.pairs:
        files.append((f"vectors_{scale}.npz", _vector_members(data)))
    if data.quads is not None and data.quads.n and data.quads.layers:
        files.append((f"cross_group_vectors_{scale}.npz", _quad_members(data.quads)))
    written = []
    for name, members in files:
        path = folder / "npz" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, members, compress=compress)
        written.append(path)
    return written


def _vector_members(data: ScaleData) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    axes = np.array([str(pair.axis) for pair in data.pairs])
    categories = np.array([str(pair.category) for pair in data.pairs])
    correct_orig = np.array([pair.correct_orig for pair in data.pairs], dtype=bool)
    correct_swap = np.array([pair.correct_swap for pair in data.pairs], dtype=bool)
    indices = _indices([pair.pair_id for pair in data.pairs])
    for layer in sorted(data.layers):
        states = np.asarray(data.layers[layer], dtype=np.float32)
        if states.ndim != 3 or states.shape[:2] != (len(data.pairs), 2):
            raise ValueError(
                f"layer {layer}: {len(data.pairs)} pairs need (N, 2, D) states, got {states.shape}"
            )
        yield f"delta_L{layer}", states[:, 1] - states[:, 0]
        yield f"groups_L{layer}", axes
        yield f"categories_L{layer}", categories
        yield f"is_correct_orig_L{layer}", correct_orig
        yield f"is_correct_swap_L{layer}", correct_swap
        yield f"indices_L{layer}", indices
        yield f"orig_L{layer}", states[:, 0]
        yield f"swap_L{layer}", states[:, 1]
        yield f"labels_L{layer}", categories


def _quad_members(quads: QuadDeltas) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    for layer in sorted(quads.layers):
        for name, deltas in zip(("delta_vert", "delta_dist"), quads.layers[layer], strict=True):
            if deltas.ndim != 2 or len(deltas) != quads.n:
                raise ValueError(f"layer {layer}: {quads.n} quads need (M, D) {name}, got {deltas.shape}")
            yield f"{name}_L{layer}", np.asarray(deltas, dtype=np.float32)


def _indices(pair_ids: Sequence[str]) -> npt.NDArray[Any]:
    if all(_is_int64(text) for text in pair_ids):
        return np.array([int(text) for text in pair_ids], dtype=np.int64)
    return np.array(pair_ids)


def _is_int64(text: str) -> bool:
    """Whether the text survives a round trip through an integer; '007' does not."""
    plain = text.removeprefix("-")
    return plain.isascii() and plain.isdecimal() and len(plain) <= _INT64_DIGITS and str(int(text)) == text
