"""The script that another environment's Python runs: it makes this folder importable and serves calls.

The folder gets the name it has in vlmprobe, `vlmprobe.families.worker`, and nothing else of vlmprobe is there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

#: Announces a worker; written before the first frame and before any import that could fail.
GREETING = b"vlmprobe worker\n"
#: transformers before 5 imports each of these that it finds, and fails if one of them fails.
_UNUSED = ("USE_TF", "USE_FLAX", "USE_JAX")
_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  (before anything else is imported)


class _OnePackage:
    """Finds the package of a plug-in if the environment has none of that name, and nothing else."""

    def __init__(self, name: str, place: str) -> None:
        self._name, self._place = name, place

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        del path, target
        if name != self._name:
            return None
        folder = os.path.dirname(self._place)  # noqa: PTH120
        inside = [folder] if os.path.basename(self._place) == "__init__.py" else None  # noqa: PTH119
        return importlib.util.spec_from_file_location(name, self._place, submodule_search_locations=inside)


def _make_importable() -> None:
    for name in ("vlmprobe", "vlmprobe.families"):
        module = types.ModuleType(name)
        module.__path__ = []
        sys.modules[name] = module
    spec = importlib.util.spec_from_file_location(
        "vlmprobe.families.worker",
        os.path.join(_HERE, "__init__.py"),  # noqa: PTH118
        submodule_search_locations=[_HERE],
    )
    assert spec is not None  # noqa: S101
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


def main() -> None:
    """Set up streams and path, then serve calls until the parent is gone."""
    # What a library prints must not mix with the frames, which use only these two descriptors.
    calls, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
    os.dup2(2, 1)
    os.write(answers, GREETING)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    # Not an argument: on its way to another machine a shell may take the command apart.
    line = calls.readline()
    if not line:
        return  # the parent is gone
    said = json.loads(line)
    # On the path, the modules in this script's folder would shadow packages of the environment.
    sys.path[:] = [place for place in sys.path if os.path.abspath(place or ".") != _HERE]  # noqa: PTH100
    sys.path.extend(said["pythonpath"])
    if said["plugin"]:
        sys.meta_path.append(_OnePackage(*said["plugin"]))
    for name in _UNUSED:
        os.environ.setdefault(name, "0")
    _make_importable()
    from vlmprobe.families.worker.wire.serve import serve

    serve(said["target"], calls, os.fdopen(answers, "wb"))


if __name__ == "__main__":
    main()
