"""Finds the file and the key of a checkpoint that made somebody else's code raise; called only after it has."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.faults import Fault, ModelFault, OutOfMemoryError, one_line
from vlmprobe.families.worker.loading.config_parts import all_values
from vlmprobe.families.worker.loading.places import is_local

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["config_reason", "damaged_file", "damaged_json", "decoding", "not_the_file", "running_first"]

#: A file of transformers whose code makes a model, or a part of one, from config.json.
_MAKES_A_MODEL = re.compile(
    r"transformers[/\\](configuration_utils|modeling_rope_utils|activations|pytorch_utils"
    r"|models[/\\]\w+[/\\](modeling|configuration)_\w+)\.py$|transformers[/\\]initialization\.py$"
)
_READS_GENERATION = re.compile(r"transformers[/\\]generation[/\\]configuration_utils\.py$")
#: Functions of transformers that turn a config's name of a number format into torch's.
_READS_DTYPE = ("_get_dtype", "_set_default_dtype", "_set_default_torch_dtype", "get_torch_dtype")
#: A value that more keys hold than this says nothing about which of them is meant.
_FEW = 3
_AGAIN = "compare it with the base model's config.json, or copy it again"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
)


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
    files = sorted(Path(source).expanduser().glob(pattern))
    for path in files:
        other = not_the_file(path)
        if other is not None:
            return f"{source}: {path.name} {other}"
        if path.suffix == ".safetensors":
            try:
                with safe_open(path, "pt"):
                    pass
            except (SafetensorError, OSError):
                return f"{source}: {path.name} is damaged ({said}); {again}"
    name = files[0].name if len(files) == 1 else "a weight file"
    return f"{source}: {name} is damaged ({said}); {again}"


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
            json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError, OSError) as error:
            return f"{name} is not valid JSON ({one_line(error)}); copy it again"
    return None


def config_reason(config: dict[str, Any], error: BaseException) -> str | None:
    """Say which file, and where it can be told which keys, a model's code cannot make a model of.

    Args:
        config: the content of config.json.
        error: what was raised while the model was made.

    Returns:
        The file, its keys and what to do; None if nothing says that a config is to blame.
    """
    said = f"{type(error).__name__}: {one_line(error)}"
    frames = list(_frames(error))
    if any(_READS_GENERATION.search(file) for file, _ in frames):
        return f"generation_config.json cannot be used ({said}); compare it with the base model's, or copy it again"
    if not any(_MAKES_A_MODEL.search(file) or name in _READS_DTYPE for file, name in frames):
        return None
    keys = _keys_at_fault(config, error)
    if not keys:
        return f"no model can be made of config.json ({said}); {_AGAIN}"
    which = ", ".join(f"{key}: {json.dumps(value)[:60]}" for key, value in keys)
    return f"no model can be made of config.json with {which} ({said}); {_AGAIN}"


@contextmanager
def running_first(source: str, config: dict[str, Any]) -> Iterator[None]:
    """Turn what a model raises on a first, ordinary image and question into one line.

    Args:
        source: the checkpoint.
        config: the content of its config.json.

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
        said = f"{type(error).__name__}: {one_line(error)}"
        wrong = _wrong_sections(config)
        token = config.get("image_token_id", config.get("image_token_index"))
        if wrong is None and "image tokens" in str(error) and token is not None:
            wrong = f"image_token_id: {token}, which the prompt may not hold"
        if wrong:
            raise ModelFault(f"{source}: config.json has {wrong} ({said}); {_AGAIN}") from error
        raise ModelFault(
            f"{source}: its model cannot take an image and a question as config.json and preprocessor_config.json say "
            f"({said}); compare these two files with the base model's, or copy them again"
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
            f"{source}: generation_config.json {which} ({type(error).__name__}: {one_line(error)}); compare it with "
            "the base model's, or copy it again"
        ) from error


def _is_token(value: Any) -> bool:
    return value is None or all(_is_count(each) for each in (value if isinstance(value, list) else [value]))


def _wrong_sections(config: dict[str, Any]) -> str | None:
    """Say that the parts of a rotary embedding (M-RoPE) do not make up a head; None if they do."""
    for part in (config.get("text_config"), config):
        if not isinstance(part, dict):
            continue
        rope = part.get("rope_parameters") or part.get("rope_scaling")
        sections = rope.get("mrope_section") if isinstance(rope, dict) else None
        heads, hidden = part.get("num_attention_heads"), part.get("hidden_size")
        if isinstance(sections, list) and _is_count(heads) and _is_count(hidden) and heads:
            size = part.get("head_dim") or hidden // heads
            if 2 * sum(sections) != size:
                return (
                    f"mrope_section: {sections}, which adds up to {sum(sections)}, not to {size // 2}, half the size "
                    "of a head"
                )
    return None


def _keys_at_fault(config: dict[str, Any], error: BaseException) -> list[tuple[str, Any]]:
    """Return the keys that hold what an error is about."""
    text = str(error)
    values = [(key, value) for key, value in all_values(config) if not isinstance(value, (dict, list))]
    words = set(re.findall(r"['\"`]([^'\"`]+)['\"`]", text))
    named = [(key, value) for key, value in values if isinstance(value, str) and value in words]
    if named:
        return _distinct(named)
    if isinstance(error, ZeroDivisionError):
        return _distinct([(key, value) for key, value in values if _is_count(value) and value == 0])
    if "padding_idx" in text.lower():
        return _distinct([(key, value) for key, value in values if key in ("pad_token_id", "vocab_size")])
    found: list[tuple[str, Any]] = []
    for number in dict.fromkeys(map(int, re.findall(r"(?<![\w.])-?\d+(?![\w.]*\w)", text))):
        held = _distinct([(key, value) for key, value in values if _is_count(value) and value == number])
        found += held if len(held) <= _FEW else []
    return _distinct(found)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _distinct(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return list({(key, str(value)): (key, value) for key, value in pairs}.values())


def _frames(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yield the file and the function of each call that an error came through."""
    step = error.__traceback__
    while step is not None:
        yield step.tb_frame.f_code.co_filename, step.tb_frame.f_code.co_name
        step = step.tb_next
