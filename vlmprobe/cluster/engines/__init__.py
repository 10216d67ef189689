"""The engines: each hands the units of a submission to what runs commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import unknown_name

if TYPE_CHECKING:
    from vlmprobe.cluster.engines.base import Engine, EngineOptions

__all__ = ["ENGINES", "engine_of"]

ENGINES = ("print", "slurm", "ray")


def engine_of(name: str, options: EngineOptions) -> Engine:
    """Return the engine of a name.

    Raises:
        UsageError: there is none, or it cannot be used here.
    """
    if name == "print":
        from vlmprobe.cluster.engines.printed import Printed

        return Printed()
    if name == "slurm":
        from vlmprobe.cluster.engines.slurm import Slurm

        return Slurm(options)
    if name == "ray":
        from vlmprobe.cluster.engines.ray import Ray

        return Ray(options)
    raise unknown_name("engine", name, ["local", *ENGINES])
