"""A run as the library shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from os import PathLike

    from vlmprobe.study.selection import Selection

__all__ = ["AnyRun", "Run", "names", "selection_of", "split_name"]


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """One checkpoint on one dataset under one question template, and how far it got."""

    run_id: str
    family: str
    scale: str
    dataset: str
    """The dataset's name."""
    template: str
    status: str
    """``created``, ``running``, ``complete``, ``interrupted`` or ``failed``."""
    n_pairs: int
    """Pairs with an answer."""
    n_failed: int
    """Pairs that failed and have no answer."""
    n_layers: int | None
    """Decoder layers of the model; None before its first answer."""
    dim: int | None
    """Numbers in a hidden state."""
    dtype: str | None
    device: str | None
    checkpoint: str
    samples_seen: int | None
    """Training samples that the checkpoint has seen, if known."""
    global_steps: int | None
    dataset_id: str
    provenance: str
    """``extracted`` or ``imported``."""
    created_at: datetime
    """UTC, without a zone."""
    n_unnamed: int
    """Answers that name neither of their two options."""
    notes: str
    """What a reader has to know about its weights and its prompts; empty if nothing."""
    control: str | None = None
    """What kind of control it is, such as ``grey``; None = a real run."""
    serves: str | None = None
    """Of a control: the id of the run that it serves."""

    @property
    def name(self) -> str:
        """What it is called in tables: ``qwen25 @ 80k``, plus ``(yes-no)`` under another template."""
        # Imported here: who only opens a workspace need not wait for the database's packages.
        from vlmprobe.store.runs import run_name

        return run_name(self.family, self.scale, self.template, self.control)

    def __repr__(self) -> str:
        counts = f"{self.n_pairs} pairs" + (f", {self.n_failed} failed" if self.n_failed else "")
        states = f", {self.n_layers} layers of {self.dim}" if self.n_layers else ""
        return f"<Run {self.name} on {self.dataset}: {self.status}, {counts}{states}, run_id {self.run_id}>"


#: A run, its id, or its name: ``tiny/2m``, ``tiny @ 2m``, ``tiny @ 2m (yes-no)``.
AnyRun: TypeAlias = Run | str


def split_name(text: str) -> tuple[str, str | None, str | None]:
    """Split a run's name into family, scale and template; what is not named is None."""
    name, _, rest = text.partition(" (")
    template = rest.removesuffix(")") or None
    # A family or scale may have an @ in its name, but no slash.
    family, _, scale = name.partition("/" if "/" in name else " @ ")
    return family.strip(), scale.strip() or None, template


def selection_of(
    family: str | Sequence[str] | None,
    scale: str | Sequence[str] | None,
    data: str | PathLike[str] | None,
    max_per_category: int = 200,
) -> Selection:
    """Return the filters that select runs; one that is None matches all."""
    from vlmprobe.study.selection import Selection

    return Selection(names(family), names(scale), None if data is None else Path(data), max_per_category)


def names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return one name, several or none as a tuple."""
    return (given,) if isinstance(given, str) else tuple(given or ())
