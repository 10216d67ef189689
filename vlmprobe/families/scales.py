"""The catalog of scales: each family's scales, their checkpoints and how much training they have seen.

Scales are data: ``checkpoints.toml`` beside this file, extended by a user's ``vlmprobe.toml``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.errors import ModelError, UsageError, unknown_name
from vlmprobe.families.catalog_file import FamilyEntry, ScaleEntry, brings_processor, read_catalog_file
from vlmprobe.families.registry import family_names, is_family
from vlmprobe.resources import checkpoints_folder
from vlmprobe.safe_names import safe_name

if TYPE_CHECKING:
    from vlmprobe.families.environments import Environment

__all__ = ["USER_FILE", "Catalog", "Needs", "ScaleSpec", "load_catalog"]

#: A user's own scales, looked for in the working directory.
USER_FILE = "vlmprobe.toml"

_BUNDLED_FILE = Path(__file__).with_name("checkpoints.toml")
_BUNDLED_PREFIX = "bundled:"
#: The scale before any fine-tuning.
_BASE = "vanilla"


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
    """Commit, branch or tag of the checkpoint's hub id."""
    samples_seen: int | None
    global_steps: int | None
    processor_revision: str | None = None
    """Commit, branch or tag of the processor's hub id, where that is another one."""
    environment: Environment | None = None
    """The Python that runs it; this one when None."""
    training: str | None = None
    """Which of several trainings of the scale."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The packages that a family's code needs where it runs."""

    text: str | None
    """As text for the user; None if the files do not say."""
    packages: tuple[str, ...]
    """Import names."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """All families and scales that are known here; made by :func:`load_catalog`."""

    _families: dict[str, FamilyEntry] = field(default_factory=dict)
    _meanings: dict[str, ScaleEntry] = field(default_factory=dict)

    def family_names(self) -> list[str]:
        """Return the catalog's families and the installed ones without an entry, in alphabetical order."""
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

    def listed_scales(self, family: str) -> dict[str, ScaleEntry]:
        """Return the entries of all of the family's scales, including those without a checkpoint.

        Raises:
            UsageError: no family has this name; the message lists them.
        """
        known = self._family(family).scales
        return {name: self._named(name, entry) for name, entry in known.items()}

    def environment(self, family: str) -> Environment | None:
        """Return the Python that runs the family: its own, else its architecture's; None is this one.

        Raises:
            UsageError: no family has this name; the message lists them.
        """
        known = self._family(family)
        return known.environment or self._family(known.architecture).environment

    def needs(self, family: str) -> Needs:
        """Return the packages that the family's code needs: those of its own entry, else its architecture's.

        Raises:
            UsageError: no family has this name; the message lists them.
        """
        known = self._family(family)
        of_code = self._family(known.architecture)
        return Needs(known.needs or of_code.needs, known.packages or of_code.packages)

    def scale(
        self, family: str, scale: str, checkpoint: str | None = None, processor: str | None = None
    ) -> ScaleSpec:
        """Look up a scale; an explicit checkpoint or processor overrides the catalog's.

        A scale that is not in the catalog is allowed with an explicit checkpoint.
        An explicit checkpoint folder that holds a tokenizer brings its own processor. A folder without one takes the
        base's, in a family whose other scales do so.

        Raises:
            UsageError: unknown family or scale, a scale whose checkpoint must be given, or one whose name could lead
                a file out of its folder.
            ModelError: a bundled checkpoint is not there.
        """
        known = self._family(family)
        safe_name(scale, "scale")
        # A scale's name alone determines its training, even if the family does not list it.
        chosen = self._named(scale, known.scales.get(scale, ScaleEntry()))
        if checkpoint is None and chosen.checkpoint is None:
            raise self._without_checkpoint(family, scale)
        chosen = ScaleEntry(checkpoint=checkpoint, processor=processor).over(chosen)
        if chosen.processor is None and scale != _BASE:
            chosen = self._with_base_processor(family, chosen)
        if chosen.processor == chosen.checkpoint and chosen.processor_revision is None:
            # Given twice, it is still one repository at one revision.
            chosen = replace(chosen, processor=None)
        return ScaleSpec(
            family=family,
            architecture=known.architecture,
            scale=scale,
            checkpoint=_resolve(str(chosen.checkpoint)),
            processor=None if chosen.processor is None else _resolve(chosen.processor),
            revision=chosen.revision,
            samples_seen=chosen.samples_seen,
            global_steps=chosen.global_steps,
            processor_revision=chosen.processor_revision,
            environment=self.environment(family),
            training=chosen.training,
        )

    def training_of(self, scale: str) -> tuple[int | None, int | None]:
        """Return the samples and steps that a scale's name alone stands for; None if unknown."""
        meaning = self._meanings.get(scale, ScaleEntry())
        return meaning.samples_seen, meaning.global_steps

    def _named(self, scale: str, entry: ScaleEntry) -> ScaleEntry:
        return entry.over(self._meanings.get(scale, ScaleEntry()))

    def _with_base_processor(self, family: str, chosen: ScaleEntry) -> ScaleEntry:
        """Use the base's processor for a folder without one, if the family's other scales use it."""
        scales = self._family(family).scales
        base = scales.get(_BASE, ScaleEntry())
        place, revision = base.processor, base.processor_revision
        if place is None:
            place, revision = base.checkpoint, base.revision
        others = {entry.processor for entry in scales.values()}
        if place is None or place not in others or not _lacks_processor(str(chosen.checkpoint)):
            return chosen
        return replace(chosen, processor=place, processor_revision=revision)

    def _without_checkpoint(self, family: str, scale: str) -> UsageError:
        listed = self._family(family).scales
        if scale in listed or scale in self._meanings:
            return UsageError(
                f"no checkpoint is known for scale {scale!r} of family {family!r}; pass --checkpoint DIR_OR_ID to "
                f"'vlmprobe extract', or set checkpoint in [families.{family}.scales.{scale}] of {USER_FILE}"
            )
        return UsageError(
            f"unknown scale {scale!r} of family {family!r}; known: {', '.join(listed) or 'none'}; "
            "for your own checkpoint, pass --checkpoint DIR_OR_ID to 'vlmprobe extract'"
        )

    def _family(self, name: str) -> FamilyEntry:
        if name in self._families:
            return self._families[name]
        if is_family(name):
            return FamilyEntry(architecture=name)
        raise unknown_name("family", name, self.family_names())


