"""A home with states made by hand: each scale is a world in which it is known what its axis is of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from vlmprobe.pairs import SPACE, YES_NO, Side, get_template
from vlmprobe.store.axes import store_axes
from vlmprobe.store.identity import utc_now
from vlmprobe.store.predictions import commit_shard
from vlmprobe.store.rows import insert_rows
from vlmprobe.store.schema import DatasetRow, RunRow, SwapPairRow
from vlmprobe.store.shards import Answer, ShardContent, write_shard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from vlmprobe.store.engine import Database
    from vlmprobe.workspace import Workspace

__all__ = ["PAIRS", "World", "add_datasets", "add_run", "add_world"]

PAIRS, DIM = 100, 16
#: Layer 0 holds noise alone.
LAYERS = (0, 1)
AXIS, *_OTHERS = SPACE
#: Directions of the scene, the answer's word, the published answer, what names tell, and another relation.
_SCENE, _WORD, _PUBLISHED, _NAMES, _OTHER = np.eye(DIM)[:5]
_NOISE = 1.0


@dataclass(frozen=True)
class World:
    """How much of the state each cause is; a swap of names turns each of them."""

    scene: float = 0.0
    word: float = 0.0
    names: float = 0.0
    turned: float = 0.0
    """Of what an exchange does by the relation that Null 1 asks about, canonical in two pairs of four."""
    untrained: float = 0.0
    """Of what an exchange does to random weights."""


def add_datasets(database: Database, folder: str = "bench.tsv") -> None:
    """Add a dataset of one axis and the same with exchanged pictures, under the published and both yes/no templates."""
    with database.transaction() as connection:
        for dataset_id, exchanged in (("own", False), ("exchanged", True)):
            row = {
                "dataset_id": dataset_id,
                "name": dataset_id,
                "path": folder.replace("bench", dataset_id),
                "form": "embspatial",
                "options": {"max_per_category": 200},
                "n_rows": PAIRS,
                "created_at": utc_now(),
            }
            insert_rows(connection, DatasetRow, [row])
            store_axes(connection, dataset_id, SPACE)
            for template in ("published", *YES_NO):
                insert_rows(connection, SwapPairRow, list(_pairs(dataset_id, template, exchanged=exchanged)))


def _pairs(dataset_id: str, template: str, *, exchanged: bool) -> Any:
    for place in range(PAIRS):
        category = AXIS.categories[(place % 2) ^ exchanged]
        orig, swap = get_template(template).ask(category, f"cup {place}", f"box {place}")
        yield {
            "dataset_id": dataset_id,
            "template": template,
            "pair_id": str(place),
            "origin": "row",
            "position": place,
            "category": str(category),
            "axis": str(AXIS),
            "subject": f"cup {place}",
            "reference": f"box {place}",
            "orig_question": orig.text,
            "swap_question": swap.text,
            "orig_expected": str(orig.expected),
            "orig_opposite": str(orig.opposite),
            "swap_expected": str(swap.expected),
            "swap_opposite": str(swap.opposite),
            "image_sha256": f"{dataset_id} {place}",
        }


def add_run(
    workspace: Workspace,
    scale: str,
    world: World,
    *,
    template: str = "published",
    dataset: str = "own",
    control: str | None = None,
    serves: str | None = None,
    run_id: str | None = None,
    pairs: int = PAIRS,
) -> str:
    """Add a complete run with the states that its world gives; return its id."""
    with workspace.database.transaction() as connection:
        return _add_run(
            connection,
            workspace.settings.home,
            scale,
            world,
            template=template,
            dataset=dataset,
            control=control,
            serves=serves,
            run_id=run_id,
            pairs=pairs,
        )


def _add_run(
    connection: Connection,
    home: Path,
    scale: str,
    world: World,
    *,
    template: str = "published",
    dataset: str = "own",
    control: str | None = None,
    serves: str | None = None,
    run_id: str | None = None,
    pairs: int = PAIRS,
) -> str:
    name = run_id or f"{scale} {template} {dataset} {control or 'real'}"
    identity = {"fingerprint": "made up", "dtype": "float32", "template": template, "dataset_id": dataset}
    row = {
        "run_id": name.replace(" ", "-").replace(":", "-"),
        "run_key": name,
        "dataset_id": dataset,
        "template": template,
        "family": "tiny",
        "scale": scale,
        "checkpoint": "somewhere",
        "fingerprint": f"weights of {scale}",
        "samples_seen": 1000,
        "control": control,
        "serves": serves,
        "dtype": "float32",
        "device": "cpu",
        "n_layers": len(LAYERS),
        "dim": DIM,
        "config": {"identity": identity},
        "status": "complete",
        "provenance": "extracted",
        "created_at": utc_now(),
        "updated_at": utc_now(),
    }
    content = ShardContent(
        run_id=row["run_id"],
        number=1,
        pair_ids=tuple(map(str, range(pairs))),
        states=_states(world, template, control, exchanged=dataset != "own", seed=crc32(name.encode()))[
            :, :pairs
        ],
        dtype="float32",
        layers=LAYERS,
        answers=tuple(
            Answer(str(place), str(side), "left", None, True, "published", None, True, 0.5)
            for place in range(pairs)
            for side in Side
        ),
    )
    shard = write_shard(home / "spool" / row["run_id"], content)
    insert_rows(connection, RunRow, [row])
    commit_shard(connection, shard)
    return str(row["run_id"])


def add_world(workspace: Workspace, scale: str, world: World, parts: Sequence[str]) -> dict[str, str]:
    """Add a scale's real run and some of its other runs; return their ids.

    Args:
        workspace: the home.
        scale: its name.
        world: what its states are made of.
        parts: which of ``blind``, ``answers``, ``exchanged``, ``null 1``, ``null 3`` and ``half of null 3``.
    """
    # One transaction for all: each opens the database, which takes longer than to write a run.
    with workspace.database.transaction() as connection:
        add = partial(_add_run, connection, workspace.settings.home, scale, world)
        found = {"real": add()}
        if "blind" in parts:
            for kind in ("grey", "other-image:0", "random-weights:0"):
                found[kind] = add(control=kind, serves=found["real"])
        for part, dataset in (("answers", "own"), ("exchanged", "exchanged")):
            for template in YES_NO if part in parts else ():
                found[f"{template} {dataset}"] = add(template=template, dataset=dataset)
        for part, kind, datasets in (
            ("null 1", "other-axis", ("own", "exchanged")),
            ("null 3", "random-weights:0", ("own", "exchanged")),
            ("half of null 3", "random-weights:0", ("own",)),
        ):
            for dataset in datasets if part in parts else ():
                for template in YES_NO:
                    serves = found[f"{template} {dataset}"]
                    name = f"{template} {dataset} {'null' if part == 'null 1' else kind}"
                    found[name] = add(template=template, dataset=dataset, control=kind, serves=serves)
    return found


def _states(world: World, template: str, control: str | None, *, exchanged: bool, seed: int) -> Any:
    """Return (layers, N, 2, D): what the first-named object is to the second, its answer, its names, and noise."""
    rng = np.random.default_rng(seed)
    told = np.where(np.arange(PAIRS) % 2 == 0, 1.0, -1.0)[:, None] * [1.0, -1.0]
    seen = -told if exchanged else told
    if control is not None:
        seen = np.zeros_like(told)
    untrained = np.zeros_like(told)
    if control is not None and control.startswith("random-weights"):
        untrained = -told if exchanged else told
    other = np.where(np.arange(PAIRS) // 2 % 2 == 0, 1.0, -1.0)[:, None] * [1.0, -1.0]
    answer = seen * (-1 if template == YES_NO[1] else 1)
    word = _PUBLISHED if template == "published" else _WORD
    causes = (
        (world.scene, seen, _SCENE),
        (world.word, answer, word),
        (world.names, told if control != "other-axis" else np.zeros_like(told), _NAMES),
        (world.untrained, untrained, _SCENE),
        (world.turned, other if control == "other-axis" and exchanged else np.zeros_like(told), _OTHER),
    )
    signal = sum(size * sign[..., None] * direction for size, sign, direction in causes)
    noise = _NOISE * rng.normal(size=(len(LAYERS), PAIRS, 2, DIM))
    return (noise + np.stack([np.zeros_like(signal), signal])).astype(np.float32)
