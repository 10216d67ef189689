"""Reads a catalog: this package's ``checkpoints.toml``, or a user's ``vlmprobe.toml`` of the same form."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import InputError, UsageError
from vlmprobe.families.environments import DEFAULT_TIMEOUT_S, Environment
from vlmprobe.families.launch import Launch, named
from vlmprobe.families.registry import family_names, is_family
from vlmprobe.safe_names import safe_name
from vlmprobe.toml_file import read_toml, shown

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FamilyEntry", "ScaleEntry", "brings_processor", "read_catalog_file"]

_PLACE_KEYS = ("checkpoint", "processor")
_TEXT_KEYS = ("checkpoint", "processor", "revision", "processor_revision")
_COUNT_KEYS = ("samples_seen", "global_steps")
_LABEL_KEYS = ("training",)
_ENVIRONMENT_KEYS = ("python", "pythonpath", "timeout", "launch")
#: Fits the database's column, and is more than any training.
_MOST = 2**62
_FAMILY_KEYS = ("architecture", "needs", "packages", *_ENVIRONMENT_KEYS, "scales")


@dataclass(frozen=True, slots=True)
class ScaleEntry:
    """The entry of a scale in a file; None for values that are not set."""

    checkpoint: str | None = None
    processor: str | None = None
    revision: str | None = None
    processor_revision: str | None = None
    samples_seen: int | None = None
    global_steps: int | None = None
    training: str | None = None
    """Which of several trainings; a family's scales of equal ``samples_seen`` with different ones are one scale's."""

    def over(self, base: ScaleEntry) -> ScaleEntry:
        """Override another entry with this one, field by field."""
        if self.processor is None and brings_processor(self.checkpoint):
            base = replace(base, processor=None, processor_revision=None)
        # A revision belongs to one repository, so it is dropped along with it.
        if self.checkpoint is not None:
            base = replace(base, revision=None)
        if self.processor is not None:
            base = replace(base, processor_revision=None)
        return replace(base, **{name: value for name, value in asdict(self).items() if value is not None})


@dataclass(frozen=True, slots=True)
class FamilyEntry:
    """The entry of a family, merged from the files."""

    architecture: str
    scales: dict[str, ScaleEntry] = field(default_factory=dict)
    needs: str | None = None
    """What its code needs installed, as text for the user."""
    packages: tuple[str, ...] = ()
    """Import names of what it needs, to check whether it is installed."""
    environment: Environment | None = None


def read_catalog_file(file: Path, families: dict[str, FamilyEntry], meanings: dict[str, ScaleEntry]) -> None:
    """Merge a file into the catalog, overriding what is there.

    Args:
        file: the TOML file.
        families: the families so far, by name; changed in place.
        meanings: what a scale's name stands for in every family; changed in place.

    Raises:
        InputError: the file is missing, is no TOML, or has an unknown key or a value of the wrong kind.
    """
    top = _table(read_toml(file), "the top level", ("scales", "families"), file)
    for name, value in _table(top.get("scales", {}), "[scales]", None, file).items():
        where = f"[scales.{_name(name, 'scale', file)}]"
        entry = _scale(value, where, file, _COUNT_KEYS)
        meanings[name] = entry.over(meanings.get(name, ScaleEntry()))
    for name, value in _table(top.get("families", {}), "[families]", None, file).items():
        families[name] = _family(name, value, families.get(name), file)


def _family(name: str, value: Any, known: FamilyEntry | None, file: Path) -> FamilyEntry:
    where = f"[families.{_name(name, 'family', file)}]"
    table = _table(value, where, _FAMILY_KEYS, file)
    before = known or FamilyEntry(architecture=name)
    architecture = _text(table.get("architecture", before.architecture), f"architecture in {where}", file)
    if not is_family(architecture):
        said = (
            "unknown architecture"
            if "architecture" in table
            else "set architecture; there is no family named"
        )
        raise InputError(f"{file}: {where}: {said} {shown(architecture)}; known: {', '.join(family_names())}")
    scales = dict(before.scales)
    for scale, fields in _table(table.get("scales", {}), f"[families.{name}.scales]", None, file).items():
        place = f"[families.{name}.scales.{_name(scale, 'scale', file)}]"
        entry = _scale(fields, place, file, (*_TEXT_KEYS, *_COUNT_KEYS, *_LABEL_KEYS))
        scales[scale] = entry.over(scales.get(scale, ScaleEntry()))
    # Other code has other needs.
    kept = before if architecture == before.architecture else FamilyEntry(architecture)
    needs, packages = kept.needs, kept.packages
    if "needs" in table:
        needs = _text(table["needs"], f"needs in {where}", file)
    if "packages" in table:
        packages = _texts(table["packages"], f"packages in {where}", file)
    environment = _environment(table, where, file) or kept.environment
    return FamilyEntry(architecture, scales, needs, packages, environment)


def _environment(table: dict[str, Any], where: str, file: Path) -> Environment | None:
    """Read which Python runs the family; opening the family checks whether it exists."""
    given = [key for key in _ENVIRONMENT_KEYS if key in table]
    if not given:
        return None
    launch = _launch(table["launch"], f"launch in {where}", file) if "launch" in table else ()
    if "python" not in table and not launch:
        raise InputError(f'{file}: {where}: {given[0]} needs python; add python = "/path/to/bin/python"')
    timeout = table.get("timeout", DEFAULT_TIMEOUT_S)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise InputError(
            f"{file}: timeout in {where} must be a positive number of seconds, not {shown(timeout)}"
        )
    given_folders = _texts(table.get("pythonpath", []), f"pythonpath in {where}", file)
    folders = tuple(_absolute(folder, file) for folder in given_folders)
    if "python" in table:
        python = _text(table["python"], f"python in {where}", file)
    else:
        # The same Python elsewhere, which is not told our variables.
        here = Environment.of_this_process()
        python, folders = here.python, (*folders, *map(os.path.abspath, here.pythonpath))
    return Environment(
        # A mere name is looked for at the places.
        python=python if launch and os.sep not in python else _absolute(python, file),
        pythonpath=folders,
        timeout=float(timeout),
        launch=launch,
    )


def _launch(value: Any, where: str, file: Path) -> tuple[Launch, ...]:
    """Read what goes before the interpreter: a list of words, or of such lists, one a place."""
    is_several = isinstance(value, list) and any(isinstance(each, list) for each in value)
    prefixes = [_texts(each, where, file) for each in (value if is_several else [value])]
    if not all(prefixes):
        raise InputError(
            f'{file}: {where} is an empty list; name what starts a program elsewhere, such as ["ssh", "HOST"], '
            "or leave it out"
        )
    return named([(_program(program, file), *words) for program, *words in prefixes])


def _program(word: str, file: Path) -> str:
    """Resolve a program that is given as a path; any other is looked for where programs are."""
    return _absolute(word, file) if os.sep in word else word


def _name(name: str, what: str, file: Path) -> str:
    try:
        return safe_name(name, what)
    except UsageError as error:
        raise InputError(f"{file}: {error}") from None


def _absolute(path: str, file: Path) -> str:
    """Resolve a path relative to the file, keeping symbolic links."""
    return os.path.abspath(file.parent / os.path.expanduser(path))  # noqa: PTH100, PTH111  (resolve() follows links)


def _scale(value: Any, where: str, file: Path, allowed: tuple[str, ...]) -> ScaleEntry:
    table = _table(value, where, allowed, file)
    fields: dict[str, Any] = {
        key: _text(table[key], f"{key} in {where}", file)
        for key in (*_TEXT_KEYS, *_LABEL_KEYS)
        if key in table
    }
    for key in _COUNT_KEYS:
        count = table.get(key, 0)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < _MOST:
            raise InputError(
                f"{file}: {key} in {where} must be a whole number of 0 or more, not {shown(count)}"
            )
        if key in table:
            fields[key] = count
    for key in _PLACE_KEYS:
        # A path in a file is relative to that file, wherever the command runs.
        if key in fields and (folder := _folder(fields[key], file)) is not None:
            fields[key] = folder
    return ScaleEntry(**fields)


def brings_processor(checkpoint: str | None) -> bool:
    """Return whether this is a folder that includes a tokenizer and an image processor."""
    if checkpoint is None:
        return False
    # os.path returns False for a name that is too long or for an unknown user; pathlib raises.
    folder = os.path.expanduser(checkpoint)  # noqa: PTH111
    tokenizer, *others = (
        os.path.isfile(os.path.join(folder, name))  # noqa: PTH113, PTH118
        for name in ("tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
    )
    return tokenizer and any(others)


def _folder(name: str, file: Path) -> str | None:
    path = file.parent / os.path.expanduser(name)  # noqa: PTH111  (the other way raises where there is no such user)
    try:
        return str(path.resolve()) if path.is_dir() else None
    except OSError:  # a name that is too long for one
        return None


def _table(value: Any, where: str, allowed: tuple[str, ...] | None, file: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{file}: {where} must be a table, not {shown(value)}")
    for key in value:
        if allowed is not None and key not in allowed:
            raise InputError(f"{file}: unknown key {shown(key)} in {where}; known: {', '.join(allowed)}")
    return value


def _texts(value: Any, where: str, file: Path) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InputError(f"{file}: {where} must be a list of strings, not {shown(value)}")
    return tuple(_text(each, where, file) for each in value)


def _text(value: Any, where: str, file: Path) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise InputError(f"{file}: {where} must be a string, not {shown(value)}")
    return value
