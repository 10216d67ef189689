"""The kinds of control, as column ``control`` of ``runs`` names them: ``grey``, or with a seed ``other-image:0``."""

from __future__ import annotations

__all__ = ["GREY", "OTHER_AXIS", "OTHER_IMAGE", "RANDOM_WEIGHTS", "SHUFFLED_LABELS", "kind_of"]

GREY, OTHER_IMAGE, RANDOM_WEIGHTS = "grey", "other-image", "random-weights"
#: Null 1 of verdicts: a question about another axis. Its answers are neither right nor wrong, and it has no axis of its
#: own to compare, so no table or figure holds it against the run that it serves.
OTHER_AXIS = "other-axis"
#: Made from the states of a real run; no run is one.
SHUFFLED_LABELS = "shuffled-labels"


def kind_of(control: str) -> str:
    """Return the kind of a control without its seed."""
    return control.partition(":")[0]
