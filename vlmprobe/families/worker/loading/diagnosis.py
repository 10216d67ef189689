"""Finds the file and the key of a checkpoint that made somebody else's code raise; called only after it has."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.faults import Fault, ModelFault, OutOfMemoryError, one_line
from vlmprobe.families.worker.loading.places import is_local
from vlmprobe.families.worker.suspects import blamed, calls_of, is_count, lines_of, said_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmprobe.families.worker.suspects import Configs

__all__ = [
    "config_reason",
    "damaged_file",
    "damaged_json",
    "damaged_text",
    "decoding",
    "kind_of",
    "not_the_file",
    "preparing_images",
    "running_first",
]

#: A file whose code makes a model, or a part of one, from its config: of transformers, of a checkpoint's own code (but
#: not NVILA's loader), of olmo, of llava.
_MAKES_A_MODEL = re.compile(
    r"transformers[/\\](configuration_utils|modeling_rope_utils|activations|pytorch_utils"
    r"|models[/\\]\w+[/\\](modeling|configuration|image_processing)_\w+)\.py$|transformers[/\\]initialization\.py$"
    r"|transformers_modules[/\\].*[/\\](?!modeling_vila)(modeling|config|configuration|base)_\w+\.py$"
    r"|olmo[/\\](model|config|initialization)\.py$|llava[/\\]model[/\\]multimodal_\w+[/\\]"
)
_READS_GENERATION = re.compile(r"transformers[/\\]generation[/\\]configuration_utils\.py$")
#: Functions of transformers that turn a config's name of a number format into torch's.
_READS_DTYPE = ("_get_dtype", "_set_default_dtype", "_set_default_torch_dtype", "get_torch_dtype")
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)
_TEXTS = ("chat_template.jinja", "chat_template.json", "merges.txt", "vocab.txt")


def not_the_file(path: Path) -> str | None:
    """Say what a file is that stands in the place of another; None if it looks like itself."""
    try:
        with path.open("rb") as file:
            begin = file.read(200).lstrip()
    except OSError:
        return None
    if begin.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself; run 'git lfs pull' in its folder, or download it again"
    if begin[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "is an HTML page, not the file itself; download it again, signed in where the site asks for it"
    if not begin:
        return "is empty; copy the checkpoint again"
    return None


def kind_of(said: Any) -> str:
    """Say what stands where settings belong."""
    return "a list" if isinstance(said, list) else json.dumps(said)[:60]


def damaged_file(source: str, pattern: str, said: str) -> str:
    """Say which weight file of a checkpoint is damaged, and what it is instead.

    Args:
        source: the checkpoint.
        pattern: which of its files may be.
        said: what the reader of such a file says about it.
    """
    from safetensors import SafetensorError, safe_open

    again = "copy the checkpoint again"
    if not is_local(source):
        return f"{source}: a weight file is damaged ({said}); {again}"
    folder = Path(source).expanduser()
    # Some checkpoints keep their parts in folders of their own.
    files = sorted(folder.glob(pattern)) or sorted(folder.glob(f"*/{pattern}"))
    for path in files:
        name, other = path.relative_to(folder), not_the_file(path)
        if other is not None:
            return f"{source}: {name} {other}"
        if path.suffix == ".safetensors":
            try:
                with safe_open(path, "pt"):
                    pass
            except (SafetensorError, OSError):
                return f"{source}: {name} is damaged ({said}); {again}"
    which = files[0].name if len(files) == 1 else "a weight file"
    return f"{source}: {which} is damaged ({said}); {again}"


def damaged_json(source: str, names: tuple[str, ...] = _TOKENIZER_FILES) -> str | None:
    """Say which of a folder's JSON files cannot be read; None if all can."""
    if not is_local(source):
        return None
    for name in names:
        path = Path(source).expanduser() / name
        if not path.is_file():
            continue
        other = not_the_file(path)
        if other is not None:
            return f"{name} {other}"
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError, OSError) as error:
            return f"{name} is not valid JSON ({one_line(error)}); copy it again"
        if not isinstance(said, dict):
            return f"{name} holds {kind_of(said)}, not keys and values in {{}}; copy it again"
    return None


def damaged_text(source: str) -> str | None:
    """Say which of a folder's text files a tokenizer cannot read; None if all are UTF-8."""
    for name in _TEXTS if is_local(source) else ():
        path = Path(source).expanduser() / name
        if path.is_file():
            try:
                path.read_text(encoding="utf-8")
            except (ValueError, OSError) as error:
                return f"{name} cannot be read as UTF-8 text ({one_line(error)}); copy it again"
    return None


