"""Other Python environments for the tests: an older transformers, on the PyTorch of the environment that runs them.

    python tests/older_environment.py            build all of them ('make test-all' does)

Each is a virtual environment in ``.cache/environments`` with the pinned packages of one file in ``tests/environments``.
PyTorch is two gigabytes and is not installed again: a folder of links shows the first environment's.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NAMES", "EnvironmentFailed", "older_environment"]

_PINS = Path(__file__).parent / "environments"
_HOME = Path(__file__).parents[1] / ".cache" / "environments"
#: What an environment is called: its file of pinned packages.
NAMES = tuple(sorted(path.stem for path in _PINS.glob("*.txt")))


class EnvironmentFailed(Exception):  # noqa: N818  (a fixture turns it into a skipped test)
    """An environment cannot be built here; the message says why."""


def older_environment(name: str) -> Path:
    """Return the Python of the environment of this name; built when it is first asked for, once for all runs.

    Raises:
        EnvironmentFailed: its packages cannot be installed, because no package index can be reached, say.
    """
    pins = _PINS / f"{name}.txt"
    shown = distribution("torch")
    # Another Python, other pins or another PyTorch make another environment.
    told_apart = f"{sys.version}{sys.prefix}{shown.version}{pins.read_text()}"
    folder = _HOME / f"{name}-{hashlib.sha256(told_apart.encode()).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    with _alone(name):
        if not (folder / "complete").is_file():
            _run([sys.executable, "-m", "venv", "--clear", str(folder)])
            install = [
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
                "--requirement",
                str(pins),
            ]
            _run([str(python), "-m", "pip", *install])
            _show_torch(folder)
            _run([str(python), "-c", "import torch, transformers"])
            (folder / "complete").touch()
    return python


def _show_torch(folder: Path) -> None:
    """Put what the distribution torch installed, and what it loads beside itself, on the other environment's path."""
    shown, links = distribution("torch"), folder / "torch"
    links.mkdir(exist_ok=True)
    site = Path(str(shown.locate_file("")))
    tops = {file.parts[0] for file in shown.files or () if file.parts[0] not in ("..", "__pycache__")}
    # A CUDA build loads its libraries from packages of their own.
    tops |= {path.name for pattern in ("nvidia*", "triton*", "cuda*") for path in site.glob(pattern)}
    for top in sorted(tops):
        link = links / top
        if not link.exists():
            link.symlink_to(site / top)
    packages = next((folder / "lib").glob("python*/site-packages"))
    (packages / "torch_of_the_tests.pth").write_text(f"{links}\n")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EnvironmentFailed(f"{' '.join(command[:4])} ... failed: {said}")


@contextmanager
def _alone(name: str) -> Iterator[None]:
    _HOME.mkdir(parents=True, exist_ok=True)
    with (_HOME / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    for each in NAMES:
        print(f"{each}: {older_environment(each)}")
