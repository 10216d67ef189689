"""What reading found out about a benchmark's images, kept on disk for the next command.

Images are known by the hash of their bytes, so a file that changed needs no notice: its new images are looked at, and
those that stayed are not. What is kept is of one version of the code that looks, and of Pillow.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.pairs.images import ImageFacts
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["KnownImages"]

_FOLDER = "images"
#: What decides the facts of given bytes.
_CODE = ("images.py", "pixels.py", "signatures.py")
#: A benchmark's facts take 150 bytes an image; those of benchmarks that were read last stay.
_MOST_BYTES = 64 * 2**20
_MOST_FILES = 32


class KnownImages:
    """Facts of images that were not all decoded; damaged lines and a folder that is read-only cost time alone."""

    def __init__(self, cache: Path | None, content: str) -> None:
        """Read what is kept of a benchmark.

        Args:
            cache: the folder of what can be computed again; None = keep nothing.
            content: the hash of the benchmark's file.
        """
        self._file = None if cache is None else cache / _FOLDER / f"{content[:32]}.txt"
        self.facts: dict[bytes, ImageFacts] = {}
        """By the digest of the bytes; whoever looks at an image adds what was found."""
        self.facts.update(self._read())
        self._kept = dict(self.facts)

    def keep(self) -> None:
        """Write what is new, for the next command."""
        if self._file is None or self.facts == self._kept:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self._file) as partial, partial.open("w", encoding="utf-8") as stream:
                stream.writelines(map(_line, self.facts.values()))
            files = sorted(self._file.parent.glob("*.txt"), key=lambda path: path.stat().st_mtime_ns)
            for old in files[:-_MOST_FILES]:
                old.unlink()
        except (OSError, ValueError):
            return  # the next command looks once more

    def _read(self) -> Iterator[tuple[bytes, ImageFacts]]:
        try:
            if self._file is None or not self._file.is_file() or self._file.stat().st_size > _MOST_BYTES:
                return
            lines = self._file.read_bytes().decode(errors="replace").splitlines()
        except (OSError, ValueError):
            return
        for line in lines:
            mark, _, text = line.partition(" ")
            if mark == _mark(text):
                sha256, width, height, notes, treated, pixels = json.loads(text)
                found = None if pixels is None else bytes.fromhex(pixels)
                yield bytes.fromhex(sha256), ImageFacts(sha256, width, height, tuple(notes), treated, found)


def _line(facts: ImageFacts) -> str:
    pixels = None if facts.pixels is None else facts.pixels.hex()
    text = json.dumps([facts.sha256, facts.width, facts.height, facts.notes, facts.treated, pixels])
    return f"{_mark(text)} {text}\n"


def _mark(text: str) -> str:
    """Return what stands before an entry, so that a changed digit is noticed, and an entry of another version."""
    return hashlib.sha256(f"{_version()}\0{text}".encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _version() -> str:
    import PIL

    digest = hashlib.sha256(PIL.__version__.encode())
    for name in _CODE:
        digest.update(b"\0" + Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()