def config_reason(configs: Configs, error: BaseException) -> str | None:
    """Say which file, and where it can be told which keys, a model's code cannot make a model of.

    Args:
        configs: what the model was made of, the most important first.
        error: what was raised while the model was made.

    Returns:
        The file, its keys and what to do; None if nothing says that a config is to blame.
    """
    calls = list(calls_of(error))
    if any(_READS_GENERATION.search(file) for file, _ in calls):
        return (
            f"generation_config.json cannot be used ({said_by(error)}); compare it with the base model's, or copy it "
            "again"
        )
    if not any(_MAKES_A_MODEL.search(file) or name in _READS_DTYPE for file, name in calls):
        return None
    found = blamed(configs, error)
    files, keys = found or (next(iter(configs), "config.json"), "")
    which = f"{files} with {keys}" if keys else files
    return f"no model can be made of {which} ({said_by(error)}); {_again(files)}"


def _again(files: str) -> str:
    if " and " in files:
        return "compare these files with the base model's, or copy them again"
    return f"compare it with the base model's {files}, or copy it again"


@contextmanager
def running_first(source: str, configs: Configs) -> Iterator[None]:
    """Turn what a model raises on a first, ordinary image and question into one line.

    Args:
        source: the checkpoint.
        configs: what its model and its preprocessing were made of, the most important first.

    Raises:
        ModelFault: the model cannot run.
    """
    try:
        yield
    except (Fault, OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        if "out of memory" in str(error):
            raise
        said = said_by(error)
        first, config = next(iter(configs.items()))
        wrong = _wrong_sections(dict(config), error)
        token = config.get("image_token_id", config.get("image_token_index"))
        if wrong is None and "image tokens" in str(error) and token is not None:
            wrong = f"image_token_id: {token}, which the prompt may not hold"
        if wrong:
            raise ModelFault(f"{source}: {first} has {wrong} ({said}); {_again(first)}") from error
        found = blamed(configs, error, by_number=False)
        if found:
            files, keys = found
            raise ModelFault(
                f"{source}: its model cannot take an image and a question with {keys} in {files} ({said}); "
                f"{_again(files)}"
            ) from error
        files = " and ".join(configs)
        raise ModelFault(
            f"{source}: its model cannot take an image and a question as {files} say ({said}); compare these files "
            "with the base model's, or copy them again"
        ) from error


@contextmanager
def preparing_images(source: str, configs: Configs, otherwise: str = "") -> Iterator[None]:
    """Turn what an image processor raises on an ordinary image into one line.

    Args:
        source: the checkpoint, or where its processor is.
        configs: the processor's settings.
        otherwise: what else helps, beside the base model's settings.

    Raises:
        ModelFault: it cannot prepare the image.
    """
    try:
        yield
    except Fault:
        raise
    except Exception as error:
        still = next((file for file, said in configs.items() if said.get("do_resize") is False), None)
        found = (still, "do_resize: false") if still else blamed(configs, error, by_number=False)
        files, keys = found or (" and ".join(configs), "")
        which = f" with {keys} in {files}" if keys else ""
        raise ModelFault(
            f"{source}: its image processor cannot prepare an image{which} ({said_by(error)}); compare {files} with "
            f"the base model's{otherwise}"
        ) from error


@contextmanager
def decoding(source: str, settings: Any) -> Iterator[None]:
    """Turn what is raised while a checkpoint's own way to generate is set up into one line.

    Args:
        source: the checkpoint.
        settings: its model's generation_config.

    Raises:
        ModelFault: it cannot be set up.
    """
    try:
        yield
    except (Fault, OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        if "out of memory" in str(error):
            raise
        held = settings.to_dict() if hasattr(settings, "to_dict") else {}
        wrong = [
            f"{key}: {json.dumps(value)[:60]}"
            for key, value in held.items()
            if key.endswith("_token_id") and not _is_token(value)
        ]
        which = f"has {', '.join(wrong)}, where numbers of tokens belong" if wrong else "cannot be used"
        raise ModelFault(
            f"{source}: generation_config.json {which} ({said_by(error)}); compare it with "
            "the base model's, or copy it again"
        ) from error


def _is_token(value: Any) -> bool:
    return value is None or all(is_count(each) for each in (value if isinstance(value, list) else [value]))


def _wrong_sections(config: dict[str, Any], error: BaseException) -> str | None:
    """Say that the parts of a rotary embedding (M-RoPE) do not make up a head, or are not there; None if they do."""
    for part in (config.get("text_config"), config):
        if not isinstance(part, dict):
            continue
        rope = part.get("rope_parameters") or part.get("rope_scaling")
        sections = rope.get("mrope_section") if isinstance(rope, dict) else None
        if isinstance(rope, dict) and sections is None and any("mrope" in line for line in lines_of(error)):
            return "no mrope_section beside its rope_type, and the default is not that of a head"
        heads, hidden = part.get("num_attention_heads"), part.get("hidden_size")
        if isinstance(sections, list) and is_count(heads) and is_count(hidden) and heads:
            size = part.get("head_dim") or hidden // heads
            if 2 * sum(sections) != size:
                return (
                    f"mrope_section: {sections}, which adds up to {sum(sections)}, not to {size // 2}, half the size "
                    "of a head"
                )
    return None
