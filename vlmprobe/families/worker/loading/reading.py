"""Reads the small files of a checkpoint, from a folder or from the hub."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.faults import ModelFault, first_line
from vlmprobe.families.worker.loading.diagnosis import kind_of, not_the_file
from vlmprobe.families.worker.loading.places import is_local, local_folder
from vlmprobe.families.worker.weights.files import check_links, hint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmprobe.families.worker.contract import LoadOptions

__all__ = ["path_of", "place_of", "quiet", "read_config", "read_settings", "read_text", "require_consent"]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' notes and progress bars; what matters is raised as an error."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def require_consent(options: LoadOptions, what: str = "this checkpoint", where: str = "") -> None:
    """Raise unless the user allows Python code from a checkpoint to run.

    Raises:
        ModelFault: the user did not; the message says what brings code, and where.
    """
    if not options.trust_remote_code:
        raise ModelFault(
            f"{options.checkpoint}: {what} has its own Python code{where}; review it, then pass --trust-remote-code"
        )


def read_config(source: str, revision: str | None, model_type: str | None = None) -> dict[str, Any]:
    """Return a checkpoint's config.json.

    Args:
        source: a folder or a hub id.
        revision: commit, branch or tag of a hub id.
        model_type: what it must call its architecture; None: anything.

    Raises:
        ModelFault: there is no such folder or no config.json, it is damaged, or of another architecture.
    """
    if is_local(source):
        folder = local_folder(source)
        check_links(folder)
        if not (folder / "config.json").is_file():
            raise ModelFault(f"{source}: no config.json in this folder; {hint(folder)}")
    config = read_settings(source, "config.json", revision, required=True) or {}
    said = config.get("model_type")
    if model_type not in (None, said):
        raise ModelFault(
            f"{source}: this is a checkpoint of {said or 'an unknown architecture'}, not {model_type}; "
            "choose its family from 'vlmprobe families'"
        )
    return config


def read_settings(
    source: str, name: str, revision: str | None = None, *, required: bool = False
) -> dict[str, Any] | None:
    """Return the keys and values of a checkpoint's JSON file; None if there is no such file.

    Raises:
        ModelFault: it is something else, or damaged.
    """
    text = read_text(source, name, revision, required=required)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFault(f"{source}: {name} is not valid JSON: {first_line(error)}; copy it again") from error
    if not isinstance(found, dict):
        raise ModelFault(
            f"{source}: {name} holds {kind_of(found)}, not settings (keys and values in {{}}); copy it again"
        )
    return found


def read_text(source: str, name: str, revision: str | None, *, required: bool = False) -> str | None:
    """Return the text of a small file of the checkpoint; None if there is no such file."""
    path = path_of(source, name, revision, required=required)
    try:
        text = None if path is None else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFault(
            f"{source}: {name} cannot be read as UTF-8 text; copy the checkpoint again"
        ) from error
    other = not_the_file(Path(path)) if path is not None else None
    if other is not None:
        raise ModelFault(f"{source}: {name} {other}")
    return text


def path_of(source: str, name: str, revision: str | None, *, required: bool = False) -> str | None:
    """Return where a file of the checkpoint is on this machine, after a download; None if there is no such file."""
    from transformers.utils import cached_file

    try:
        with quiet():
            path: str | None = cached_file(
                place_of(source),
                name,
                revision=revision,
                _raise_exceptions_for_missing_entries=required,
                _raise_exceptions_for_connection_errors=required,
            )
    except (OSError, ValueError) as error:
        raise ModelFault(
            f"{source!r} is neither a local checkpoint folder nor a reachable hub id: {first_line(error)}"
        ) from error
    return path


def place_of(source: str) -> str:
    """Return the name to pass to transformers: a folder's expanded path, or the hub id."""
    return str(Path(source).expanduser()) if is_local(source) else source
