"""Options that say where the scales of a study run, and the units that they become."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from vlmprobe.cli.extraction_options import CheckpointOptions
from vlmprobe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.cli.extraction_options import ExtractionOptions
    from vlmprobe.cluster.engines.base import EngineOptions
    from vlmprobe.workflows.units import Planned

__all__ = ["EngineArguments", "check_found_again", "planned_controls", "planned_units", "selecting"]

_LOCAL = "local"


@dataclass(frozen=True)
class EngineArguments:
    """Where the scales run."""

    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            help="Where scales run: local, slurm (a job array), ray (tasks), print (one command each).",
            metavar="local|slurm|ray|print",
        ),
    ] = _LOCAL
    parts: Annotated[
        int,
        typer.Option(
            "--parts", help="Parts of each scale, which several machines extract at once.", metavar="N"
        ),
    ] = 1
    gpus_per_unit: Annotated[
        int | None,
        typer.Option("--gpus-per-unit", help="GPUs that Slurm or Ray gives to each scale.", metavar="K"),
    ] = None
    sbatch: Annotated[
        str, typer.Option("--sbatch", help="Further options of sbatch, as one text.", metavar="TEXT")
    ] = ""
    address: Annotated[
        str | None,
        typer.Option(
            "--address", help="Of the Ray cluster; default: the one Ray finds.", metavar="HOST:PORT"
        ),
    ] = None
    only_print: Annotated[
        bool, typer.Option("--print", help="Show the scripts that sbatch would get, and submit nothing.")
    ] = False

    @property
    def is_local(self) -> bool:
        """Whether this process does the work.

        Raises:
            UsageError: there are options of another engine.
        """
        of_others = [
            name
            for name, given, engines in (
                ("--parts", self.parts != 1, ("slurm", "ray", "print")),
                ("--gpus-per-unit", self.gpus_per_unit is not None, ("slurm", "ray")),
                ("--sbatch", bool(self.sbatch), ("slurm",)),
                ("--address", self.address is not None, ("ray",)),
                ("--print", self.only_print, ("slurm",)),
            )
            if given and self.engine not in engines
        ]
        if self.parts < 1:
            raise UsageError(f"--parts must be 1 or more, not {self.parts}")
        if of_others:
            raise UsageError(f"{', '.join(of_others)} cannot be used with --engine {self.engine}")
        return self.engine == _LOCAL

    @property
    def options(self) -> EngineOptions:
        """Return the options in the form that engines take.

        Raises:
            UsageError: a text or a number cannot be used.
        """
        from vlmprobe.cluster.engines.base import EngineOptions

        if self.gpus_per_unit is not None and self.gpus_per_unit < 0:
            raise UsageError(f"--gpus-per-unit must be 0 or more, not {self.gpus_per_unit}")
        try:
            own = shlex.split(self.sbatch)
        except ValueError as error:
            raise UsageError(f"--sbatch {self.sbatch[:60]!r}: {str(error).lower()}") from None
        return EngineOptions(self.gpus_per_unit, tuple(own), self.address, self.only_print)


def planned_units(
    family: str,
    scales: Sequence[str],
    data: Path,
    checkpoint: CheckpointOptions,
    options: ExtractionOptions,
    common: Sequence[str] = (),
    parts: int = 1,
) -> list[Planned]:
    """Return the units of each scale: commands that extract it, or a part of it, and analyze it when it is whole.

    All of them get the arguments ``common``.
    """
    from vlmprobe.cli.arguments import arguments, whole_path
    from vlmprobe.workflows.units import Planned

    wanted = options.on(data)
    # Another process may still be at a run, as after a node was lost.
    patient = replace(options, wait=True)
    planned = []
    for scale in scales:
        of_scale = (family, "--scale", scale, "--data", whole_path(data))
        extract = ("extract", *of_scale, *arguments(checkpoint), *arguments(patient), *common)
        analyze = ("analyze", *of_scale, *selecting(options), *common)
        request = checkpoint.request(family, scale, wanted)
        for part in [f"{number}/{parts}" for number in range(1, parts + 1)] if parts > 1 else [None]:
            own = () if part is None else ("--part", part)
            planned.append(Planned(request, ((*extract, *own), analyze), part))
    return planned


def planned_controls(
    family: str,
    scales: Sequence[str],
    data: Path,
    options: ExtractionOptions,
    own: Sequence[str],
    common: Sequence[str] = (),
) -> list[Planned]:
    """Return a unit for each scale: the command that extracts what its runs are held against.

    All of them get the arguments ``own``, of ``vlmprobe control`` alone, and ``common``.
    """
    from vlmprobe.cli.arguments import arguments, whole_path
    from vlmprobe.workflows.units import Planned

    wanted, patient = options.on(data), replace(options, wait=True)
    of_data = ("--data", whole_path(data))
    return [
        Planned(
            CheckpointOptions().request(family, scale, wanted),
            (("control", family, "--scale", scale, *of_data, *own, *arguments(patient), *common),),
            of_controls=True,
        )
        for scale in scales
    ]


def check_found_again(options: ExtractionOptions) -> None:
    """Check that the commands after an extraction find its runs.

    Raises:
        UsageError: an option keeps them from it.
    """
    if options.allow_contradictions:
        raise UsageError(
            "--allow-contradictions cannot be used with --engine: analyze and merge would not find its runs"
        )


def selecting(options: ExtractionOptions) -> tuple[str, ...]:
    """Return the arguments with which commands find the runs of an extraction."""
    return ("--max-per-category", str(options.max_per_category))
