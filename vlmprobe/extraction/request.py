"""Resolves what an extraction will do, before anything is written or loaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import unknown_name
from vlmprobe.extraction.control import Control, controlled_plan
from vlmprobe.extraction.image_loader import quick_turns
from vlmprobe.extraction.marks import Fingerprints, Marks
from vlmprobe.extraction.opening import Opening
from vlmprobe.extraction.remarks import check_problems, dataset_lines, quad_lines, shared_lines
from vlmprobe.families import (
    DTYPES,
    KeptFamily,
    LoadOptions,
    ModelOptions,
    check_folder,
    check_layers,
    load_catalog,
    open_in_processes,
)
from vlmprobe.file_hashes import FileHashes
from vlmprobe.pairs import (
    DECODING_VERSION,
    PUBLISHED,
    SPACE,
    Benchmarks,
    get_template,
)
from vlmprobe.store.identity import run_key
from vlmprobe.store.runs import RunPlan

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.extraction.image_loader import Pictures
    from vlmprobe.families import KeptWorkers, OpenFamily, ScaleSpec
    from vlmprobe.pairs import AxisSet, Dataset, QuadSet, SwapPair
    from vlmprobe.store.parts import Part
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Console

__all__ = ["ExtractOptions", "ExtractRequest", "Prepared", "prepare"]

#: Increment it when extraction yields different numbers for the same model and dataset.
ENGINE_VERSION = 3
#: The same for GPUs alone.
KERNELS_VERSION = 3


@dataclass(frozen=True, slots=True)
class ExtractOptions:
    """What to extract, for any checkpoint."""

    data: Path
    templates: tuple[str, ...] = (PUBLISHED.name,)
    """Question templates; each gets its own run, in this order."""
    boxes: str | None = None
    """A file of object boxes, or a hub dataset's id; it goes before boxes in the data itself."""
    axes: AxisSet = SPACE
    """What the dataset's categories may be."""
    max_per_category: int = 200
    allow_contradictions: bool = False
    """Whether rows whose labels contradict each other are asked about; else they are row problems."""
    allow_problems: bool = False
    """Whether to go on when more than half of the rows give no pair."""
    batch_size: int | None = None
    """Pairs per batch; None = as many as fit."""
    new: bool = False
    """Whether to start new runs even if there are some to resume."""
    part: Part | None = None
    """Which part of the run's batches to infer, while other processes infer the others; None = all."""
    wait: bool = False
    """Whether to wait for a process that is working on the run, instead of failing."""
    unembedding: bool = False
    """Whether to load the model of a complete run too, to keep its output layer; other runs always do."""
    rehash: bool = False
    """Whether to hash the checkpoint's files anew, whatever earlier commands remember of them."""
    model: ModelOptions = field(default_factory=ModelOptions)


@dataclass(frozen=True, slots=True)
class ExtractRequest:
    """One checkpoint, and what to extract from it."""

    family: str
    scale: str
    options: ExtractOptions
    checkpoint: str | None = None
    """A folder or a hub id; None = the one in the catalog."""
    processor: str | None = None
    revision: str | None = None
    new_checkpoint: bool = False
    """Whether to go on although the scale's earlier runs are of another checkpoint."""
    control: Control | None = None
    """The kind of control to extract instead of the real run, which must be complete."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checked request: which pairs, which code, which run."""

    dataset: Dataset
    quads: QuadSet | None
    family: OpenFamily
    options: LoadOptions
    plan: RunPlan
    pictures: Pictures
    """What the model is shown: the dataset's pictures, or those of a control."""

    @property
    def quad_pairs(self) -> tuple[SwapPair, ...]:
        """The pairs that only the quads need."""
        return self.quads.pairs if self.quads is not None else ()

    @property
    def pairs(self) -> tuple[SwapPair, ...]:
        """Every pair to infer, the dataset's own first."""
        return (*self.dataset.pairs, *self.quad_pairs)

    def under(self, template: str) -> Prepared:
        """Return this request with another template: same model, same rows, but its own run.

        Raises:
            UsageError: the file spells its questions out and can have no other template.
        """
        dataset = self.dataset.under(template)
        quads = None if self.quads is None or dataset is self.dataset else self.quads.under(template)
        identity = {**self.plan.config["identity"], "template": dataset.template}
        plan = replace(
            self.plan,
            run_key=run_key(identity),
            template=dataset.template,
            config={**self.plan.config, "identity": identity},
        )
        return replace(self, dataset=dataset, quads=quads or self.quads, plan=plan, pictures=dataset)

    def controlled(self, control: Control, served: Run) -> Prepared:
        """Return this request as a control of a complete run of it.

        Raises:
            ModelError: the checkpoint has no settings to initialize a model from.
            UsageError: there are too few images to exchange, or there is no other axis to ask about.
        """
        pictures = control.pictures(self.dataset)
        plan = controlled_plan(self.plan, control, served, self.options, pictures, self.dataset.axes)
        return replace(
            self,
            # Only asked: the database holds the served run's questions, and keeps them.
            dataset=control.questions(self.dataset),
            quads=self.quads if control.asks_own_questions else None,
            plan=plan,
            pictures=pictures,
            options=control.load_options(self.options),
        )


