"""Controls: a run with grey or other pictures, random weights or another axis's questions, all else as in a real run.

What a control has in common with the run that it serves (coherence, say) is no evidence that the model sees. Pixels
are replaced after decoding, in one place (:class:`ControlPictures`), so batches, shards, certificates and resuming are
those of any run. Random weights are initialized by the family's code, from the seed in ``LoadOptions.random_weights``.
Questions about another axis are worded before anything is asked; the pairs that are stored stay those of the real run.

Exchanged labels need no model: the states are those of the real run. ``vlmprobe control`` computes that control from
them, and there is no such run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from PIL import Image as Images

from vlmprobe.errors import NoRandomWeightsError, UsageError
from vlmprobe.families import fingerprint
from vlmprobe.pairs import YES_NO, ask_other_axis, other_axes
from vlmprobe.store.controls import GREY, OTHER_AXIS, OTHER_IMAGE, RANDOM_WEIGHTS, SHUFFLED_LABELS, kind_of
from vlmprobe.store.identity import run_key
from vlmprobe.store.runs import find_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from PIL.Image import Image
    from sqlalchemy import Connection

    from vlmprobe.extraction.image_loader import Pictures
    from vlmprobe.families import LoadOptions
    from vlmprobe.pairs import AxisSet, Dataset, SwapPair
    from vlmprobe.store.runs import Run, RunPlan

__all__ = [
    "KINDS",
    "Asked",
    "Control",
    "ControlPictures",
    "check_random_weights",
    "controlled_plan",
    "exchanged_images",
    "kind_list",
    "read_seed",
    "served_run",
]

#: Kinds that a model is asked for, and whether something of them is drawn.
KINDS = {GREY: False, OTHER_IMAGE: True, RANDOM_WEIGHTS: True, OTHER_AXIS: False}
#: The middle of each channel's 256 values.
MID_GREY = (128, 128, 128)


@dataclass(frozen=True, slots=True)
class Control:
    """One kind of control, and the seed of what it draws."""

    kind: str
    seed: int | None = None

    @classmethod
    def parse(cls, text: str, option: str = "--control") -> Control:
        """Read ``grey``, ``other-image``, ``random-weights:1``; a seed that is not named is 0.

        Args:
            text: as it was typed.
            option: where, for messages.

        Raises:
            UsageError: there is no such kind, its seed is no whole number, or it draws nothing.
        """
        kind, colon, _ = text.strip().partition(":")
        if kind == SHUFFLED_LABELS:
            raise UsageError(
                f"{option} {SHUFFLED_LABELS} asks the model nothing, so there is no run to extract; 'vlmprobe control "
                "FAMILY --data FILE' computes it from the run's own states"
            )
        if kind not in KINDS:
            raise UsageError(
                f"{option} {text[:60]!r}: there is no such control; choose from {', '.join(KINDS)}"
            )
        if not KINDS[kind]:
            if colon:
                raise UsageError(
                    f"{option} {text[:60]!r}: {kind} draws nothing, so it takes no seed; use {kind}"
                )
            return cls(kind)
        return cls(kind, read_seed(text, option))

    def __str__(self) -> str:
        """Return it as it is stored: ``grey``, ``other-image:0``."""
        return self.kind if self.seed is None else f"{self.kind}:{self.seed}"

    def pictures(self, dataset: Dataset) -> Pictures:
        """Return what the model is shown for each pair: the dataset itself if the pictures are the real ones."""
        return ControlPictures(dataset, self) if self.kind in {GREY, OTHER_IMAGE} else dataset

    @property
    def shares_batches(self) -> bool:
        """Whether it can be asked together with real runs: the same model is shown the same pictures."""
        return self.kind == OTHER_AXIS

    @property
    def asks_own_questions(self) -> bool:
        """Whether the model is asked the questions of the run that is served."""
        return self.kind != OTHER_AXIS

    def questions(self, dataset: Dataset) -> Dataset:
        """Return the pairs as the model is asked about them: the dataset itself if the questions are the real ones.

        Raises:
            UsageError: the dataset has no other axis to ask about.
        """
        return dataset if self.asks_own_questions else ask_other_axis(dataset)

    def check_templates(self, templates: Sequence[str]) -> None:
        """Refuse templates whose questions this kind cannot replace, before a large file is read.

        Raises:
            UsageError: there is one.
        """
        if self.asks_own_questions:
            return
        refused = [name for name in templates if name not in YES_NO]
        if refused:
            raise UsageError(
                f"control {self} asks about another axis, so the answer may name none; pass --templates "
                f"{','.join(YES_NO)} instead of {','.join(refused)}"
            )

    def load_options(self, options: LoadOptions) -> LoadOptions:
        """Return how the model is loaded."""
        return replace(options, random_weights=self.seed) if self.kind == RANDOM_WEIGHTS else options


@dataclass(frozen=True, slots=True)
class Asked:
    """One run of a scale on one file: how it is asked, and as what control where it is no real run."""

    template: str
    control: Control | None = None


def read_seed(text: str, option: str) -> int:
    """Return the seed behind a kind's colon; 0 without one.

    Raises:
        UsageError: it is no whole number.
    """
    kind, colon, number = text.strip().partition(":")
    if not colon:
        return 0
    if not (number.isascii() and number.isdecimal() and int(number) < 2**63):
        raise UsageError(f"{option} {text[:60]!r}: a seed is a whole number of 0 or more, like {kind}:0")
    return int(number)


def kind_list(texts: Sequence[str]) -> tuple[str, ...]:
    """Read kinds of controls, such as ``grey`` and ``other-image:1``; return them as they are stored.

    Raises:
        UsageError: there is no such kind, or its seed is none.
    """
    found = []
    for text in texts:
        if kind_of(text.strip()) == SHUFFLED_LABELS:
            found.append(f"{SHUFFLED_LABELS}:{read_seed(text, '--kinds')}")
        else:
            found.append(str(Control.parse(text, "--kinds")))
    return tuple(dict.fromkeys(found))


class ControlPictures:
    """The pictures of a dataset, replaced after decoding; a damaged picture fails its pairs as in the real run."""

    def __init__(self, dataset: Dataset, control: Control) -> None:
        """Store the arguments; the exchange is drawn on first use."""
        self._dataset, self._control = dataset, control

    def image(self, pair: SwapPair) -> Image:
        """Return what the model is shown for a pair, as RGB; safe in threads.

        Raises:
            ImageError: the picture that is shown, or whose size is needed, is damaged.
            InputError: the file is gone, or is not the one that was read.
        """
        if self._control.kind == GREY:
            return Images.new("RGB", self._dataset.image(pair).size, MID_GREY)
        return self._dataset.image(self._first_with[self.exchanged[pair.image_sha256]])

    @cached_property
    def exchanged(self) -> dict[str, str]:
        """The hash of each image of the file, and of the one that is shown in its place."""
        assert self._control.seed is not None  # noqa: S101 - of this kind there is one
        return exchanged_images(self._first_with, self._control.seed)

    @cached_property
    def _first_with(self) -> dict[str, SwapPair]:
        # Of all rows, also those outside the sample: boxes that come later ask about them.
        pairs = (*self._dataset.pairs, *self._dataset.made)
        return {pair.image_sha256: pair for pair in reversed(pairs)}


def exchanged_images(images: Iterable[str], seed: int) -> dict[str, str]:
    """Return another image for each: they stand in a ring in the order of a seeded hash, and each gets the next.

    So no image keeps its own place, each is shown once, and pairs about one image still share one.

    Raises:
        UsageError: there are fewer than two images.
    """
    ring = sorted(set(images), key=lambda image: (hashlib.sha256(f"{seed}:{image}".encode()).digest(), image))
    if len(ring) < 2:
        raise UsageError(
            f"{OTHER_IMAGE} needs two different images at least, and the benchmark has {len(ring)}"
        )
    return dict(zip(ring, [*ring[1:], ring[0]], strict=True))


def served_run(connection: Connection, plan: RunPlan, control: Control, data: object) -> Run:
    """Return the complete real run that a control serves: the newest one of the plan.

    Args:
        connection: in a transaction.
        plan: of the real run, under the same settings.
        control: for the message.
        data: the benchmark as it was named, for the message.

    Raises:
        UsageError: there is none, or it is not complete.
    """
    found = find_run(connection, plan.run_key)
    if found is not None and found.status == "complete":
        return found
    state = "there is no such run" if found is None else f"run {found.run_id} is {found.status}"
    raise UsageError(
        f"control {control} serves a complete run of {plan.family} @ {plan.scale} ({plan.template}) with the same "
        f"settings, and {state}; run 'vlmprobe extract {plan.family} --scale {plan.scale} --data {data}' first, with "
        "the same options"
    )


def controlled_plan(
    plan: RunPlan, control: Control, served: Run, options: LoadOptions, pictures: Pictures, axes: AxisSet
) -> RunPlan:
    """Return the plan of a control: its kind and the run it serves are part of its key; real runs keep theirs.

    Raises:
        ModelError: the checkpoint has no settings to initialize a model from.
        UsageError: there are too few images to exchange, or there is no other axis.
    """
    about: dict[str, Any] = {"kind": control.kind, "seed": control.seed}
    identity = {**plan.config["identity"], "control": str(control), "serves": served.run_id}
    if control.kind == RANDOM_WEIGHTS:
        # Of the settings alone: no number depends on the checkpoint's weights.
        settings = fingerprint(options.checkpoint, options.revision, weights=False)
        identity["fingerprint"] = f"random-weights:{control.seed}:{settings}"
    if not control.asks_own_questions:
        # Part of what was asked: another rule for which axis it is would be another control.
        identity["asked_axes"] = {str(axis): str(other) for axis, other in other_axes(axes).items()}
        about["axes"] = identity["asked_axes"]
    if isinstance(pictures, ControlPictures) and control.kind == OTHER_IMAGE:
        about["images"] = pictures.exchanged
    return replace(
        plan,
        run_key=run_key(identity),
        fingerprint=identity["fingerprint"],
        control=str(control),
        serves=served.run_id,
        config={**plan.config, "identity": identity, "control": about},
    )


def check_random_weights(options: LoadOptions, family: str, manifest: Mapping[str, Any]) -> None:
    """Check that a family initialized the weights that it was asked to, instead of loading the checkpoint's.

    Raises:
        NoRandomWeightsError: it did not.
    """
    made = (manifest.get("weights") or {}).get("random_weights")
    if options.random_weights is not None and made != options.random_weights:
        raise NoRandomWeightsError(
            f"family {family} cannot initialize random weights: its code loaded those of {options.checkpoint}; leave "
            f"out {RANDOM_WEIGHTS}"
        )
