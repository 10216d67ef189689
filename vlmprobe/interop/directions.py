"""Writes axis directions for other programs: an NPZ or safetensors file, and a JSON file beside it that explains it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.interop.npz import write_npz
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["DIRECTION_FORMATS", "write_directions"]

DIRECTION_FORMATS = ("npz", "safetensors")


def write_directions(
    folder: Path,
    stem: str,
    vectors: Mapping[str, npt.NDArray[Any]],
    about: Mapping[str, Any],
    *,
    form: str = "npz",
) -> list[Path]:
    """Write ``{stem}.npz`` or ``{stem}.safetensors`` and ``{stem}.json``; return both.

    Args:
        folder: where to; it is made if it is not there.
        stem: of both files' names, safe as a part of a path.
        vectors: axis -> (D,), stored as float32 under the axis's name.
        about: what the JSON file says, less ``vectors``, the other file's name.
        form: one of ``DIRECTION_FORMATS``.
    """
    arrays = {axis: np.ascontiguousarray(vector, dtype=np.float32) for axis, vector in vectors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    held, explained = folder / f"{stem}.{form}", folder / f"{stem}.json"
    if form == "npz":
        write_npz(held, iter(arrays.items()), compress=False)
    else:
        from safetensors.numpy import save

        with whole_file(held) as partial:
            partial.write_bytes(save(arrays, metadata={"about": explained.name}))
    with whole_file(explained) as partial:
        text = json.dumps({"vectors": held.name, **about}, indent=2, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")
    return [held, explained]
