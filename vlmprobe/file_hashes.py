"""Hashes files in several threads, and remembers the hashes of large ones, in this process and on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event, Lock
from typing import TYPE_CHECKING, NamedTuple

from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import FileIO
    from pathlib import Path
    from typing import Self

__all__ = ["FileFacts", "FileHashes"]

#: Hashing a smaller file takes no time worth a memory.
_LARGE = 2**20
#: In bytes; also how soon a thread stops when it is to. After each, Python's lock is waited for, which takes
#: milliseconds while another thread imports something: with chunks of 1 MiB, most of the time.
_CHUNK = 32 * 2**20
_MAX_THREADS = 8
#: A file that changed so shortly before may change once more and keep its time: the clock of a file system is coarse.
_SETTLED_NS = 3 * 10**9
_MAX_ENTRIES = 4096
_MAX_BYTES = 8 * 2**20
_VERSION = "vlmprobe hashes 1"


class FileFacts(NamedTuple):
    """What a file system says of a file; other content has other facts, except as docs/scales.md says."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    """When content, name or permissions last changed; programs cannot set it back, as they can ``mtime_ns``."""

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """Take them from what ``stat`` returns."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @classmethod
    def find(cls, path: Path) -> Self | None:
        """Return the facts of a path; None where there is nothing."""
        try:
            return cls.of(path.stat())
        except (OSError, ValueError):
            return None

    def is_settled(self, moment_ns: int) -> bool:
        """Return whether the last change was long enough before a moment that a later one has another time."""
        return moment_ns - max(self.mtime_ns, self.ctime_ns) > _SETTLED_NS


class FileHashes:
    """Hashes of files; each is computed once while the file stays as it is. Safe in threads.

    What a large file's hash was is also kept in a folder, for the next process. A folder that cannot be written and
    entries that are damaged cost time alone.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Start with what is remembered in a folder, which need not be there.

        Args:
            folder: None = remember in this process alone.
        """
        self._file = None if folder is None else folder / "hashes.txt"
        self._lock = Lock()
        self._own: dict[str, tuple[FileFacts, str]] = {}
        """By absolute path; computed by this object."""
        self._found: dict[str, tuple[FileFacts, str]] | None = None
        """By absolute path; what the folder had. None = not read yet."""
        self._unwritten: set[str] = set()

    def of(self, path: Path) -> str:
        """Return the SHA-256 of one file, as 64 hex digits.

        Raises:
            OSError: it cannot be read.
        """
        return self.of_all([path])[0]

    def of_all(self, paths: Sequence[Path], *, anew: bool = False, stop: Event | None = None) -> list[str]:
        """Return the SHA-256 of each file, in their order.

        Args:
            paths: the files.
            anew: trust no hash that another process computed; it is replaced.
            stop: set it in another thread to end this call early.

        Raises:
            OSError: one cannot be read; the first of them in the order of ``paths``.
            CancelledError: ``stop`` was set.
        """
        stop = stop or Event()
        if len(paths) == 1:
            found = [self._of(paths[0], stop, anew=anew)]
        else:
            threads = max(1, min(len(paths), _MAX_THREADS, os.cpu_count() or 1))
            with ThreadPoolExecutor(threads, "vlmprobe-hashes") as pool:
                try:
                    found = list(pool.map(lambda path: self._of(path, stop, anew=anew), paths))
                except BaseException:
                    stop.set()
                    raise
        self._write()
        return found

    def _of(self, path: Path, stop: Event, *, anew: bool) -> str:
        with path.open("rb", buffering=0) as stream:
            facts = FileFacts.of(os.fstat(stream.fileno()))
            if facts.size < _LARGE:
                return hashlib.file_digest(stream, "sha256").hexdigest()
            name = os.path.abspath(path)  # noqa: PTH100 - links stay: where they lead is among the facts
            known = self._known(name, facts, anew=anew)
            if known is not None:
                return known
            started = time.time_ns()
            found = _digest(stream, stop)
            is_unchanged = FileFacts.of(os.fstat(stream.fileno())) == facts
        if is_unchanged and facts.is_settled(started):
            with self._lock:
                self._own[name] = (facts, found)
                self._unwritten.add(name)
        return found

    def _known(self, name: str, facts: FileFacts, *, anew: bool) -> str | None:
        with self._lock:
            if self._found is None:
                self._found = self._read()
            for known in (self._own, {} if anew else self._found):
                if name in known and known[name][0] == facts:
                    return known[name][1]
        return None

    def _read(self) -> dict[str, tuple[FileFacts, str]]:
        """Return what the file remembers; damaged lines are left out."""
        try:
            if self._file is None or not self._file.is_file() or self._file.stat().st_size > _MAX_BYTES:
                return {}
            lines = self._file.read_bytes().decode("ascii", errors="replace").splitlines()
        except (OSError, ValueError):
            return {}
        found = {}
        for line in lines:
            mark, _, text = line.partition(" ")
            if mark != _mark(text):
                continue
            name, facts, content = json.loads(text)
            found[name] = (FileFacts(*facts), content)
        return found

    def _write(self) -> None:
        """Add what is new to the file, beside what other processes wrote meanwhile."""
        with self._lock:
            if not self._unwritten or self._file is None:
                return
            kept = self._read()
            for name in sorted(self._unwritten):
                kept.pop(name, None)
                kept[name] = self._own[name]
            self._unwritten.clear()
            texts = [json.dumps([name, *entry]) for name, entry in list(kept.items())[-_MAX_ENTRIES:]]
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(self._file) as partial:
                    partial.write_text("".join(f"{_mark(text)} {text}\n" for text in texts), "ascii")
            except (OSError, ValueError):
                return  # the next process hashes once more


def _digest(stream: FileIO, stop: Event) -> str:
    digest = hashlib.sha256()
    size = os.fstat(stream.fileno()).st_size
    chunk = memoryview(bytearray(min(size, _CHUNK)))
    while n_read := stream.readinto(chunk):
        digest.update(chunk[:n_read])
        if stop.is_set():
            raise CancelledError
    return digest.hexdigest()


def _mark(text: str) -> str:
    """Return what stands before an entry, so that a changed digit is noticed."""
    return hashlib.sha256(f"{_VERSION}\0{text}".encode()).hexdigest()[:16]
