"""The configuration of a training, read from TOML; missing values come from the bundled recipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.demo.scenes import SceneOptions
from vlmprobe.demo.taught import TAUGHT
from vlmprobe.errors import InputError, UsageError
from vlmprobe.safe_names import safe_name
from vlmprobe.toml_file import read_toml, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["RECIPE", "Evaluation", "ModelSize", "Optimiser", "Phase", "TrainingConfig", "read_config"]

#: The recipe of the bundled checkpoints.
RECIPE = Path(__file__).with_name("recipe.toml")

#: Maximum of every number in a file; more is a mistake and could exhaust the memory.
_MOST = 2**40
#: Maximum sizes of a model, which make a GiB or two of weights.
_MOST_LAYERS, _MOST_OF_A_WIDTH = 32, 4096
_HEAD_DIM = 32
_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Sizes of the Qwen2.5-VL in miniature; heads have 32 dimensions."""

    text_hidden: int = 192
    text_layers: int = 6
    text_mlp: int = 512
    text_heads: int = 6
    text_kv_heads: int = 2
    vision_hidden: int = 128
    vision_layers: int = 4
    vision_mlp: int = 384
    vision_heads: int = 4


@dataclass(frozen=True, slots=True)
class Phase:
    """One training from a starting point: the base model from nothing, or a fine-tuning from the base model."""

    images: int = 16
    """Scenes per step. A base model needs many, or it does not learn to see; a fine-tuning learns more from
    the same number of questions in more, smaller steps."""
    steps: int = 0
    """Of the base model; a fine-tuning's follow from its number of samples."""
    relation_share: float = 0.75
    """Share of the questions that are about a spatial relation; the others are about one object."""
    consistent_share: float = 0.95
    """Share of the scenes in which the main pair's farther object is the higher one: the perspective bias."""
    random_relations: bool = False
    """Whether answers to relation questions are random; the base model then learns only the words."""
    learning_rate: float = 3e-4
    """At the end of the warm-up; then a cosine down to 5 % of it."""
    warm_up: int = 100
    """Steps; a phase of fewer than five times as many steps warms up for a fifth of them."""


