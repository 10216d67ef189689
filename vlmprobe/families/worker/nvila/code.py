"""Loads a model with NVILA's own code: the ``llava`` package (VILA), or the code of a preview checkpoint.

The package is written for training on NVIDIA GPUs, in one number format, with a dozen packages that reading one
image does not need. Only the following is changed here:

* packages that are missing get stand-ins (:mod:`stand_ins`), and so do llava's modules for quantized training
  and for vision towers that NVILA does not have;
* where the builder names ``torch.float16``, it gets the requested format;
* the vision tower runs on PyTorch's own attention, not on flash-attention: the same numbers on every machine;
* a conversation template is chosen by the checkpoint's own name, not by the folders above it.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vlmprobe.families.worker.environment.packages import install_name
from vlmprobe.families.worker.environment.stand_ins import EmptyModule, standing_in
from vlmprobe.families.worker.faults import ModelFault, PackageFault, one_line
from vlmprobe.families.worker.loading.places import commit_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["HOW_TO_GET_LLAVA", "import_llava", "load_with_llava", "load_with_own_code"]

HOW_TO_GET_LLAVA = (
    "NVILA needs the code of VILA (package 'llava') and transformers 4.46: clone https://github.com/NVlabs/VILA, "
    'create an environment for it, and set both in vlmprobe.toml, [families.nvila] python = ".../bin/python", '
    'pythonpath = [".../VILA"] (docs/scales.md)'
)
#: Packages that VILA imports but does not need for inference.
_UNUSED = dict.fromkeys(("cv2", "deepspeed", "s2wrapper", "timm", "torchvision"), EmptyModule)
_UNUSED_MODULES = dict.fromkeys(
    (
        "llava.model.language_model.fp8linearqwen2",
        "llava.model.language_model.qllava_qllama",
        "llava.model.multimodal_encoder.intern_encoder",
        "llava.model.multimodal_encoder.ps3_encoder",
        "llava.model.multimodal_encoder.radio_encoder",
    ),
    EmptyModule,
)


class _TorchWith:
    """PyTorch with another format in place of float16, for code that hard-codes that one."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.float16 = dtype

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def load_with_llava(
    folder: Path, name: str, dtype: torch.dtype, device: torch.device
) -> tuple[Any, ModuleType, dict[str, Any]]:
    """Load a checkpoint by ``llava.load``.

    Args:
        folder: where its files are.
        name: what it is called: the hub id, or the folder's name.
        dtype: the number format of all its parts.
        device: where to put it.

    Returns:
        The model, the module whose functions prepare its inputs, and what the manifest records of them.

    Raises:
        PackageFault: llava or a package that it needs is not there.
        ModelFault: the environment's transformers is not one that llava can use.
    """
    stood_in = import_llava()
    modules: Iterator[Any] = (
        import_module(name)
        for name in (
            "llava",
            "llava.conversation",
            "llava.model.builder",
            "llava.model.llava_arch",
            "llava.model.multimodal_encoder.siglip_encoder",
        )
    )
    llava, conversation, builder, llava_arch, siglip_encoder = modules
    # Otherwise a template that an earlier checkpoint's name switched on stays on.
    conversation.default_conversation = conversation.conv_auto
    choose = conversation.auto_set_conversation_mode
    named = Path(name).name
    with (
        _replaced(conversation, "auto_set_conversation_mode", lambda _path: choose(named)),
        _replaced(builder, "torch", _TorchWith(dtype)),
        _replaced(
            siglip_encoder, "SiglipVisionModel", _without_flash_attention(siglip_encoder.SiglipVisionModel)
        ),
    ):
        model = llava.load(str(folder), device=str(device))
    said = {
        "form": "llava",
        "conversation": _mode(conversation),
        "code_commit": commit_of(Path(str(llava.__file__)).parents[1]),
        "stand_ins": stood_in,
    }
    return model, llava_arch, said


