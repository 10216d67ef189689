"""Extraction: a checkpoint is asked every pair of a dataset; answers and hidden states are kept as it goes."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import UsageError, VlmprobeError
from vlmprobe.families import LoadOptions, fingerprint, is_local, load_catalog, load_family_class
from vlmprobe.pairs import read_dataset
from vlmprobe.store.committer import Committer, Delivery, adopt_orphans
from vlmprobe.store.engine import Database
from vlmprobe.store.identity import run_key
from vlmprobe.store.lease import hold_lease
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.store.predictions import next_shard_number
from vlmprobe.store.runs import (
    Run,
    RunPlan,
    finished_pairs,
    get_run,
    open_run,
    register_dataset,
    set_status,
)
from vlmprobe.store.tracking import Tracker
from vlmprobe.workflows.batches import plan_batches
from vlmprobe.workflows.deliver import deliver_run
from vlmprobe.workflows.extraction_loop import Extraction

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.families import ScaleSpec
    from vlmprobe.pairs import Dataset
    from vlmprobe.settings import Settings
    from vlmprobe.workflows.console import Console

__all__ = ["ExtractRequest", "ExtractResult", "extract"]

#: Raised when extraction would give other numbers for the same model and dataset.
ENGINE_VERSION = 1
#: Pairs a batch where nothing else is said (measured in benchmarks/).
DEFAULT_BATCH_SIZE = {"cpu": 16, "cuda": 32}


@dataclass(frozen=True, slots=True)
class ExtractRequest:
    """What to extract, as the command line says it."""

    family: str
    scale: str
    data: Path
    checkpoint: str | None = None
    processor: str | None = None
    revision: str | None = None
    max_per_category: int = 200
    layers: tuple[int, ...] | None = None
    dtype: str = "auto"
    device: str = "auto"
    batch_size: int | None = None
    new: bool = False


@dataclass(frozen=True, slots=True)
class ExtractResult:
    """What an extraction did, and where it is."""

    run: Run
    n_pairs: int
    reused: int
    asked: int
    failed: int
    problems: int
    seconds: float
    delivery: Delivery
    interrupted: bool
    spool: Path
    notes: tuple[str, ...] = ()


def extract(settings: Settings, request: ExtractRequest, console: Console) -> ExtractResult:
    """Ask one checkpoint every pair, resuming the run with the same key if there is one.

    Raises:
        UsageError: an option, the family or the scale is wrong.
        InputError: the dataset or the checkpoint is.
        LeaseHeldError: another process is at work on this run.
    """
    if request.batch_size is not None and request.batch_size < 1:
        raise UsageError(f"--batch-size must be 1 or more, not {request.batch_size}")
    started = time.monotonic()
    spec = _find_scale(request)
    dataset = read_dataset(request.data, max_per_category=request.max_per_category)
    for line in _dataset_lines(dataset):
        console.say(line)
    family = load_family_class(spec.architecture)
    options = family.resolve(
        LoadOptions(
            checkpoint=spec.checkpoint,
            processor=spec.processor,
            revision=spec.revision,
            dtype=request.dtype,
            device=request.device,
            layers=request.layers,
        )
    )
    plan = _plan(request, spec, dataset, options)
    if not is_local(spec.checkpoint):
        # A branch may move between two starts: what is loaded is the commit that the run's key names.
        options = replace(options, revision=plan.fingerprint)
    database = Database(settings.database_path, tell=console.warn)
    tracker = Tracker(settings)
    ensure_schema(database)
    with database.transaction() as connection:
        register_dataset(connection, dataset)
        run, resumed = open_run(connection, plan, new=request.new)
    with ExitStack() as stack:
        stack.enter_context(hold_lease(settings.database_path, run.run_key))
        spool = settings.spool / run.run_id
        adopted = adopt_orphans(database, spool, run.run_id)
        with database.transaction() as connection:
            run = get_run(connection, run.run_id)
            done = finished_pairs(connection, run.run_id)
            first = next_shard_number(connection, run.run_id)
        if resumed:
            console.say(_resume_line(run, len(done), len(dataset.pairs), adopted))
        todo = len(dataset.pairs) - len(done)
        if todo == 0 and run.status == "complete":
            delivery = deliver_run(settings, database, tracker, run, console)
            return ExtractResult(
                run, len(dataset.pairs), len(done), 0, 0, len(dataset.problems), 0.0, delivery, False, spool
            )
        batch_size = _batch_size(request, run, options, console)
        batches = plan_batches(dataset.pairs, batch_size)
        with database.transaction() as connection:
            config = {**run.config, "batch_size": batch_size, "n_batches": len(batches)}
            set_status(connection, run.run_id, "running", config=config)
        try:
            console.say(f"loading {spec.checkpoint} ({options.dtype} on {options.device})")
            model = family.load(options)
        except BaseException:
            _close(database, run, "failed")
            raise
        with database.transaction() as connection:
            info = model.info
            versions = info.manifest.get("versions", {})
            config |= {"manifest": info.manifest, "layers": list(info.layers)}
            set_status(
                connection,
                run.run_id,
                "running",
                config=config,
                versions=versions,
                n_layers=info.n_layers,
                dim=info.dim,
                dtype=info.dtype,
            )
        committer = Committer(database, tracker, run.run_id)
        extraction = Extraction(settings, dataset, batches, model, committer, console, run, spool, first)
        interrupted = False
        try:
            extraction.go(done)
        except KeyboardInterrupt:
            interrupted = True
            console.warn("stopping: writing what is done (Ctrl-C again to leave it to the next start)")
            extraction.flush()
        except BaseException:
            _abandon(extraction, committer)
            _close(database, run, "failed")
            raise
        delivery = _close_committer(committer, console)
        with database.transaction() as connection:
            answered = len(finished_pairs(connection, run.run_id))
        status = _status(interrupted, answered)
        _close(database, run, status)
        with database.transaction() as connection:
            run = get_run(connection, run.run_id)
        if status == "complete":
            delivery = deliver_run(settings, database, tracker, run, console)
    if status == "failed":
        first_failure = extraction.first_failure
        raise VlmprobeError(
            f"no pair could be answered; the first said: {first_failure}; see table failures of run {run.run_id}"
        )
    return ExtractResult(
        run=run,
        n_pairs=len(dataset.pairs),
        reused=len(done),
        asked=extraction.asked,
        failed=extraction.failed,
        problems=len(dataset.problems),
        seconds=time.monotonic() - started,
        delivery=delivery,
        interrupted=interrupted,
        spool=spool,
        notes=tuple(extraction.notes),
    )


def _find_scale(request: ExtractRequest) -> ScaleSpec:
    spec = load_catalog().scale(request.family, request.scale, request.checkpoint, request.processor)
    return spec if request.revision is None else replace(spec, revision=request.revision)


def _plan(request: ExtractRequest, spec: ScaleSpec, dataset: Dataset, options: LoadOptions) -> RunPlan:
    mark = fingerprint(spec.checkpoint, spec.revision)
    processor = None if spec.processor is None else fingerprint(spec.processor, None)
    identity: dict[str, Any] = {
        "engine": ENGINE_VERSION,
        "family": spec.family,
        "architecture": spec.architecture,
        "scale": spec.scale,
        "fingerprint": mark,
        "processor": processor,
        "dataset_id": dataset.dataset_id,
        "template": dataset.template,
        "layers": "all" if request.layers is None else sorted(set(request.layers)),
        "dtype": options.dtype,
        # The last bits differ between kinds of device, and a resumed run must not mix them.
        "device": options.device.split(":")[0],
    }
    return RunPlan(
        run_key=run_key(identity),
        dataset_id=dataset.dataset_id,
        template=dataset.template,
        family=spec.family,
        scale=spec.scale,
        checkpoint=spec.checkpoint,
        fingerprint=mark,
        samples_seen=spec.samples_seen,
        global_steps=spec.global_steps,
        dtype=options.dtype,
        device=options.device,
        config={"identity": identity, "processor": spec.processor, "revision": spec.revision},
    )


def _batch_size(request: ExtractRequest, run: Run, options: LoadOptions, console: Console) -> int:
    """Return the size of the plan: a run keeps the one it began with, since its batches are redone whole."""
    begun = run.config.get("batch_size")
    if begun is not None:
        if request.batch_size not in (None, begun):
            console.warn(f"this run began with --batch-size {begun} and keeps it; --new starts another")
        return int(begun)
    return request.batch_size or DEFAULT_BATCH_SIZE.get(
        options.device.split(":")[0], DEFAULT_BATCH_SIZE["cuda"]
    )


def _dataset_lines(dataset: Dataset) -> list[str]:
    lines = [f"{dataset.name}: {len(dataset.pairs)} pairs from {dataset.n_rows} rows ({dataset.form} form)"]
    if dataset.problems:
        first = dataset.problems[0]
        lines.append(
            f"{len(dataset.problems)} rows give no pair (line {first.line}: {first.what}: {first.why}); "
            f"'vlmprobe data check {dataset.path}' lists them"
        )
    return lines


def _resume_line(run: Run, done: int, total: int, adopted: int) -> str:
    if run.status == "complete" and done == total:
        return f"{run.name}: complete already, all {total} pairs reused (run {run.run_id}); --new asks again"
    found = f", {adopted} shards of them found in the spool" if adopted else ""
    return f"{run.name}: resuming run {run.run_id}: {done} of {total} pairs reused{found}"


def _status(interrupted: bool, answered: int) -> str:
    if interrupted:
        return "interrupted"
    return "complete" if answered else "failed"


def _close(database: Database, run: Run, status: str) -> None:
    with database.transaction() as connection:
        set_status(connection, run.run_id, status)


def _close_committer(committer: Committer, console: Console) -> Delivery:
    if committer.pending:
        console.say(f"writing the rows of {committer.pending} shards")
    return committer.close()


def _abandon(extraction: Extraction, committer: Committer) -> None:
    """Keep what is done although the run broke; the error that broke it is the one to show."""
    try:
        extraction.flush()
        committer.close()
    except Exception:  # noqa: BLE001, S110 - the spool has it, and the next start takes it from there
        pass