@dataclass(frozen=True, slots=True)
class Optimiser:
    """Settings of every step in every phase: AdamW with betas 0.9 and 0.98, gradients clipped at norm 1."""

    questions: int = 4
    """Questions about each scene."""
    weight_decay: float = 0.05
    """Of matrices; vectors are not decayed."""
    end_weight: float = 0.1
    """Weight of the loss at the token that ends the answer, relative to that of the answer."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The held-out scenes on which each checkpoint is evaluated."""

    scenes: int = 600
    """Per perspective; each gets questions on every axis, in every template, in both orders."""
    seed: int = 1_000_003


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Everything that a training depends on, except for the machine it runs on."""

    seed: int = 0
    scales: Mapping[str, int] = field(default_factory=dict)
    """Name of each fine-tuning -> relation questions seen; each starts from the base model."""
    templates: Mapping[str, float] = field(default_factory=lambda: {"published": 1.0})
    """Question template -> its share of the relation questions."""
    scenes: SceneOptions = field(default_factory=SceneOptions)
    model: ModelSize = field(default_factory=ModelSize)
    optimiser: Optimiser = field(default_factory=Optimiser)
    vanilla: Phase = field(default_factory=Phase)
    fine_tuning: Phase = field(default_factory=Phase)
    evaluation: Evaluation = field(default_factory=Evaluation)

    def questions_per_step(self, phase: Phase) -> int:
        """Return how many questions a step of a phase answers."""
        return phase.images * self.optimiser.questions

    def steps_for(self, samples: int) -> int:
        """Return the steps in which a fine-tuning sees about so many relation questions."""
        relations = self.questions_per_step(self.fine_tuning) * self.fine_tuning.relation_share
        return max(1, round(samples / relations))

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as plain data, for records."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """A hash of the whole configuration; a state file of another configuration is not resumed."""
        import json

        return sha256(json.dumps(self.as_dict(), sort_keys=True, default=str).encode()).hexdigest()[:16]


def read_config(path: Path | None = None, *, seed: int | None = None) -> TrainingConfig:
    """Read a training's configuration.

    Args:
        path: a TOML file with the tables of ``recipe.toml``; what it leaves out is as there. None: the recipe itself.
        seed: instead of the file's.

    Raises:
        InputError: no such file, no TOML, an unknown key, or a value that makes no sense.
    """
    config: TrainingConfig = _fill(TrainingConfig(), read_toml(RECIPE), RECIPE)
    if path is not None:
        config = _fill(config, read_toml(path), path)
    if seed is not None:
        config = replace(config, seed=seed)
    _check(config, path or RECIPE)
    return config


def _fill(defaults: Any, table: Mapping[str, Any], path: Path, where: str = "") -> Any:
    """Return the defaults with a table's values in place of theirs; the type of a default is that of its value."""
    known = {each.name for each in fields(defaults)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{where}{key}"
        if key not in known:
            raise InputError(f"{path}: unknown key {shown(name)}; known keys: {', '.join(sorted(known))}")
        default = getattr(defaults, key)
        if is_dataclass(default):
            if not isinstance(value, dict):
                raise InputError(f"{path}: {name} has to be a table")
            values[key] = _fill(default, value, path, f"{name}.")
        else:
            values[key] = _typed(default, value, path, name)
    try:
        return replace(defaults, **values)
    except UsageError as error:
        raise InputError(f"{path}: {error}") from error


def _typed(default: object, value: object, path: Path, name: str) -> object:
    if isinstance(default, dict):
        if not isinstance(value, dict):
            raise InputError(f"{path}: {name} has to be a table")
        return {key: _number(each, path, f"{name}.{key}") for key, each in value.items()}
    if type(value) is not bool:
        value = _number(value, path, name)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise InputError(f"{path}: {name} is {shown(value)}; it has to be {_KINDS[type(default)]}")
    return value


def _number(value: object, path: Path, name: str) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not -_MOST <= value <= _MOST:
        raise InputError(f"{path}: {name[:80]} is {shown(value)}; it has to be a number up to {_MOST:.0e}")
    return value


def _check(config: TrainingConfig, path: Path) -> None:
    for problem in _problems(config):
        raise InputError(f"{path}: {problem}")


def _problems(config: TrainingConfig) -> Iterator[str]:
    if config.seed < 0:
        yield f"seed is {config.seed}; it has to be 0 or more"
    yield from _problems_of_scales(config.scales)
    for name, share in config.templates.items():
        if name not in TAUGHT:
            yield f"unknown template {shown(name)}; known: {', '.join(sorted(TAUGHT))}"
        if not 0 < share <= 1:
            yield f"templates.{name} is {share!r}; it has to be above 0 and at most 1"
    yield from _problems_of_phase("vanilla", config.vanilla)
    yield from _problems_of_phase("fine_tuning", config.fine_tuning)
    yield from _too_small("optimiser", config.optimiser, {"weight_decay": 0, "end_weight": 0})
    yield from _problems_of_sizes(config.model)
    yield from _too_small("optimiser", config.optimiser, {"questions": 1})
    yield from _too_small("vanilla", config.vanilla, {"steps": 1})
    yield from _too_small("evaluation", config.evaluation, {"scenes": 2})


def _too_small(table: str, values: object, least: Mapping[str, int]) -> Iterator[str]:
    for key, minimum in least.items():
        if getattr(values, key) < minimum:
            yield f"{table}.{key} is {getattr(values, key)}; it has to be {minimum} or more"


def _problems_of_scales(scales: Mapping[str, int]) -> Iterator[str]:
    for name, samples in scales.items():
        try:
            safe_name(name, "scale")
        except UsageError as error:
            yield str(error)
        if name == "vanilla":
            yield "scale 'vanilla' is the base model, from which the fine-tunings start; use another name"
        if type(samples) is not int or samples < 1:
            yield f"scales.{name} is {samples!r}; it has to be a number of questions, 1 or more"


def _problems_of_phase(name: str, phase: Phase) -> Iterator[str]:
    yield from _too_small(name, phase, {"images": 1, "warm_up": 1})
    for key in ("relation_share", "consistent_share"):
        if not 0 < getattr(phase, key) <= 1:
            yield f"{name}.{key} is {getattr(phase, key)}; it has to be above 0 and at most 1"
    if not 0 < phase.learning_rate < 1:
        yield f"{name}.learning_rate is {phase.learning_rate}; it has to be between 0 and 1"


def _problems_of_sizes(model: ModelSize) -> list[str]:
    problems = []
    for name, size in asdict(model).items():
        most = _MOST_LAYERS if name.endswith("_layers") else _MOST_OF_A_WIDTH
        if not 1 <= size <= most:
            problems.append(f"model.{name} is {size}; it has to be from 1 to {most}")
    for part, hidden, heads in (
        ("text", model.text_hidden, model.text_heads),
        ("vision", model.vision_hidden, model.vision_heads),
    ):
        if hidden != _HEAD_DIM * heads:
            problems.append(
                f"model.{part}_hidden is {hidden}; it has to be {_HEAD_DIM * heads} for {heads} heads of {_HEAD_DIM}"
            )
    if not problems and model.text_heads % model.text_kv_heads:
        problems.append(
            f"model.text_kv_heads is {model.text_kv_heads}; it has to divide the {model.text_heads} text_heads"
        )
    return problems
