"""Identifies a checkpoint by the commit of its hub repository, or by a hash of its folder's files."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.errors import ModelError, first_line
from vlmprobe.families.worker.faults import ModelFault
from vlmprobe.families.worker.loading.places import is_local
from vlmprobe.families.worker.weights.files import TRAINING_FILE, WEIGHT_SUFFIXES, check_links
from vlmprobe.file_hashes import FileHashes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

__all__ = ["check_folder", "fingerprint"]

_SETTINGS = frozenset({".json", ".jinja", ".yaml", ".yml", ".model", ".py"})
_TEXTS = frozenset({"merges.txt", "vocab.txt"})
_TRAINING_FOLDER = re.compile(r"^(\.|checkpoint-|global_step|runs$|logs$|__pycache__$)")
#: A cached repository has one of these; a tokenizer alone may have no config.
_WITNESSES = ("config.json", "tokenizer_config.json", "tokenizer.json")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


def fingerprint(
    checkpoint: str,
    revision: str | None = None,
    cache_dir: Path | None = None,
    *,
    weights: bool = True,
    hashes: FileHashes | None = None,
    anew: bool = False,
    stop: Event | None = None,
) -> str:
    """Identify the content of a checkpoint, or of a separate tokenizer and image processor.

    To have it ready before it is needed, call it in a thread with the ``hashes`` that are used later: it reads the
    files ahead, and the later call finds the hashes of those that have not changed.

    Args:
        checkpoint: a folder or a hub id.
        revision: branch, tag or commit of a hub id; a folder has none.
        cache_dir: the hub's cache folder, when it is not the usual one.
        weights: whether weight files of a folder count and must be there; a processor needs none.
        hashes: remembers the hashes of large files; None = hash all of them.
        anew: trust no hash that another process computed.
        stop: set it in another thread to stop hashing a folder.

    Returns:
        For a folder the sha256 (64 hex digits) over name and content of its settings, tokenizer, processor
        and weight files, whatever their order or date; for a hub id the commit (40 hex digits).

    Raises:
        CancelledError: ``stop`` was set.
        ModelError: there is no such folder, it holds nothing to identify, or the hub does not know the id.
    """
    check_folder(checkpoint)
    if is_local(checkpoint):
        parts = _parts(Path(checkpoint).expanduser(), weights=weights)
        contents = (hashes or FileHashes()).of_all([path for _, path in parts], anew=anew, stop=stop)
        total = hashlib.sha256()
        for (name, _), content in zip(parts, contents, strict=True):
            total.update(f"{name}\0{content}\n".encode())
        return total.hexdigest()
    return _of_hub(checkpoint, revision, cache_dir)


def check_folder(checkpoint: str) -> None:
    """Check that a checkpoint or processor is there, if it names a folder; its content is not read.

    Raises:
        ModelError: there is no such folder.
    """
    if is_local(checkpoint) and not Path(checkpoint).expanduser().is_dir():
        raise ModelError(f"{checkpoint}: no such folder; use a checkpoint folder or a hub id")


def _parts(folder: Path, *, weights: bool) -> list[tuple[str, Path]]:
    """Return name and path of each file that counts, in the order of names."""
    parts = sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in _files(folder)
        if weights or path.suffix not in WEIGHT_SUFFIXES
    )
    if weights and not any(path.suffix in WEIGHT_SUFFIXES for _, path in parts):
        raise ModelError(f"{folder}: no weight file (*.safetensors, *.bin, *.pt); use a checkpoint folder")
    if not parts:
        raise ModelError(
            f"{folder}: no tokenizer or image processor here; pass another folder with --processor"
        )
    return parts


def _files(folder: Path) -> Iterator[Path]:
    try:
        check_links(folder)
    except ModelFault as fault:
        raise ModelError(str(fault)) from fault
    for path in folder.iterdir():
        if path.is_dir():
            if not _TRAINING_FOLDER.match(path.name):
                yield from _files(path)
        elif _is_part(path):
            yield path


def _is_part(path: Path) -> bool:
    of_kind = path.suffix in WEIGHT_SUFFIXES | _SETTINGS or path.name in _TEXTS
    return of_kind and not path.name.startswith(".") and not TRAINING_FILE.match(path.name)


def _of_hub(repository: str, revision: str | None, cache_dir: Path | None) -> str:
    if revision is not None and _COMMIT.match(revision):
        return revision
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    try:
        # Query the hub before the cache: a branch may have moved since, and loading would follow it.
        commit = huggingface_hub.model_info(repository, revision=revision, timeout=10).sha
        reason = "the hub returned no commit"
    except HFValidationError as error:
        raise ModelError(f"{repository!r} is neither a local folder nor a valid hub id") from error
    except Exception as error:  # noqa: BLE001  (the hub's HTTP client changes its exceptions with its version)
        commit, reason = None, first_line(error) or type(error).__name__
    if commit is None:
        found = (
            huggingface_hub.try_to_load_from_cache(repository, file, cache_dir=cache_dir, revision=revision)
            for file in _WITNESSES
        )
        # The cache's layout is snapshots/<commit>/config.json.
        commit = next((Path(path).parent.name for path in found if isinstance(path, str)), None)
    if commit is None:
        raise ModelError(
            f"{repository!r} is not a local folder, not in the hub cache, and could not be downloaded: {reason}"
        )
    return commit