def load_catalog(user_file: Path | None = None) -> Catalog:
    """Read the bundled catalog, and a user's file on top of it.

    Args:
        user_file: the user's file; when None, ``vlmprobe.toml`` of the working directory if there is one.

    Raises:
        InputError: the file is missing, is no TOML, or has an unknown key or a value of the wrong kind.
    """
    # Do not skip a dangling link or a folder of this name: the user meant it to be read.
    if user_file is None and (Path(USER_FILE).exists() or Path(USER_FILE).is_symlink()):
        user_file = Path(USER_FILE)
    families: dict[str, FamilyEntry] = {}
    meanings: dict[str, ScaleEntry] = {}
    for file in (_BUNDLED_FILE, user_file):
        if file is not None:
            read_catalog_file(file, families, meanings)
    return Catalog(families, meanings)


def _lacks_processor(checkpoint: str) -> bool:
    """Return whether a folder has no processor; False for a hub id, which is unknown before it is loaded."""
    folder = _resolve(checkpoint)
    return os.path.isdir(folder) and not brings_processor(folder)  # noqa: PTH112  (pathlib raises for a name too long)


def _resolve(checkpoint: str) -> str:
    if not checkpoint.startswith(_BUNDLED_PREFIX):
        if checkpoint.startswith("~") and os.path.isdir(checkpoint):  # noqa: PTH112
            return str(Path(checkpoint).absolute())  # a folder of this name, and not a user's own
        try:
            return str(Path(checkpoint).expanduser()) if checkpoint.startswith("~") else checkpoint
        except RuntimeError:
            raise ModelError(f"{checkpoint[:80]}: this machine has no such user; use the full path") from None
    name = checkpoint.removeprefix(_BUNDLED_PREFIX)
    bundled = checkpoints_folder()
    folder = bundled / name
    if not folder.is_dir():
        there = ", ".join(sorted(path.name for path in bundled.glob("*") if path.is_dir())) or "none"
        raise ModelError(
            f"no bundled checkpoint {name!r}; available: {there}; reinstall vlmprobe if one is missing"
        )
    return str(folder)
