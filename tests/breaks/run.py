"""Take out each correction of the statistics in a copy of the source, and see that a test fails.

    python -m tests.breaks.run                 what 'make breaks' does
    python -m tests.breaks.run --only S4       breaks with this in their name

Exit code 1 when a break goes unnoticed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .corrections import BREAKS

if TYPE_CHECKING:
    from .corrections import Break

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
#: What the tests of a break need.
_PARTS = ("vlmprobe", "tests", "migrations", "queries", "docs", "pyproject.toml")


def main(arguments: list[str] | None = None) -> int:
    """Try each break, print what noticed it, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="breaks with this in their name")
    options = parser.parse_args(arguments)
    wanted = [each for each in BREAKS if options.only in each.what]
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        copy.mkdir()
        for part in _PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / part, copy / part)
        for each in wanted:
            noticed = _noticed(each, copy)
            unnoticed += not noticed
            print(f"{each.what}: {noticed or 'NO TEST FAILS'}", flush=True)
    print(f"{len(wanted)} breaks, {unnoticed} unnoticed")
    return 1 if unnoticed or not wanted else 0


def _noticed(each: Break, copy: Path) -> str:
    """Run the tests of one break in the copy; return the test that failed, or an empty text."""
    file = copy / each.file
    source = file.read_text(encoding="utf-8")
    file.write_text(source.replace(each.text, each.instead), encoding="utf-8")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *each.tests.split()],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        file.write_text(source, encoding="utf-8")
    # An error of collection is no test that noticed.
    found = re.search(r"^FAILED (\S+)", done.stdout, flags=re.MULTILINE)
    return found[1] if done.returncode == 1 and found else ""


if __name__ == "__main__":
    raise SystemExit(main())
