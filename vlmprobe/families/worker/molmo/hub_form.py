"""Molmo in Hugging Face form: the checkpoint includes Python code for the model and for preprocessing.

    MolmoForCausalLM                modeling_molmo.py
      model                         Molmo
        vision_backbone             image tower, pooling, projector
        transformer
          wte, blocks[0 .. n-1], ln_f, ff_out
    MolmoProcessor                  preprocessing_molmo.py, image_preprocessing_molmo.py

The code was written for transformers 4. A subclass adds what version 5 also requires of a model class, so the
checkpoint's own class stays as it is; ``generate_from_batch`` does not run there at all and is not used.
"""

from __future__ import annotations

import inspect
import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.families.worker.faults import ModelFault, PackageFault, one_line
from vlmprobe.families.worker.loading.parts import SETTINGS, image_configs, load_tokenizer
from vlmprobe.families.worker.loading.pretrained import load_model
from vlmprobe.families.worker.loading.reading import (
    place_of,
    quiet,
    read_config,
    read_settings,
    require_consent,
)
from vlmprobe.families.worker.molmo.inputs import LoadedMolmo, MolmoInputs
from vlmprobe.families.worker.molmo.stand_ins import resizing, stand_ins
from vlmprobe.families.worker.suspects import said_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from vlmprobe.families.worker.contract import LoadOptions

__all__ = ["load_hub"]


def load_hub(options: LoadOptions) -> LoadedMolmo:
    """Load model and processor with the checkpoint's own code.

    Raises:
        ModelFault: running that code is not allowed, or a part is missing, damaged or does not fit.
        PackageFault: the code imports a package that is not installed.
    """
    require_consent(options, "Molmo's Hugging Face form")
    # Before any of its code is imported.
    config = read_config(options.checkpoint, options.revision, "molmo")
    with stand_ins():
        base = _foreign_class(options.checkpoint, options.revision, "config.json", "AutoModelForCausalLM")
        model = load_model(_for_transformers_5(base), "molmo", options, own_code=True)
    inputs = _load_inputs(options)
    manifest = {
        "form": "hugging face",
        "model_type": model.config.model_type,
        "layers_at": "model.transformer.blocks",
        "image_backend": inputs.resized_by,
    }
    return LoadedMolmo(model, model.model, inputs, manifest, {"config.json": config}, image_configs(options))


class HubInputs(MolmoInputs):
    """The checkpoint's own processor."""

    def __init__(self, processor: Any, resized_by: str) -> None:
        super().__init__(processor.tokenizer)
        self._processor = processor
        self.resized_by = resized_by

    def text(self, question: str) -> str:
        """Write the only chat format that Molmo was trained on; a check ensures that the processor agrees."""
        return f" User: {question} Assistant:"

    def process(self, image: Image, question: str) -> tuple[Sequence[int], Any, Any, Any]:
        """Let the processor cut the image and write the prompt."""
        # Some versions of the code import TensorFlow to resize. A side of 112 pixels divides by zero, harmlessly.
        with stand_ins(), np.errstate(divide="ignore"):
            made = self._processor.process(images=[image], text=question)
        return made["input_ids"].tolist(), made["images"], made.get("image_masks"), made["image_input_idx"]


def _load_inputs(options: LoadOptions) -> HubInputs:
    source, revision = options.processor_place
    tokenizer = load_tokenizer(options, own_code=True)
    with stand_ins():
        images = _foreign_class(source, revision, SETTINGS, "AutoImageProcessor")
        processor = _foreign_class(source, revision, SETTINGS, "AutoProcessor")
        try:
            with quiet():
                made = processor(images.from_pretrained(place_of(source), revision=revision), tokenizer)
        # Its class is the checkpoint's own.
        except Exception as error:
            raise ModelFault(
                f"{source}: cannot load its processor ({said_by(error)}); compare {SETTINGS} with the base model's, or "
                "pass --processor with the base model's folder or id"
            ) from error
    try:
        return HubInputs(made, resizing(inspect.getsource(sys.modules[images.__module__])))
    except ValueError as error:
        raise ModelFault(
            f"{source}: this is not a Molmo tokenizer: {error}; pass --processor with the base model's folder or id"
        ) from error


def _foreign_class(source: str, revision: str | None, file: str, role: str) -> Any:
    """Import the class that a checkpoint's settings name for a role."""
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    said = read_settings(source, file, revision)
    roles = (said or {}).get("auto_map")
    named = roles.get(role) if isinstance(roles, dict) else None
    if not isinstance(named, str):
        lost = "is missing; it should name the" if said is None else "does not name the"
        what = (
            "add the base model's files"
            if file == "config.json"
            else "pass --processor with the base model's id"
        )
        raise ModelFault(f"{source}: {file} {lost} {role} of the checkpoint's own code (auto_map); {what}")
    try:
        with quiet():
            return get_class_from_dynamic_module(named, place_of(source), revision=revision)
    except ImportError as error:
        raise _missing(source, error) from error
    # Whatever a checkpoint's code does when it is imported.
    except Exception as error:
        raise ModelFault(
            f"{source}: cannot import {named}, which {file} names ({said_by(error)[:200]}); copy the .py files and the "
            f"auto_map of {file} from the base model"
        ) from error


def _for_transformers_5(base: Any) -> Any:
    """Subclass the model to add what transformers 5 requires."""

    def tie_weights(_self: Any, *_: Any, **__: Any) -> None:
        """Tie nothing, like the class itself; newer versions of transformers pass arguments."""

    members = {
        "__module__": base.__module__,
        "all_tied_weights_keys": {},
        "tie_weights": tie_weights,
    }
    return type(base.__name__, (base,), members)


def _missing(source: str, error: ImportError) -> PackageFault:
    said = one_line(error, most=None)
    found = re.search(r"pip install ([\w.-]+(?: [\w.-]+)*)|No module named '(\w+)", said)
    names = (found.group(1) or found.group(2)) if found else said[:200]
    return PackageFault(
        f"{source}: the checkpoint's own code needs {names}, which is not installed; run: pip install {names}"
    )
