"""Loads the processor of any image-text model without its video part, which needs torchvision."""

from __future__ import annotations

import inspect
import re
import sys
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.auto.torch_images import without_torchvision
from vlmprobe.families.worker.engine.prompts import load_chat_template
from vlmprobe.families.worker.environment.packages import install_name, lost_package
from vlmprobe.families.worker.environment.versions import pillow_backend, processor_parts, with_own_size
from vlmprobe.families.worker.faults import ModelFault, PackageFault, one_line
from vlmprobe.families.worker.loading.parts import load_tokenizer, size_argument
from vlmprobe.families.worker.loading.reading import place_of, quiet, read_settings

if TYPE_CHECKING:
    from vlmprobe.families.worker.contract import LoadOptions

__all__ = ["load_image_text_processor"]

#: Files in which a checkpoint may name its processor's class, the most specific first.
_FILES = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def load_image_text_processor(options: LoadOptions, model_type: str) -> Any:
    """Load image processor (Pillow backend if it has one), tokenizer and chat template as one processor.

    Args:
        options: where they are, and whether Python files among them may be run.
        model_type: the architecture, where the checkpoint's files do not name the processor's class.

    Raises:
        ModelFault: a part is missing or cannot be read.
        PackageFault: its image processor needs a package that is not installed.
    """
    from transformers import AutoProcessor

    source, revision = options.processor_place
    try:
        base = _processor_class(options, model_type)
    except (ImportError, RuntimeError) as error:
        raise _fault(source, error) from error
    if base is None:
        # The checkpoint's own class, or none: let transformers decide and report what is wrong.
        try:
            with quiet():
                return AutoProcessor.from_pretrained(
                    place_of(source), revision=revision, trust_remote_code=options.trust_remote_code
                )
        except (OSError, ValueError, ImportError, KeyError, TypeError, AttributeError) as error:
            raise _fault(source, error) from error
    tokenizer = load_tokenizer(options, own_code=True)
    template = load_chat_template(options, tokenizer)
    try:
        with quiet():
            images = _image_processor(options)
            settings, _ = base.get_processor_dict(place_of(source), revision=revision)
            return _images_only(base)(
                **_settings_of(base, settings), **_parts(base, images, tokenizer), chat_template=template
            )
    except (OSError, ValueError, ImportError, KeyError, TypeError, AttributeError) as error:
        raise _fault(source, error) from error


def _image_processor(options: LoadOptions) -> Any:
    from transformers import AutoImageProcessor

    source, revision = options.processor_place
    settings = _settings(source, revision)
    names = [each.get("image_processor_type") for each in settings]
    name, said = (
        next((each for each in names if each), None),
        settings[_FILES.index("preprocessor_config.json")],
    )
    ours = without_torchvision(name)
    if ours is not None:
        return ours.from_pretrained(place_of(source), revision=revision)
    images = AutoImageProcessor.from_pretrained(
        place_of(source),
        revision=revision,
        trust_remote_code=options.trust_remote_code,
        **pillow_backend(),
        **size_argument(source, name, said),
    )
    return with_own_size(images, said)


def _settings(source: str, revision: str | None) -> list[dict[str, Any]]:
    """Return the contents of :data:`_FILES`, empty for files that do not exist."""
    return [read_settings(source, file, revision) or {} for file in _FILES]


def _processor_class(options: LoadOptions, model_type: str) -> Any:
    """Return transformers' class, or None if the checkpoint has its own that may be run."""
    from transformers.models.auto import processing_auto

    names = []
    for said in _settings(*options.processor_place):
        if options.trust_remote_code and "AutoProcessor" in (said.get("auto_map") or {}):
            return None
        names.append(said.get("processor_class"))
    names.append(processing_auto.PROCESSOR_MAPPING_NAMES.get(model_type))
    for name in names:
        found = processing_auto.processor_class_from_name(name) if name else None
        if found is not None:
            return found
    return None


def _images_only(base: Any) -> Any:
    """Subclass the processor so that it needs no video processor."""

    def check_argument_for_proper_class(self: Any, argument_name: str, argument: Any) -> Any:
        if "video" in argument_name and argument is None:
            return None
        return base.check_argument_for_proper_class(self, argument_name, argument)

    members = {
        "check_argument_for_proper_class": check_argument_for_proper_class,
        # Before 5, the architecture's own tokenizer class was required; any that reads the same file will do.
        "tokenizer_class": "AutoTokenizer",
        "__module__": base.__module__,
    }
    return type(base.__name__, (base,), members)


def _parts(base: Any, images: Any, tokenizer: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {"image_processor": images, "tokenizer": tokenizer}
    return {name: parts.get(name) for name in processor_parts(base)}


def _settings_of(base: Any, settings: dict[str, Any]) -> dict[str, Any]:
    known = set(inspect.signature(base.__init__).parameters) - {"self", "kwargs", "chat_template"}
    return {name: value for name, value in settings.items() if name in known - set(processor_parts(base))}


def _fault(source: str, error: Exception) -> ModelFault | PackageFault:
    said = one_line(error, most=None)
    package = lost_package(error)
    if package is None:
        package = _missing_package(said) if isinstance(error, ImportError) or "torchvision" in said else None
    if package is not None:
        return PackageFault(
            f"{source}: its processor needs the package {package!r}, which is not installed; "
            f"run: {sys.executable} -m pip install {install_name(package)}"
        )
    return ModelFault(
        f"{source}: cannot load its processor ({said[:300]}); pass --processor with the "
        "base model's folder or id"
    )


def _missing_package(said: str) -> str | None:
    """Read the package's name from transformers' error message."""
    for pattern in (r"pip install ([\w.-]+\w)", r"requires the (\w+) library", r"No module named '(\w+)"):
        found = re.search(pattern, said)
        if found is not None:
            return found.group(1)
    return "torchvision" if "torchvision" in said else None
