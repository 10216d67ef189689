"""Molmo in its native form: ``config.yaml`` and ``model.pt``, as written by its training code (``olmo``).

    Molmo                           olmo.model
      vision_backbone               image tower, pooling, projector
      transformer
        wte, blocks[0 .. n-1], ln_f, ff_out

The weights have the names of the Hugging Face form without the leading ``model.``. Fine-tuned models come in
this form. The tokenizer is the one that config.yaml names; Molmo's image tokens are added here, as in olmo.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.families.worker.environment.packages import install_name
from vlmprobe.families.worker.faults import ModelFault, PackageFault, one_line
from vlmprobe.families.worker.loading.devices import pick_device, pick_dtype
from vlmprobe.families.worker.loading.diagnosis import not_the_file, preparing_images
from vlmprobe.families.worker.loading.parts import load_tokenizer
from vlmprobe.families.worker.loading.places import commit_of
from vlmprobe.families.worker.loading.pretrained import loading_faults
from vlmprobe.families.worker.molmo.inputs import (
    IMAGE_TOKENS,
    LoadedMolmo,
    MolmoInputs,
    image_token_ids,
)
from vlmprobe.families.worker.molmo.olmo_weights import CONFIG, WEIGHTS, load_weights
from vlmprobe.families.worker.molmo.stand_ins import resizing, stand_ins

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from PIL.Image import Image

    from vlmprobe.families.worker.contract import LoadOptions

__all__ = ["CONFIG", "WEIGHTS", "load_native", "tokenizer_place"]

_INSTALL = (
    "git clone https://github.com/allenai/molmo && pip install --no-deps -e molmo && pip install omegaconf"
)
#: Modules of olmo that are used, ``olmo.data`` file by file.
_MODULES = (
    "olmo.config",
    "olmo.model",
    "olmo.tokenizer",
    "olmo.data.data_formatter",
    "olmo.data.model_preprocessor",
)


def load_native(options: LoadOptions) -> LoadedMolmo:
    """Load model and preprocessing with the olmo package.

    Raises:
        ModelFault: a part is missing, damaged or does not fit.
        PackageFault: olmo, or a package that it imports, is not installed.
    """
    device = pick_device(options.device)
    dtype = pick_dtype(options.dtype, device)
    folder = Path(options.checkpoint).expanduser()
    if not (folder / WEIGHTS).is_file():
        raise ModelFault(
            f"{folder}: this folder has {CONFIG} but no {WEIGHTS}; merge a sharded checkpoint into one "
            "file with olmo's scripts/unshard.py"
        )
    olmo = _import_olmo(options.checkpoint)
    config = _read_config(olmo["config"], folder / CONFIG)
    tokenizer = _load_tokenizer(config, options)
    with preparing_images(str(folder), {CONFIG: _as_dict(config)}):
        inputs = NativeInputs(olmo, config, tokenizer)
    configs = {CONFIG: _as_dict(config)}
    with loading_faults(str(folder), device, configs):
        model = load_weights(olmo["model"], config, folder).to(device=device, dtype=dtype).eval()
    manifest = {
        "form": "olmo",
        "model_type": "molmo",
        "layers_at": "transformer.blocks",
        "image_backend": resizing("import torchvision"),
        "tokenizer": tokenizer.name_or_path,
        "code_commit": commit_of(Path(str(olmo["model"].__file__)).parents[1]),
    }
    model.requires_grad_(requires_grad=False)
    return LoadedMolmo(model, model, inputs, manifest, configs, configs)


def tokenizer_place(checkpoint: str) -> str:
    """Return the folder or hub id of the language model's tokenizer, as config.yaml names it.

    olmo itself reads the config, since it understands older forms.

    Raises:
        ModelFault: config.yaml cannot be read.
        PackageFault: olmo, or a package that it imports, is not installed.
    """
    config = _read_config(_import_olmo(checkpoint)["config"], Path(checkpoint).expanduser() / CONFIG)
    return str(config.tokenizer.identifier)


class NativeInputs(MolmoInputs):
    """olmo's own preprocessing, configured by config.yaml as in olmo's ``build_mm_preprocessor``."""

    def __init__(self, olmo: dict[str, ModuleType], config: Any, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        self._format = olmo["data_formatter"].DataFormatter(
            prompt_templates=config.prompt_type,
            message_format=config.message_formatting,
            system_prompt=config.system_prompt_kind,
            always_start_with_space=config.always_start_with_space,
            default_inference_len=config.default_inference_len,
            # Without it, some styles randomly change one prompt in ten.
            debug=True,
        )
        vision = config.vision_backbone
        height, width = config.llm_patches_per_crop()
        masks = None if not config.image_padding_embed else 2 if config.fix_image_padding else 1
        # A language model without a begin token uses its end token there.
        begin = tokenizer.bos_token_id or tokenizer.eos_token_id
        self._preprocess = olmo["model_preprocessor"].MultiModalPreprocessor(
            tokenizer=olmo["tokenizer"].HfTokenizerWrapper(tokenizer, bos_token_id=begin),
            normalize=str(vision.image_model_type),
            crop_mode=config.crop_mode,
            max_crops=config.max_crops,
            overlap_margins=config.overlap_margins,
            resize=vision.resize_mode,
            use_col_tokens=config.use_col_tokens,
            base_image_input_size=vision.image_default_input_size,
            image_pooling_w=config.image_pooling_w,
            image_pooling_h=config.image_pooling_h,
            image_token_length_w=width,
            image_token_length_h=height,
            image_patch_size=vision.image_patch_size,
            image_padding_mask=masks,
            pad_value=config.pad_value,
        )

    def text(self, question: str) -> str:
        """Write the question in the style of olmo's demo, which is that of the Hugging Face form."""
        example = {"question": question, "style": "demo"}
        (message,), _ = self._format(example, is_training=False, for_inference=True, rng=np.random)
        return str(message)

    def process(self, image: Image, question: str) -> tuple[Sequence[int], Any, Any, Any]:
        """Let olmo cut the image and write the prompt."""
        made = self._preprocess(np.array(image), [self.text(question)])
        return made["input_tokens"].tolist(), made["images"], made.get("image_masks"), made["image_input_idx"]