def prepare(
    request: ExtractRequest,
    console: Console,
    *,
    workers: KeptWorkers,
    hashes: FileHashes | None = None,
    benchmarks: Benchmarks | None = None,
) -> Prepared:
    """Read the dataset, resolve checkpoint and code, and plan the run of the first template.

    Args:
        request: what to prepare.
        console: where it is said what was found.
        workers: has the processes of a model's devices.
        hashes: the files' hashes that are known already.
        benchmarks: the files that were read already.

    Raises:
        UsageError: an option, a template, the family or the scale is wrong.
        InputError: the dataset, the boxes or the checkpoint are.
    """
    spec = load_catalog().scale(request.family, request.scale, request.checkpoint, request.processor)
    if request.revision is not None:
        spec = replace(spec, revision=request.revision)
    wanted = request.options
    # Before a large file is read, or PyTorch is imported.
    if wanted.model.dtype not in DTYPES:
        raise unknown_name("dtype", wanted.model.dtype, list(DTYPES))
    for template in wanted.templates:
        get_template(template)
    if request.control is not None:
        request.control.check_templates(wanted.templates)
    for place in (spec.checkpoint, spec.processor):
        if place is not None:
            check_folder(place)
    check_layers(spec.checkpoint, wanted.model.layers)
    if spec.environment is not None:
        spec.environment.check(spec.family)
    opening = Opening(spec, wanted, workers)
    with (
        quick_turns(),
        Fingerprints(spec, hashes or FileHashes(), anew=wanted.rehash) as fingerprints,
    ):
        dataset, quads = _read(wanted, console, benchmarks or Benchmarks())
        family = opening.result()
        try:
            options = family.resolve(_load_options(wanted.model, spec))
            marks = Marks.of(options, fingerprints)
            options = marks.pin(options)
        except BaseException:
            family.close()
            raise
    for line in shared_lines(spec.environment, options.devices):
        console.say(line)
    on_gpu = options.device.startswith("cuda")
    if (on_gpu or len(options.devices) > 1) and not isinstance(family, KeptFamily):
        # The driver had not told of them.
        family.close()
        family = open_in_processes(spec.architecture, spec.environment, workers)
    if isinstance(family, KeptFamily):
        family.content = marks.checkpoint
    return Prepared(
        dataset, quads, family, options, _plan(spec, dataset, options, marks, wanted.model.layers), dataset
    )


def _read(wanted: ExtractOptions, console: Console, benchmarks: Benchmarks) -> tuple[Dataset, QuadSet | None]:
    """Read the dataset and its quads, worded by the first template, and say what they are."""
    dataset = benchmarks.dataset(
        wanted.data,
        max_per_category=wanted.max_per_category,
        axes=wanted.axes,
        allow_contradictions=wanted.allow_contradictions,
    )
    if not wanted.allow_problems:
        check_problems(dataset)
    for template in wanted.templates:
        dataset.wording(template)  # before anything is loaded
    dataset = dataset.under(wanted.templates[0])
    for line in dataset_lines(dataset):
        console.say(line)
    quads = None
    if wanted.boxes is not None or dataset.has_boxes:
        quads = benchmarks.quads(dataset, wanted.boxes)
        for line in quad_lines(quads, dataset.unit):
            console.say(line)
    return dataset, quads


def _load_options(model: ModelOptions, spec: ScaleSpec) -> LoadOptions:
    return LoadOptions(
        checkpoint=spec.checkpoint,
        processor=spec.processor,
        revision=spec.revision,
        processor_revision=spec.processor_revision,
        **{each.name: getattr(model, each.name) for each in fields(ModelOptions)},
    )


def _plan(
    spec: ScaleSpec,
    dataset: Dataset,
    options: LoadOptions,
    marks: Marks,
    layers: tuple[int, ...] | None,
) -> RunPlan:
    identity: dict[str, Any] = {
        "engine": ENGINE_VERSION,
        "family": spec.family,
        "architecture": spec.architecture,
        "scale": spec.scale,
        "fingerprint": marks.checkpoint,
        "processor": marks.processor,
        # More than a permission: a checkpoint's own code may compute differently from the library's.
        "trust_remote_code": options.trust_remote_code,
        "dataset_id": dataset.dataset_id,
        "template": dataset.template,
        "layers": "all" if layers is None else sorted(set(layers)),
        "dtype": options.dtype,
        # The last bits differ between kinds of device, and a resumed run must not mix them.
        "device": options.device.split(":")[0],
    }
    if options.device.startswith("cuda"):
        # Runs on a CPU keep the key that they had before there were other kernels for GPUs.
        identity["kernels"] = KERNELS_VERSION
    if dataset.treats_images:
        # Other runs keep the key that they had before there was a rule for such images.
        identity["decoding"] = DECODING_VERSION
    return RunPlan(
        run_key=run_key(identity),
        dataset_id=dataset.dataset_id,
        template=dataset.template,
        family=spec.family,
        scale=spec.scale,
        checkpoint=spec.checkpoint,
        fingerprint=marks.checkpoint,
        samples_seen=spec.samples_seen,
        global_steps=spec.global_steps,
        training=spec.training,
        dtype=options.dtype,
        device=options.device,
        config={
            "identity": identity,
            "processor": options.processor,
            # As requested (a branch, for example), and the commits it resolved to; a folder has neither.
            "asked_revision": spec.revision,
            "revision": options.revision,
            "processor_revision": options.processor_revision,
            "trust_remote_code": options.trust_remote_code,
            "environment": None if spec.environment is None else asdict(spec.environment),
        },
    )