def load_with_own_code(
    folder: Path, dtype: torch.dtype, device: torch.device
) -> tuple[Any, ModuleType, dict[str, Any]]:
    """Load a preview checkpoint with the Python files in its folder; the caller checks that they may be run.

    Args:
        folder: where its files are.
        dtype: the number format of all its parts.
        device: where to put it.

    Returns:
        As :func:`load_with_llava`.

    Raises:
        PackageFault: a package that its code needs is not there.
        ModelFault: its folder's name keeps Python from importing it.
    """
    _check_version("the preview form of NVILA")
    from transformers import AutoConfig, AutoModel
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    if "." in folder.name:
        raise ModelFault(
            f"{folder}: transformers cannot import code from a folder with a dot in its name; rename the folder"
        )
    with _as_faults():
        # On its first import it looks for deepspeed, so import it before the stand-in exists.
        import_module("accelerate")
    with standing_in(_UNUSED) as stood_in, _as_faults():
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=True)
        code = get_class_from_dynamic_module(config.auto_map["AutoModel"], str(folder))
        module = sys.modules[code.__module__]
        config.model_dtype = str(dtype)
        # Without it, the projector would be initialized at random.
        config.resume_path = str(folder)
        # The class only wraps two models that have it.
        code._supports_sdpa = True
        with _replaced(module, "torch", _TorchWith(dtype)):
            model = AutoModel.from_config(
                config, trust_remote_code=True, attn_implementation="sdpa", device_map=str(device)
            )
    model.mm_projector.to(device)
    model.vision_tower.to(device)
    said = {
        "form": "preview",
        "conversation": _mode(sys.modules[f"{module.__package__}.conversation"]),
        "stand_ins": stood_in,
    }
    return model.eval(), module, said


def _check_version(what: str) -> None:
    import transformers

    if int(transformers.__version__.partition(".")[0]) >= 5:
        raise PackageFault(
            f"{what} cannot run on transformers {transformers.__version__} of {sys.executable}; {HOW_TO_GET_LLAVA}"
        )


def import_llava() -> list[str]:
    """Import the package; return the packages that were replaced by stand-ins."""
    _check_version("NVILA's code")
    if find_spec("llava") is None:
        raise PackageFault(f"{sys.executable} finds no package 'llava'; {HOW_TO_GET_LLAVA}")
    # transformers and accelerate look for packages on import, so import them before the stand-ins exist.
    with _as_faults():
        import_module("transformers")
        import_module("accelerate")
        if "llava.model.builder" in sys.modules:
            return []
        with standing_in(_UNUSED, _UNUSED_MODULES) as stood_in:
            import_module("llava.model.builder")
    return stood_in


@contextmanager
def _as_faults() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "llava").partition(".")[0]
        # One of its own modules, or one that this transformers does not have.
        if package in ("llava", "transformers", "transformers_modules"):
            raise ModelFault(_unfit(error)) from error
        pip = f"{sys.executable} -m pip"
        raise PackageFault(
            f"NVILA's code needs the package {package!r}, which the environment of {sys.executable} lacks; "
            f"run: {pip} install {install_name(package)} (tested versions: docs/scales.md)"
        ) from error
    except ImportError as error:
        raise ModelFault(_unfit(error)) from error


def _unfit(error: ImportError) -> str:
    import transformers

    return (
        f"NVILA's code cannot be imported with transformers {transformers.__version__} of {sys.executable} "
        f"({one_line(error)}); {HOW_TO_GET_LLAVA}"
    )


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _without_flash_attention(code: Any) -> Any:
    class OnPyTorch:
        """The vision tower's class, always loaded with PyTorch's own attention."""

        @staticmethod
        def from_pretrained(*places: Any, **named: Any) -> Any:
            return code.from_pretrained(*places, **{**named, "attn_implementation": "sdpa"})

    return OnPyTorch


def _mode(conversation: Any) -> str:
    """Return the name of the active conversation template; ``auto`` is the tokenizer's own chat template."""
    names = [
        name
        for name, each in conversation.conv_templates.items()
        if each is conversation.default_conversation
    ]
    return str(names[0] if names else "unknown")
