"""The catalogue of scales: which checkpoint each scale of each family is, and how much training it saw.

Scales are data: ``checkpoints.toml`` beside this file, extended by a user's ``vlmprobe.toml``.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vlmprobe.errors import InputError, ModelError, UsageError, unknown_name
from vlmprobe.families.registry import family_names

__all__ = ["USER_FILE", "Catalog", "ScaleSpec", "load_catalog"]

#: A user's own scales, looked for in the working directory.
USER_FILE = "vlmprobe.toml"

_BUNDLED_FILE = Path(__file__).with_name("checkpoints.toml")
_BUNDLED_PREFIX = "bundled:"
# Families may not import the demo, whose data these are: they share only this folder's place.
_BUNDLED_FOLDER = Path(__file__).parent.parent / "demo" / "checkpoints"

_TEXT_KEYS = ("checkpoint", "processor", "revision")
_COUNT_KEYS = ("samples_seen", "global_steps")


@dataclass(frozen=True, slots=True)
class ScaleSpec:
    """One scale of one family, ready to load."""

    family: str
    architecture: str
    """The registered family whose code loads it; equal to ``family`` for all but a user's own families."""
    scale: str
    checkpoint: str
    """A folder or a hub id."""
    processor: str | None
    """Where tokenizer and image processor are; the checkpoint itself when None."""
    revision: str | None
    samples_seen: int | None
    global_steps: int | None


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a file says about a scale; None where it says nothing."""

    checkpoint: str | None = None
    processor: str | None = None
    revision: str | None = None
    samples_seen: int | None = None
    global_steps: int | None = None

    def over(self, base: _Entry) -> _Entry:
        """Lay this entry over another one, field by field."""
        # A revision names a commit of one checkpoint; it must not outlive the checkpoint it came with.
        revision = self.revision if self.checkpoint is not None else self.revision or base.revision
        return _Entry(
            checkpoint=base.checkpoint if self.checkpoint is None else self.checkpoint,
            processor=base.processor if self.processor is None else self.processor,
            revision=revision,
            samples_seen=base.samples_seen if self.samples_seen is None else self.samples_seen,
            global_steps=base.global_steps if self.global_steps is None else self.global_steps,
        )


@dataclass(frozen=True, slots=True)
class _FamilyEntry:
    architecture: str
    scales: dict[str, _Entry]


@dataclass(frozen=True, slots=True)
class Catalog:
    """All families and scales that are known here; made by :func:`load_catalog`."""

    _families: dict[str, _FamilyEntry] = field(default_factory=dict)
    _meanings: dict[str, _Entry] = field(default_factory=dict)

    def family_names(self) -> list[str]:
        """Return the catalogue's families and the installed ones without an entry, in alphabetical order."""
        return sorted({*self._families, *family_names()})

    def architecture(self, family: str) -> str:
        """Return the registered family whose code loads ``family``.

        Raises:
            UsageError: no family has this name; the message lists them.
        """
        return self._family(family).architecture

    def scale_names(self, family: str) -> list[str]:
        """Return the family's scales that have a checkpoint, in the files' order.

        Raises:
            UsageError: no family has this name; the message lists them.
        """
        return [name for name, entry in self._family(family).scales.items() if entry.checkpoint is not None]

    def scale(
        self, family: str, scale: str, checkpoint: str | None = None, processor: str | None = None
    ) -> ScaleSpec:
        """Look up a scale; an explicit checkpoint or processor goes before the catalogue's.

        A scale that the catalogue does not know is allowed with an explicit checkpoint: it is the user's own.
        An explicit checkpoint folder that holds a tokenizer brings its own processor.

        Raises:
            UsageError: unknown family or scale, or a scale whose checkpoint must be given.
            ModelError: a bundled checkpoint is not there.
        """
        known = self._family(family)
        # The name alone says how much training a scale saw, also where the family does not list it.
        named = known.scales.get(scale, _Entry()).over(self._meanings.get(scale, _Entry()))
        if checkpoint is None and named.checkpoint is None:
            if scale in known.scales or scale in self._meanings:
                raise UsageError(
                    f"no checkpoint is known for scale {scale!r} of family {family!r}; pass "
                    f"--checkpoint DIR_OR_ID or set it in {USER_FILE}: [families.{family}.scales.{scale}]"
                )
            valid = ", ".join(self.scale_names(family)) or "none"
            raise UsageError(
                f"unknown scale {scale!r} of family {family!r}; known: {valid}; "
                "for a checkpoint of your own pass --checkpoint DIR_OR_ID"
            )
        chosen = replace(named, processor=None) if _brings_processor(checkpoint) else named
        chosen = _Entry(checkpoint=checkpoint, processor=processor).over(chosen)
        return ScaleSpec(
            family=family,
            architecture=known.architecture,
            scale=scale,
            checkpoint=_resolve(str(chosen.checkpoint)),
            processor=None if chosen.processor is None else _resolve(chosen.processor),
            revision=chosen.revision,
            samples_seen=chosen.samples_seen,
            global_steps=chosen.global_steps,
        )

    def training_of(self, scale: str) -> tuple[int | None, int | None]:
        """Return the samples and steps that a scale's name alone stands for; None where it says nothing."""
        meaning = self._meanings.get(scale, _Entry())
        return meaning.samples_seen, meaning.global_steps

    def _family(self, name: str) -> _FamilyEntry:
        if name in self._families:
            return self._families[name]
        if name in family_names():
            return _FamilyEntry(architecture=name, scales={})
        raise unknown_name("family", name, self.family_names())