def _import_olmo(checkpoint: str) -> dict[str, ModuleType]:
    """Import the modules of the package that are used, keyed by the last part of their names."""
    spec = find_spec("olmo")
    if spec is None or spec.origin is None:
        raise PackageFault(
            f"{checkpoint}: Molmo's own form needs the package 'olmo', which is not installed; run: {_INSTALL}"
        )
    package = Path(spec.origin).parent
    if not (package / "data" / "model_preprocessor.py").is_file():
        # pip leaves out its sub-packages; and PyPI's ai2-olmo is another model of the same import name.
        raise PackageFault(
            f"{checkpoint}: the package 'olmo' in {package} has no data/model_preprocessor.py: this is "
            f"another model's package, or a non-editable install, which lacks that file; run: {_INSTALL}"
        )
    with stand_ins(package):
        try:
            return {name.rpartition(".")[2]: importlib.import_module(name) for name in _MODULES}
        except ModuleNotFoundError as error:
            _forget_olmo()
            raise PackageFault(
                f"{checkpoint}: the package 'olmo' needs {error.name!r}, which is not installed; "
                f"run: pip install {install_name(str(error.name))}"
            ) from error
        except (ImportError, AttributeError, TypeError, RuntimeError) as error:
            _forget_olmo()
            raise PackageFault(
                f"{checkpoint}: the package 'olmo' cannot be imported here ({one_line(error)}); "
                'it may need older packages: set a separate environment for it, [families.molmo] python = "..."'
            ) from error


def _forget_olmo() -> None:
    """Remove partially imported modules, so that the next attempt starts over."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "olmo"]:
        del sys.modules[name]


def _as_dict(config: Any) -> dict[str, Any]:
    """Return the keys and values of olmo's config, those that are names of olmo's as text."""
    said: dict[str, Any] = json.loads(json.dumps(config.asdict(), default=str))
    return said


def _read_config(olmo: ModuleType, file: Path) -> Any:
    """Read the ``model`` part of config.yaml."""
    other = not_the_file(file)
    if other is not None:
        raise ModelFault(f"{file.parent}: {file.name} {other}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # OmegaConf's notes to olmo's authors
            config = olmo.ModelConfig.load(file, key="model", validate_paths=False)
    except Exception as error:  # (olmo's, OmegaConf's and yaml's own kinds; and asserts about old settings)
        said = re.sub(
            r" full_key: (\S+)( reference_type=.*| object_type=.*)?$", r", key \1", one_line(error, most=500)
        )
        raise ModelFault(
            f"{file.parent}: {file.name} cannot be read as a Molmo config ({said}); compare it with the base model's, "
            "or copy it again"
        ) from error
    if config.vision_backbone is None:
        raise ModelFault(
            f"{file.parent}: {file.name} has no vision_backbone; use a checkpoint with a vision encoder"
        )
    config.block_group_size = (
        1  # a grouping for training; the weights' names are put right when they are loaded
    )
    return config


def _load_tokenizer(config: Any, options: LoadOptions) -> Any:
    """Load the language model's tokenizer and add the image tokens after the rows of its embeddings."""
    source = options.processor or config.tokenizer.identifier
    try:
        tokenizer = load_tokenizer(replace(options, processor=source))
    except ModelFault as error:
        raise ModelFault(
            f"{error}; config.yaml names the tokenizer {config.tokenizer.identifier!r}"
            if source == config.tokenizer.identifier
            else str(error)
        ) from error
    try:
        image_token_ids(tokenizer)
    except ValueError:
        # As olmo does it: the image tokens' ids begin after the language model's embeddings, not its vocabulary.
        filled = config.vocab_size - len(tokenizer) if config.pad_tokenizer else 0
        tokenizer.add_tokens(
            [*(f"|<EXTRA_TOKENS_{number}>|" for number in range(filled)), *IMAGE_TOKENS], special_tokens=True
        )
    ids = image_token_ids(tokenizer)
    first = config.vocab_size
    if config.pad_tokenizer and ids != list(range(first, first + len(ids))):
        raise ModelFault(
            f"{source}: this tokenizer has its image tokens at {ids[0]}, but the model of {options.checkpoint} expects "
            f"{first}; pass --processor with the tokenizer it was trained with"
        )
    return tokenizer
