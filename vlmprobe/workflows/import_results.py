"""Import: a folder in the old results layout becomes runs, pairs, predictions and arrays like any others."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.families import load_catalog
from vlmprobe.interop import read_results
from vlmprobe.pairs import SPACE, Category, Side
from vlmprobe.store.identity import run_key
from vlmprobe.store.imports import ImportedPair, commit_import, register_imported_dataset
from vlmprobe.store.runs import Run, RunPlan, get_run, open_run, set_status
from vlmprobe.store.shards import Answer, ShardContent, write_shard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.interop import AnsweredPair, ImportedRun
    from vlmprobe.pairs import Origin
    from vlmprobe.settings import Settings
    from vlmprobe.store.shards import ShardFile
    from vlmprobe.workspace import Workspace

__all__ = ["ImportResult", "import_results"]

#: Value of the template column for questions whose text is unknown.
TEMPLATE = "imported"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """One imported scale."""

    run: Run
    n_pairs: int
    n_quads: int
    n_layers: int
    already_there: bool


def import_results(
    workspace: Workspace,
    folder: Path,
    *,
    family: str | None = None,
    scales: Sequence[str] = (),
) -> list[ImportResult]:
    """Read every scale in a folder of the old layout; importing the same again adds nothing.

    Unknown values stay null: checkpoints, and, without the ``pairs_{scale}.json`` of our own exports,
    questions, images and quads' pairs. Answers keep the correctness that was stored with them (checker
    ``stored``).

    Raises:
        InputError: a file is missing, damaged, at odds with another, or needs a pickle.
        UsageError: another scale of the study, imported before, says something else of a pair.
        ReadOnlyError: the home cannot be written.
    """
    workspace.require_writable()
    imported = read_results(folder, family=family, scales=list(scales) or None)
    workspace.create_database()
    return [_import_run(workspace, run) for run in imported]


def _import_run(workspace: Workspace, imported: ImportedRun) -> ImportResult:
    data, database = imported.data, workspace.database
    own = [_imported(pair, position) for position, pair in enumerate(data.pairs)]
    of_quads = [_imported(pair, len(own) + k, "quad") for k, pair in enumerate(_more_pairs(imported))]
    known = data.quads.known if data.quads is not None else None
    links = [(quad.distance.pair_id, quad.vertical.pair_id) for quad in known or ()]
    dataset_id = _dataset_id(own)
    plan = _plan(imported, dataset_id)
    with database.transaction() as connection:
        register_imported_dataset(connection, dataset_id, TEMPLATE, imported.folder, [*own, *of_quads], links)
        run, there = open_run(connection, plan, new=False)
    layers = sorted(data.layers)
    result = ImportResult(run, len(own), data.quads.n if data.quads else 0, len(layers), there)
    if not (there and run.status == "complete"):
        shards = _write_shards(workspace.settings, imported, run.run_id)
        with database.transaction() as connection:
            commit_import(connection, dataset_id, TEMPLATE, shards)
            set_status(
                connection,
                run.run_id,
                "complete",
                n_layers=max(layers) + 1,
                dim=shards[0].dim,
                provenance="imported",
            )
    with database.transaction(write=False) as connection:
        run = get_run(connection, run.run_id)
    workspace.deliver(run)
    return ImportResult(run, result.n_pairs, result.n_quads, result.n_layers, there)


def _imported(pair: AnsweredPair, position: int, origin: Origin = "row") -> ImportedPair:
    return ImportedPair(pair.pair_id, pair.category, position, origin, asdict(pair.facts))


def _more_pairs(imported: ImportedRun) -> list[AnsweredPair]:
    """Return the pairs of the quads that are not among the scale's own."""
    quads = imported.data.quads
    own = {pair.pair_id for pair in imported.data.pairs}
    halves = [half for quad in (quads and quads.known) or () for half in (quad.distance, quad.vertical)]
    return [half for half in halves if half.pair_id not in own]


