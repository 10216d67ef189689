"""Finds the keys of a checkpoint's configs that an error is about; asked only after a model's code has raised."""

from __future__ import annotations

import json
import linecache
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from vlmprobe.families.worker.faults import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Configs", "all_values", "blamed", "calls_of", "is_count", "lines_of", "said_by"]

#: The settings that a model was made of, by the name of their file in the checkpoint.
Configs: TypeAlias = "Mapping[str, Mapping[str, Any]]"
#: A value that more keys hold than this says nothing about which of them is meant.
_FEW = 3
#: Numbers below this are in every error and in every config.
_TELLING = 3
#: Keys that hold a number, by their names; those of the second kind hold one above zero.
_NUMBER = re.compile(
    r"^(n|num|max|min)_|^(d_model|clip_qkv|resample|vit_layers)$|_(id|index|idx|layer|eps)$|^rescale_factor$"
)
_POSITIVE = re.compile(
    r"(^|_)(size|heads|(?<!vit_)layers|dim|height|width|edge|theta|eps|embeddings|patch|crops|tiles|pooling_[wh]"
    r"|length_[wh])$"
)
#: Keys that no model does without.
_NEEDED = re.compile(
    r"^(vocab_size|hidden_size|intermediate_size|d_model|n_layers|n_heads|num_hidden_layers|num_attention_heads)$"
)
#: What Molmo's own code calls a key of its config.json.
_ALSO_CALLED = {
    "d_model": "hidden_size",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "n_layers": "num_hidden_layers",
    "mlp_hidden_size": "intermediate_size",
    "max_sequence_length": "max_position_embeddings",
}
_INNERMOST = 3
#: Characters of a message.
_MOST = 200


class _Value(NamedTuple):
    file: str
    key: str
    value: Any


def said_by(error: BaseException) -> str:
    """Return an error's type and message on one line; of a bare ``assert``, the line of code that it is."""
    name, said = type(error).__name__, one_line(error, most=None)
    if said == name:
        said = (lines_of(error) or [""])[-1]
    # The end of what transformers says of a file that is not in a folder.
    said = re.sub(r" Checkout '\S+' for available files\.?", "", said)[:_MOST]
    return f"{name}: {said}" if said else name


def blamed(configs: Configs, error: BaseException, *, by_number: bool = True) -> tuple[str, str] | None:
    """Return the files, and the keys with their values, that an error is about.

    Args:
        configs: what the model was made of.
        error: what was raised.
        by_number: whether a number in the message may be that of a key, as when a model is made.

    Returns:
        ``config.json`` and ``num_heads: 0``, for example; None if nothing tells.
    """
    values = [
        _Value(file, key, value)
        for file, config in configs.items()
        for key, value in all_values(dict(config))
        if not isinstance(value, dict)
    ]
    found = _at_fault(values, error, by_number=by_number)
    if not found:
        return None
    files = " and ".join(dict.fromkeys(each.file for each in found))
    keys = dict.fromkeys(f"{each.key}: {json.dumps(each.value)[:60]}" for each in found)
    return files, ", ".join(keys)


def calls_of(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yield the file and the function of each call that an error came through."""
    step = error.__traceback__
    while step is not None:
        yield step.tb_frame.f_code.co_filename, step.tb_frame.f_code.co_name
        step = step.tb_next


def all_values(config: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of a config and its parts."""
    for key, value in config.items():
        # A loaded config has numbers for keys where it maps classes to their names.
        yield str(key), value
        if isinstance(value, dict):
            yield from all_values(value)


def is_count(value: Any) -> bool:
    """Return whether a value is a whole number; a boolean is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _at_fault(values: list[_Value], error: BaseException, *, by_number: bool) -> list[_Value]:
    """Return the values that an error is about: by what it quotes, counts or names, or by what they are."""
    text = str(error)
    words = {*re.findall(r"['\"`]([^'\"`]+)['\"`]", text), text.strip(), text.rpartition(": ")[2].strip()}
    quoted = [each for each in values if isinstance(each.value, str) and each.value in words]
    if quoted:
        return quoted
    if isinstance(error, ZeroDivisionError):
        zeros = [each for each in values if any(is_count(part) and part == 0 for part in _parts(each.value))]
        return [each for each in zeros if _POSITIVE.search(each.key)] or zeros
    if "padding_idx" in text.lower():
        return [each for each in values if each.key in ("pad_token_id", "vocab_size")]
    numbers = dict.fromkeys(map(int, re.findall(r"(?<![\w.])-?\d+(?![\w.]*\w)", text))) if by_number else {}
    held = [
        [each for each in values if is_count(each.value) and each.value == number >= _TELLING]
        for number in numbers
    ]
    # A number that only one key holds says more than one that several do.
    telling = [found for found in held if len({each.key for each in found}) == 1]
    few = [found for found in held if len({each.key for each in found}) <= _FEW]
    counted = [each for found in telling or few for each in found]
    return counted or _named(values, text) or _odd(values, text) or _read(values, lines_of(error))


def _named(values: list[_Value], text: str) -> list[_Value]:
    """Return the values whose keys a message names, as ``hidden_size`` or as "hidden size"."""
    words = {*re.findall(r"\w+_\w+", text), *map("_".join, re.findall(r"(?=\b([a-z]+) ([a-z]+)\b)", text))}
    return [each for each in values if each.key in words]


def _read(values: list[_Value], lines: list[str]) -> list[_Value]:
    """Return the values that lines of code read: ``config.n_heads``, or ``self.select_layer`` as a module keeps it."""
    words = {word for line in lines for word in re.findall(r"config\.(\w+)", line)}
    words |= {_ALSO_CALLED[word] for word in words & set(_ALSO_CALLED)}
    kept = {word for line in lines for word in re.findall(r"self\.(\w+_\w+)", line)}
    return [
        each for each in values if each.key in words or any(each.key.endswith(f"_{word}") for word in kept)
    ]


def _odd(values: list[_Value], text: str) -> list[_Value]:
    """Return the values that are no number, or none above zero, where the key's name says that one belongs."""
    without = "None" in text
    return [
        each
        for each in values
        if any(
            (isinstance(part, str) and (_NUMBER.search(each.key) or _POSITIVE.search(each.key)))
            or (part is None and without and _NEEDED.search(each.key))
            or (isinstance(part, (int, float)) and part <= 0 and _POSITIVE.search(each.key))
            for part in _parts(each.value)
            if not isinstance(part, bool)
        )
    ]


def _parts(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def lines_of(error: BaseException) -> list[str]:
    """Return the innermost lines of code that an error came through."""
    lines: list[str] = []
    step = error.__traceback__
    while step is not None:
        lines.append(linecache.getline(step.tb_frame.f_code.co_filename, step.tb_lineno).strip())
        step = step.tb_next
    return lines[-_INNERMOST:]