def load_catalog(user_file: Path | None = None) -> Catalog:
    """Read the bundled catalogue and a user's file over it.

    Args:
        user_file: the user's file; when None, ``vlmprobe.toml`` of the working directory if there is one.

    Raises:
        InputError: the file is missing, is no TOML, or has an unknown key or a value of the wrong kind.
    """
    if user_file is None and Path(USER_FILE).is_file():
        user_file = Path(USER_FILE)
    families: dict[str, _FamilyEntry] = {}
    meanings: dict[str, _Entry] = {}
    for file in (_BUNDLED_FILE, user_file):
        if file is not None:
            _read_into(families, meanings, file)
    return Catalog(families, meanings)


def _read_into(families: dict[str, _FamilyEntry], meanings: dict[str, _Entry], file: Path) -> None:
    top = _table(_parse(file), "the top level", ("scales", "families"), file)
    for name, value in _table(top.get("scales", {}), "[scales]", None, file).items():
        meanings[name] = _entry(value, f"[scales.{name}]", file, _COUNT_KEYS).over(
            meanings.get(name, _Entry())
        )
    for name, value in _table(top.get("families", {}), "[families]", None, file).items():
        where = f"[families.{name}]"
        table = _table(value, where, ("architecture", "scales"), file)
        before = families.get(name) or _FamilyEntry(architecture=name, scales={})
        architecture = _text(table.get("architecture", before.architecture), f"architecture in {where}", file)
        if architecture not in family_names():
            known = ", ".join(family_names())
            said = (
                "unknown architecture" if "architecture" in table else "set architecture; there is no family"
            )
            raise InputError(f"{file}: {where}: {said} {architecture!r}; known: {known}")
        scales = dict(before.scales)
        for scale, fields in _table(table.get("scales", {}), f"[families.{name}.scales]", None, file).items():
            entry = _entry(fields, f"[families.{name}.scales.{scale}]", file, (*_TEXT_KEYS, *_COUNT_KEYS))
            scales[scale] = entry.over(scales.get(scale, _Entry()))
        families[name] = _FamilyEntry(architecture, scales)


def _parse(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"{file}: cannot read it: {reason}") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(_syntax_message(file, text, str(error))) from error


def _syntax_message(file: Path, text: str, said: str) -> str:
    """Put file and line first and name a key that is there twice, which the parser's message does not."""
    place = re.search(r"\(at line (\d+), column \d+\)", said)
    if place is None:
        return f"{file}: no valid TOML: {said}"
    number = int(place.group(1))
    line = text.splitlines()[number - 1].strip() if number <= len(text.splitlines()) else ""
    what = said[: place.start()].strip()
    if what.startswith(("Cannot overwrite", "Cannot declare")):
        key = line if line.startswith("[") else line.partition("=")[0].strip()
        return f"{file}: line {number}: {key} is there twice; keep one"
    return f"{file}: line {number}: no valid TOML: {what}"


def _table(value: Any, where: str, allowed: tuple[str, ...] | None, file: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{file}: {where} must be a table, not {value!r}")
    for key in value:
        if allowed is not None and key not in allowed:
            raise InputError(f"{file}: unknown key {key!r} in {where}; known: {', '.join(allowed)}")
    return value


def _entry(value: Any, where: str, file: Path, allowed: tuple[str, ...]) -> _Entry:
    table = _table(value, where, allowed, file)
    fields: dict[str, Any] = {}
    for key in _TEXT_KEYS:
        if key in table:
            fields[key] = _text(table[key], f"{key} in {where}", file)
    for key in _COUNT_KEYS:
        count = table.get(key, 0)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise InputError(f"{file}: {key} in {where} must be a whole number from 0, not {count!r}")
        if key in table:
            fields[key] = count
    for key in ("checkpoint", "processor"):
        # A path in a file means what it means to a reader of that file, wherever the command runs.
        path = file.parent / Path(fields.get(key, "")).expanduser()
        if key in fields and path.is_dir():
            fields[key] = str(path.resolve())
    return _Entry(**fields)


def _text(value: Any, where: str, file: Path) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{file}: {where} must be a text, not {value!r}")
    return value


def _brings_processor(checkpoint: str | None) -> bool:
    if checkpoint is None:
        return False
    folder = Path(checkpoint).expanduser()
    names = ("preprocessor_config.json", "processor_config.json")
    return (folder / "tokenizer_config.json").is_file() and any((folder / name).is_file() for name in names)


def _resolve(checkpoint: str) -> str:
    if not checkpoint.startswith(_BUNDLED_PREFIX):
        return str(Path(checkpoint).expanduser()) if checkpoint.startswith("~") else checkpoint
    name = checkpoint.removeprefix(_BUNDLED_PREFIX)
    folder = _BUNDLED_FOLDER / name
    if not folder.is_dir():
        there = ", ".join(sorted(path.name for path in _BUNDLED_FOLDER.glob("*") if path.is_dir())) or "none"
        raise ModelError(
            f"no bundled checkpoint {name!r}; there are: {there}; reinstall vlmprobe if one is lost"
        )
    return str(folder)