def _dataset_id(pairs: Sequence[ImportedPair]) -> str:
    """Hash (index, category) of all pairs, so that the scales of a study share their dataset."""
    listed = sorted((pair.pair_id, str(pair.category)) for pair in pairs)
    return hashlib.sha256(json.dumps(["imported", listed]).encode()).hexdigest()


def _plan(imported: ImportedRun, dataset_id: str) -> RunPlan:
    data = imported.data
    samples_seen, global_steps = load_catalog().training_of(data.scale)
    content = _fingerprint(imported)
    identity: dict[str, Any] = {
        "provenance": "imported",
        "family": data.family,
        "scale": data.scale,
        "dataset_id": dataset_id,
        "content": content,
    }
    return RunPlan(
        run_key=run_key(identity),
        dataset_id=dataset_id,
        template=TEMPLATE,
        family=data.family,
        scale=data.scale,
        checkpoint=str(imported.folder),
        fingerprint=content,
        samples_seen=samples_seen,
        global_steps=global_steps,
        dtype="float32",
        device="imported",
        config={"identity": identity, "layers": sorted(data.layers)},
    )


def _fingerprint(imported: ImportedRun) -> str:
    """Hash what was read: pairs, answers, verdicts, states and quads, and the facts about them."""
    digest = hashlib.sha256()
    for pair in imported.data.pairs:
        digest.update(repr(pair).encode())
        if pair.facts:
            digest.update(repr(pair.facts).encode())
    for layer in sorted(imported.data.layers):
        digest.update(np.ascontiguousarray(imported.data.layers[layer]).tobytes())
    if imported.data.quads is not None:
        for quad in imported.data.quads.known or ():
            for half in (quad.distance, quad.vertical):
                digest.update(repr((half, half.facts)).encode())
        for layer in sorted(imported.data.quads.layers):
            for deltas in imported.data.quads.layers[layer]:
                digest.update(np.ascontiguousarray(deltas).tobytes())
    return digest.hexdigest()


def _write_shards(settings: Settings, imported: ImportedRun, run_id: str) -> list[ShardFile]:
    data = imported.data
    folder = settings.spool_of(run_id)
    layers = tuple(sorted(data.layers))
    shards = []
    step = settings.shard_pairs
    for number, start in enumerate(range(0, len(data.pairs), step), start=1):
        pairs = data.pairs[start : start + step]
        content = ShardContent(
            run_id=run_id,
            number=number,
            pair_ids=tuple(pair.pair_id for pair in pairs),
            states=np.stack([data.layers[layer][start : start + step] for layer in layers]),
            dtype="float32",
            layers=layers,
            answers=_answers(pairs),
        )
        shards.append(write_shard(folder, content))
    if data.quads is not None:
        quad_layers = tuple(sorted(data.quads.layers))
        content = ShardContent(
            run_id=run_id,
            number=len(shards) + 1,
            pair_ids=data.quads.ids,
            # (quads, 2, dim) a layer: the vertical delta, then the distance delta.
            states=np.stack([np.stack(data.quads.layers[layer], axis=1) for layer in quad_layers]),
            dtype="float32",
            layers=quad_layers,
            answers=_answers(_more_pairs(imported)),
            kind="deltas",
        )
        shards.append(write_shard(folder, content))
    return shards


def _answers(pairs: Sequence[AnsweredPair]) -> tuple[Answer, ...]:
    return tuple(
        answer
        for pair in pairs
        for answer in (
            _answer(pair.pair_id, Side.ORIG, pair.pred_orig, correct=pair.correct_orig),
            _answer(pair.pair_id, Side.SWAP, pair.pred_swap, correct=pair.correct_swap),
        )
    )


def _answer(pair_id: str, side: Side, text: str | None, *, correct: bool) -> Answer:
    return Answer(
        pair_id=pair_id,
        side=str(side),
        text=text,
        parsed=_parse(text),
        correct=correct,
        checker="stored",
        parsed_words=None,
        correct_words=None,
        margin=None,
    )


def _parse(text: str | None) -> str | None:
    try:
        category: Category | None = SPACE.category(text) if text else None
    except ValueError:
        return None
    return None if category is None else str(category)
