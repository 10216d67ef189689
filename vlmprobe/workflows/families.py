"""Lists what can be extracted here: every family, its scales, its needs and where it runs. Loads no model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.families import conflict, load_catalog, missing_packages

if TYPE_CHECKING:
    from vlmprobe.families import Catalog, Environment, Needs

__all__ = ["list_families", "list_scales"]

#: Shown in place of the path of another Python.
THIS_PYTHON = "this Python"


def list_scales() -> list[dict[str, Any]]:
    """Return a row per scale; a family without scales has one row that names none.

    Keys: family, scale, checkpoint, processor, samples_seen, global_steps. A scale whose checkpoint is None
    wants ``--checkpoint``.

    Raises:
        InputError: the user's ``vlmprobe.toml`` is wrong.
    """
    catalog = load_catalog()
    return [row for family in catalog.family_names() for row in _scales(catalog, family)]


def list_families() -> list[dict[str, Any]]:
    """Return one row per family.

    Keys: family, architecture, needs, runs_in (the path of another Python, with the places elsewhere that it runs at,
    or ``this Python``) and state:
    ``ready``, ``missing: PACKAGE, ...``, ``registered by A and by B`` (two packages, neither of which is run), or for
    another Python ``not checked`` or what is wrong with it. To look into another environment its Python would
    have to be started, which a listing does not do.

    Raises:
        InputError: the user's ``vlmprobe.toml`` is wrong.
    """
    catalog = load_catalog()
    return [_family(catalog, family) for family in catalog.family_names()]


def _scales(catalog: Catalog, family: str) -> list[dict[str, Any]]:
    rows = [
        {
            "family": family,
            "scale": name,
            "checkpoint": entry.checkpoint,
            "processor": entry.processor,
            "samples_seen": entry.samples_seen,
            "global_steps": entry.global_steps,
        }
        for name, entry in catalog.listed_scales(family).items()
    ]
    return rows or [
        {
            "family": family,
            **dict.fromkeys(("scale", "checkpoint", "processor", "samples_seen", "global_steps")),
        }
    ]


def _family(catalog: Catalog, family: str) -> dict[str, Any]:
    environment, needs = catalog.environment(family), catalog.needs(family)
    return {
        "family": family,
        "architecture": catalog.architecture(family),
        "needs": needs.text,
        "runs_in": THIS_PYTHON if environment is None else _where(environment),
        "state": _state(environment, needs, catalog.architecture(family)),
    }


def _where(environment: Environment) -> str:
    places = "; ".join(place.name for place in environment.launch)
    return f"{environment.python} ({places})" if places else environment.python


def _state(environment: Environment | None, needs: Needs, architecture: str) -> str:
    twice = conflict(architecture)
    if twice is not None:
        return twice
    if environment is not None:
        return environment.problem() or "not checked"
    missing = missing_packages(needs.packages)
    return f"missing: {', '.join(missing)}" if missing else "ready"
