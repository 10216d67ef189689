"""What an extraction is about to do, worked out before anything is written or loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vlmprobe.families import LoadOptions, fingerprint, is_local, load_catalog, open_family
from vlmprobe.pairs import link_quads, read_boxes, read_dataset
from vlmprobe.store.identity import run_key
from vlmprobe.store.runs import RunPlan

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.families import OpenFamily, ScaleSpec
    from vlmprobe.pairs import Dataset, QuadSet, SwapPair
    from vlmprobe.workflows.console import Console

__all__ = ["ExtractRequest", "Prepared", "prepare"]

#: Raised when extraction would give other numbers for the same model and dataset.
ENGINE_VERSION = 1


@dataclass(frozen=True, slots=True)
class ExtractRequest:
    """What to extract, as the command line says it."""

    family: str
    scale: str
    data: Path
    boxes: str | None = None
    """A file of object boxes, or a hub dataset's id."""
    checkpoint: str | None = None
    processor: str | None = None
    revision: str | None = None
    max_per_category: int = 200
    layers: tuple[int, ...] | None = None
    dtype: str = "auto"
    device: str = "auto"
    batch_size: int | None = None
    new: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked request: which pairs, which code, which run."""

    dataset: Dataset
    quads: QuadSet | None
    family: OpenFamily
    options: LoadOptions
    plan: RunPlan

    @property
    def quad_pairs(self) -> tuple[SwapPair, ...]:
        """The pairs that are asked for the quads' sake alone."""
        return self.quads.pairs if self.quads is not None else ()

    @property
    def pairs(self) -> tuple[SwapPair, ...]:
        """Every pair to ask, the dataset's own first."""
        return (*self.dataset.pairs, *self.quad_pairs)


def prepare(request: ExtractRequest, console: Console) -> Prepared:
    """Read the dataset, find checkpoint and code, and name the run.

    Raises:
        UsageError: an option, the family or the scale is wrong.
        InputError: the dataset, the boxes or the checkpoint are.
    """
    spec = load_catalog().scale(request.family, request.scale, request.checkpoint, request.processor)
    if request.revision is not None:
        spec = replace(spec, revision=request.revision)
    dataset = read_dataset(request.data, max_per_category=request.max_per_category)
    for line in _dataset_lines(dataset):
        console.say(line)
    quads = None
    if request.boxes is not None:
        quads = link_quads(dataset, read_boxes(request.boxes))
        for line in _quad_lines(quads):
            console.say(line)
    family = open_family(spec.architecture)
    options = family.resolve(
        LoadOptions(
            checkpoint=spec.checkpoint,
            processor=spec.processor,
            revision=spec.revision,
            dtype=request.dtype,
            device=request.device,
            layers=request.layers,
        )
    )
    plan = _plan(request, spec, dataset, options)
    if not is_local(spec.checkpoint):
        # A branch may move between two starts: what is loaded is the commit that the run's key names.
        options = replace(options, revision=plan.fingerprint)
    return Prepared(dataset, quads, family, options, plan)


def _plan(request: ExtractRequest, spec: ScaleSpec, dataset: Dataset, options: LoadOptions) -> RunPlan:
    mark = fingerprint(spec.checkpoint, spec.revision)
    identity: dict[str, Any] = {
        "engine": ENGINE_VERSION,
        "family": spec.family,
        "architecture": spec.architecture,
        "scale": spec.scale,
        "fingerprint": mark,
        "processor": None if spec.processor is None else fingerprint(spec.processor),
        "dataset_id": dataset.dataset_id,
        "template": dataset.template,
        "layers": "all" if request.layers is None else sorted(set(request.layers)),
        "dtype": options.dtype,
        # The last bits differ between kinds of device, and a resumed run must not mix them.
        "device": options.device.split(":")[0],
    }
    return RunPlan(
        run_key=run_key(identity),
        dataset_id=dataset.dataset_id,
        template=dataset.template,
        family=spec.family,
        scale=spec.scale,
        checkpoint=spec.checkpoint,
        fingerprint=mark,
        samples_seen=spec.samples_seen,
        global_steps=spec.global_steps,
        dtype=options.dtype,
        device=options.device,
        config={"identity": identity, "processor": spec.processor, "revision": spec.revision},
    )


def _quad_lines(quads: QuadSet) -> list[str]:
    lines = ["boxes: " + ", ".join(f"{count} {what}" for what, count in quads.counts.items())]
    if quads.problems:
        first = quads.problems[0]
        lines.append(
            f"boxes of {len(quads.problems)} rows do not fit (line {first.line}: {first.what}: {first.why})"
        )
    return lines


def _dataset_lines(dataset: Dataset) -> list[str]:
    lines = [f"{dataset.name}: {len(dataset.pairs)} pairs from {dataset.n_rows} rows ({dataset.form} form)"]
    if dataset.problems:
        first = dataset.problems[0]
        lines.append(
            f"{len(dataset.problems)} rows give no pair (line {first.line}: {first.what}: {first.why}); "
            f"'vlmprobe data check {dataset.path}' lists them"
        )
    return lines
