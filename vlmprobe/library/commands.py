"""``extract``, ``analyze`` and ``merge`` from Python: the commands of the same names, with keyword arguments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.library.run import names, selection_of
from vlmprobe.library.workspace import Workspace
from vlmprobe.pairs import PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike

    from vlmprobe.library.run import Run

__all__ = ["Report", "analyze", "extract", "merge"]


def extract(
    workspace: Workspace | str | PathLike[str],
    family: str,
    scale: str,
    *,
    data: str | PathLike[str],
    checkpoint: str | PathLike[str] | None = None,
    processor: str | PathLike[str] | None = None,
    revision: str | None = None,
    new_checkpoint: bool = False,
    template: str = PUBLISHED.name,
    control: str | None = None,
    boxes: str | PathLike[str] | None = None,
    max_per_category: int = 200,
    allow_contradictions: bool = False,
    allow_problems: bool = False,
    layers: Iterable[int] | None = None,
    dtype: str = "auto",
    device: str = "auto",
    devices: Iterable[str | int] = (),
    compile: bool = True,  # noqa: A002 - named as the option
    batch_size: int | None = None,
    new: bool = False,
    part: str | None = None,
    wait: bool = False,
    rehash: bool = False,
    trust_remote_code: bool = False,
    unembedding: bool = False,
) -> Run:
    """Run a checkpoint on every pair of a benchmark; store answers and hidden states as it goes.

    A run that was stopped goes on where it was. The arguments are the options of ``vlmprobe extract``.

    Args:
        workspace: the workspace, or the folder of one.
        family: the code that runs an architecture.
        scale: the checkpoint of the family.
        data: the benchmark: TSV, CSV, JSONL, JSON or parquet.
        checkpoint: a folder or hub id, instead of the scale's own.
        processor: where tokenizer and image processor are, if not with the checkpoint.
        revision: commit, branch or tag of a hub id.
        new_checkpoint: whether to go on although the scale's earlier runs are of another checkpoint.
        template: how the questions are worded.
        control: ``grey``, ``other-image[:SEED]``, ``random-weights[:SEED]`` or ``other-axis``: a control of the run,
            which must be complete; None = the run itself.
        boxes: object boxes: a JSON or parquet file, or a hub dataset id.
        max_per_category: sample at most so many pairs of each category; 0 = all.
        allow_contradictions: also ask about rows whose labels contradict each other.
        allow_problems: go on when more than half of the rows give no pair.
        layers: decoder layers to keep, counted from 0; None = all.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        devices: GPUs that share the work; none = all.
        compile: whether to compile layers on a GPU.
        batch_size: pairs per batch; None = automatic.
        new: start a new run even if an identical one exists.
        part: ``I/N``: extract this part of the run, while other processes extract the others; None = all of it.
        wait: whether to wait while another process extracts the run.
        rehash: hash the checkpoint anew, whatever earlier processes remember of its files.
        trust_remote_code: whether Python files that come with the checkpoint may run.
        unembedding: load a complete run's model too, to store its output layer; no pair is asked.

    Returns:
        The run; ``n_failed`` counts pairs that have no answer. With ``part``, its status says whether all is done.

    Raises:
        UsageError: an argument, the family or the scale is wrong.
        InputError: the benchmark or the checkpoint is.
        LeaseHeldError: another process is working on this run.
        VlmprobeError: not one pair could be answered.
        KeyboardInterrupt: it was stopped; finished work is kept, and the same call resumes.
    """
    from vlmprobe.extraction.control import Control
    from vlmprobe.families import ModelOptions
    from vlmprobe.store.parts import Part
    from vlmprobe.workflows.extract import ExtractOptions, ExtractRequest
    from vlmprobe.workflows.extract import extract as run_extraction

    workspace = _opened(workspace)
    options = ExtractOptions(
        data=Path(data),
        templates=(template,),
        boxes=_text(boxes),
        max_per_category=max_per_category,
        allow_contradictions=allow_contradictions,
        allow_problems=allow_problems,
        batch_size=batch_size,
        new=new,
        part=None if part is None else Part.parse(part),
        wait=wait,
        rehash=rehash,
        unembedding=unembedding,
        model=ModelOptions(
            layers=None if layers is None else tuple(sorted(set(layers))),
            dtype=dtype,
            device=device,
            devices=tuple(devices.split(",") if isinstance(devices, str) else map(str, devices)),
            compile=compile,
            trust_remote_code=trust_remote_code,
        ),
    )
    request = ExtractRequest(
        family,
        scale,
        options,
        checkpoint=_text(checkpoint),
        processor=_text(processor),
        revision=revision,
        new_checkpoint=new_checkpoint,
        control=None if control is None else Control.parse(control),
    )
    (result,) = run_extraction(workspace, request)
    if result.interrupted:
        raise KeyboardInterrupt
    return workspace.run(result.run.run_id)


def analyze(
    workspace: Workspace | str | PathLike[str],
    family: str | Sequence[str] | None = None,
    scale: str | Sequence[str] | None = None,
    *,
    data: str | PathLike[str] | None = None,
    max_per_category: int = 200,
    template: str | Sequence[str] | None = None,
    strata: str | None = None,
    memory: int | None = None,
    force: bool = False,
) -> list[Run]:
    """Compute every metric of the complete runs that match, store it and log it to MLflow; loads no model.

    Args:
        workspace: the workspace, or the folder of one.
        family: only this family, or these; None = all.
        scale: only this scale, or these; None = all.
        data: only runs on this benchmark: a file, or the name or id of a dataset.
        max_per_category: as the runs were extracted with; part of which dataset a file is.
        template: only under this question template, or these; None = all.
        strata: a column of the benchmark's file; the tests of axes exchange labels among images that agree in it.
        memory: bytes that the layers in work may use together; None = 4 GiB.
        force: also compute what is up to date.

    Returns:
        The runs, whose metrics :meth:`Workspace.metrics` reads.

    Raises:
        UsageError: no complete run matches; the message lists what there is.
        InputError: the benchmark's file has moved or changed, or no such column sorts its images.
    """
    from vlmprobe.workflows.analyze import analyze as run_analysis

    workspace = _opened(workspace)
    selection = selection_of(family, scale, data, max_per_category)
    given = {} if memory is None else {"memory": memory}
    results = run_analysis(
        workspace, selection, templates=names(template), strata=strata, force=force, **given
    )
    return [workspace.run(result.run.run_id) for result in results]


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """A comparison of runs, and where its files are."""

    runs: tuple[Run, ...]
    page: Path
    """``report.html``."""
    summary: Path
    """``summary.csv``."""
    figures: tuple[Path, ...]

    def __repr__(self) -> str:
        listed = ", ".join(run.name for run in self.runs)
        return f"<Report of {listed}: {self.page} with {len(self.figures)} figures>"


def merge(
    workspace: Workspace | str | PathLike[str],
    family: str | Sequence[str],
    scale: str | Sequence[str] | None = None,
    *,
    data: str | PathLike[str] | None = None,
    max_per_category: int = 200,
    template: str = PUBLISHED.name,
    out: str | PathLike[str] | None = None,
) -> Report:
    """Compare the newest analyzed run of every scale on one dataset: a report, a table and figures.

    Args:
        workspace: the workspace, or the folder of one.
        family: the family to compare, or several.
        scale: only this scale, or these; None = all.
        data: only runs on this benchmark: a file, or the name or id of a dataset.
        max_per_category: as the runs were extracted with; part of which dataset a file is.
        template: compare the runs under this question template.
        out: the folder for the files; None = one in ``reports`` of the home.

    Raises:
        UsageError: no run matches, several datasets do, or a scale has no metrics yet.
    """
    from vlmprobe.workflows.merge import merge as run_comparison

    workspace = _opened(workspace)
    selection = selection_of(family, scale, data, max_per_category)
    result = run_comparison(workspace, selection, template=template, out=None if out is None else Path(out))
    runs = tuple(workspace.run(run.run_id) for run in result.runs)
    return Report(runs, result.report, result.summary, result.figures)


def _opened(workspace: Workspace | str | PathLike[str]) -> Workspace:
    return workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)


def _text(place: str | PathLike[str] | None) -> str | None:
    return None if place is None else str(place)
