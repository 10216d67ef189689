"""What the last bit of a number hangs on beside its data: the code, the libraries, and the processor's threads."""

from __future__ import annotations

import hashlib
import os
import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

from vlmprobe.processes import THREAD_VARIABLES, processors

__all__ = ["computed_by"]

_PACKAGE = Path(__file__).resolve().parent


def computed_by() -> dict[str, Any]:
    """Return, as JSON knows it, what computes in this process: where it is equal, equal data give equal bits.

    That is the package's source, NumPy's and SciPy's versions, the instruction sets that NumPy found, and how many
    threads share a product.
    """
    import numpy as np
    import scipy

    built: Any = np.show_config(mode="dicts")
    return {
        "source": _source(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "machine": platform.machine(),
        "instructions": list(built.get("SIMD Extensions", {}).get("found", [])),
        "processors": processors(),
        "threads": [os.environ.get(name) for name in THREAD_VARIABLES],
    }


@lru_cache(maxsize=1)
def _source() -> str:
    """Hash every module, whichever it is: a list of what a number rests on would be forgotten one day."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
