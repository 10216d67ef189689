"""Whether what was loaded on another machine gives the numbers of what was loaded first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import ModelError

if TYPE_CHECKING:
    from vlmprobe.families.worker import ModelInfo

__all__ = ["check_alike"]

_SHAPE = ("n_layers", "layers", "dim", "dtype")
#: Of the manifest: what the last bits of a hidden state depend on.
_VERSIONS = ("torch", "transformers", "pillow", "attention", "device_name", "weights")


def check_alike(place: str, info: ModelInfo, there: ModelInfo) -> None:
    """Check that batches may be answered by either of two loaded models.

    Args:
        place: what messages call the place of the first.
        info: of the first.
        there: of the other.

    Raises:
        ModelError: they have other weights or other versions of packages, or run on another kind of GPU.
    """
    before = {key: getattr(info, key) for key in _SHAPE} | {key: info.manifest.get(key) for key in _VERSIONS}
    now = {key: getattr(there, key) for key in _SHAPE} | {key: there.manifest.get(key) for key in _VERSIONS}
    for key, value in before.items():
        if value != now[key]:
            raise ModelError(
                f"its {key} is {_short(now[key])}, and that of {place} is {_short(value)}: their numbers could differ"
            )


def _short(value: object) -> str:
    return str(value)[:80]
