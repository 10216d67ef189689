"""Output layers of checkpoints, one safetensors file each in the home: what readouts and causal products need.

The database has no row of them: a file's name follows from what identifies the checkpoint and its tokenizer, so that it
moves with the home, and all runs of a checkpoint share it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.controls import OutputLayer
from vlmprobe.errors import InputError
from vlmprobe.store.layer_file import META_KEY, reading
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["FOLDER", "output_layer_path", "read_output_layer", "write_output_layer"]

#: In a home.
FOLDER = "unembeddings"
_NAMES = ("rows", "gain", "covariance")


def output_layer_path(home: Path, identity: Mapping[str, Any]) -> Path:
    """Return where the output layer of a run's checkpoint is kept.

    Args:
        home: the folder.
        identity: of the run; its checkpoint's and its processor's fingerprints count.
    """
    mark = json.dumps([identity["fingerprint"], identity.get("processor")])
    return home / FOLDER / f"{hashlib.sha256(mark.encode()).hexdigest()[:32]}.safetensors"


def write_output_layer(path: Path, layer: OutputLayer) -> int:
    """Write a file, whole or not at all; return its size in bytes.

    Everything is float32; of the covariance, which is symmetric, the lower triangle alone.
    """
    from safetensors.numpy import save_file

    dim = len(layer.gain)
    meta = {
        "spellings": {word: list(tokens) for word, tokens in layer.spellings.items()},
        "tokens": list(layer.tokens),
        "controls": list(layer.controls),
        "n_tokens": layer.n_tokens,
        "tied": layer.tied,
        "seed": layer.seed,
    }
    arrays = {
        "rows": layer.rows,
        "gain": layer.gain,
        "covariance": np.asarray(layer.covariance)[np.tril_indices(dim)],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        save_file(
            {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()},
            partial,
            {META_KEY: json.dumps(meta)},
        )
    return path.stat().st_size


def read_output_layer(path: Path) -> OutputLayer | None:
    """Read a file; None if there is none.

    Raises:
        UnreadableError: the system does not give it.
        InputError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    remedy = "not a readable output layer; delete it, and run 'vlmprobe extract' again with --unembedding"
    try:
        with reading(path, remedy), safe_open(path, "numpy") as file:
            meta = json.loads(file.metadata()[META_KEY])
            arrays = {name: file.get_tensor(name) for name in _NAMES}
            dim = len(arrays["gain"])
            covariance = np.zeros((dim, dim), dtype=np.float32)
            covariance[np.tril_indices(dim)] = arrays["covariance"]
            return OutputLayer(
                spellings={word: tuple(tokens) for word, tokens in meta["spellings"].items()},
                tokens=tuple(meta["tokens"]),
                controls=tuple(meta["controls"]),
                rows=arrays["rows"],
                gain=arrays["gain"],
                covariance=covariance + np.tril(covariance, -1).T,
                n_tokens=meta["n_tokens"],
                tied=meta["tied"],
                seed=meta["seed"],
            )
    except SafetensorError as error:
        raise InputError(f"{path}: {remedy}") from error
