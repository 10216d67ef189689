"""Whether axes hang on the inner product, on answers, or on a wording: rows, and the tables that people read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis.catalog.robustness import NULL_3
from vlmprobe.analysis.controls import WORD_LEFT, WORD_OUT
from vlmprobe.reports.controls import LAST
from vlmprobe.reports.numbers import measured

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmprobe.analysis.inference import Estimate

__all__ = [
    "HOLDS_0",
    "HOLDS_NOT_0",
    "READING",
    "READING_OF_SCENE",
    "ROBUST",
    "RobustnessRow",
    "Table",
    "answers_table",
    "folded_tables",
    "probe_table",
    "products_table",
    "reasons",
    "rows_in_full",
    "scene_table",
    "transfer_table",
]

#: What :func:`vlmprobe.analysis.controls.robustness` says, for people.
ROBUST = {"robust": "robust", "dependent": "not robust", "open": "not known"}
#: What a row of Null 2 says of it.
HOLDS_0, HOLDS_NOT_0 = "holds 0", "does not hold 0"
#: Metric, or what a note says -> its column, of the table over layers.
_SCENE = {
    "scene_word.cosine": "scene_word",
    "axis_coherence.scene": "scene",
    "axis_coherence.scene_less_null_1": "less_null_1",
    "axis_coherence.scene_disjoint": "disjoint",
    WORD_OUT: "word_out",
    "scene_space.cosine_disjoint": "cosine_disjoint",
    "null_2.size": "null_2",
    HOLDS_0: "holds_0",
    "null_2.answers_changed": "changed",
    "null_3.coherence": "null_3",
}
#: Note -> its column there, and what that says.
_NOTES = {
    WORD_OUT: ("word_out", "yes"),
    WORD_LEFT: ("word_out", "no"),
    HOLDS_0: ("holds_0", "yes"),
    HOLDS_NOT_0: ("holds_0", "no"),
}
#: How to read the tables, in lines; those of the scene have lines of their own.
READING = (
    "euclid, zscore, within, causal: coherence of an axis, or VD-EI of two, under that inner product; point values, "
    "without intervals; not simulated",
    "robust: under all four, VD-EI has the same sign, and the same answer to whether it is larger than both controls, "
    "which may be no; not robust: no noise is allowed for, which alone may decide where an excess is not resolved",
    "deltas_fill: participation ratio of raw deltas, which hold the axis itself; no verdict's note rests on it",
    "rogue_1, rogue_3, deltas_fill, states_fill, anisotropy: no intervals, not simulated",
    "space_share: the share that both yes/no templates have in common: scene, names, and what the second template "
    "leaves of the word; simulated for words up to .3 that are reversed in full",
    "answer_balanced, readout_share, without_readout: simulated for an axis and a word of up to .3 each; stronger ones "
    "were not. A coherence cannot be below 0 in truth, and an interval wholly below 0 misses it",
    "answer_balanced of two axes: VD-EI of what both yes/no templates share; a point value, not simulated",
    "answer_following: of wrong pairs, above 0 = the state follows the truth, below 0 = the answer",
    "readout_share, without_readout: along and without the directions of the answer's words; beside them the median of "
    "as many random words",
    "order_coherence: on the demo's deltas the interval holds the truth in .87 to .95 of studies of 40 pairs an axis "
    "or more, least at the last layer of 800k (horizontal .87, vertical .88). It cannot be below 0 in truth, and an "
    "interval wholly below 0 misses it",
    "directions: share of pairs whose category the sign along the direction of an axis and template tells; "
    ".5 = nothing, 0 = the opposite",
    "directions on their own axis and template: a share strays further than its interval says: without an axis it held "
    ".5 in .85 to .88 of simulated studies, with an axis of .05 to .3 the truth in .92 to .94; stronger axes and few "
    "dimensions were not simulated. Each pair is in the direction of all others, so without an axis read no share "
    "as the opposite",
    "directions on other axes: simulated for axes of up to .3",
    "directions on other templates of the same pairs: not simulated; intervals of all directions are unadjusted",
)
READING_OF_SCENE = (
    "scene: coherence of what exchanged pictures do, over all layers; less_null_1: less the same exchange under a "
    "question about another axis; scene_word: cosine of the axis of exchanged names and that of exchanged pictures; "
    "intervals are of one layer each, unadjusted",
    "word_out: whether what lies along the answer's word is taken out of scene, less_null_1, disjoint and scene_word; "
    "no: the word half is not resolved. An axis of the scene that lies along the word is lost with it; any other trace "
    "of the answer stays",
    "disjoint, cosine_disjoint: coherence, and the cosine of rule 5 (a point value), from pairs that share no object's "
    "name; where 'scene' is above 'disjoint', part of that is of the objects",
    "null_2: squared length, in the squared unit of the states, of what turns with a relation that the exchange leaves "
    "as it is; it should hold 0. changed: share of yes/no answers about that relation which the exchange changed, of "
    "all layers alike",
    "null_3: coherence of what the same exchange does to the architecture with random weights, without its own word's "
    "axis where it has one; it should hold 0. Where it does not, that much of 'scene' need not have been learnt. One "
    "draw of weights; no verdict rests on it",
)


@dataclass(frozen=True, slots=True)
class RobustnessRow:
    """One number of one run at one layer."""

    table: str
    """``products``, ``answers``, ``transfer``, ``scene`` or ``probe``."""
    family: str
    scale: str
    template: str
    run_id: str
    layer: int
    layer_is: str
    """``recommended`` for the run, or the ``last`` one stored; empty for another layer, in table ``scene``."""
    metric: str
    target: str
    estimate: Estimate
    n: int
    """Pairs; of ``answer_following`` those with both answers wrong."""
    note: str = ""
    """What a reader must know; of a VD-EI whether it is robust."""


Table = list[dict[str, Any]]


def rows_in_full(rows: Iterable[RobustnessRow]) -> Table:
    """Return the rows for machines: every number in full, and why one is missing."""
    return [
        {
            "table": row.table,
            "family": row.family,
            "scale": row.scale,
            "template": row.template,
            "layer": row.layer,
            "layer_is": row.layer_is,
            "metric": row.metric,
            "target": row.target,
            "value": row.estimate.value,
            "ci_low": row.estimate.ci_low,
            "ci_high": row.estimate.ci_high,
            "n": row.n,
            # Not counted where a number has no interval: 0 images would be a number without data.
            "n_images": row.estimate.n_images or None,
            "reason": row.estimate.reason,
            "note": row.note,
            "run_id": row.run_id,
        }
        for row in rows
    ]


def products_table(rows: Sequence[RobustnessRow]) -> Table:
    """Return a row for each axis and each pair of axes: its number under each inner product, and dimensions."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    of_states: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.table != "products":
            continue
        target, _, part = row.target.partition("@")
        if not target:
            of_states.setdefault(row.run_id, {})[_short(row.metric, part)] = _value(row.estimate)
            continue
        line = found.setdefault((row.run_id, target), {**_head(row), "axis": target, "robust": None})
        line[_short(row.metric, part)] = _value(row.estimate)
        if row.note:
            line["robust"] = row.note
    columns = ("euclid", "zscore", "within", "causal", "rogue_1", "rogue_3", "deltas_fill")
    return [
        {
            **{name: line[name] for name in line if name not in {*columns, "robust"}},
            **{name: line.get(name) for name in columns},
            **of_states.get(run_id, {}),
            "robust": line["robust"],
        }
        for (run_id, _), line in found.items()
    ]


def _short(metric: str, part: str) -> str:
    names = {"rogue_share": f"rogue_{part.removeprefix('top')}", "anisotropy": "anisotropy"}
    return names.get(metric) or {"deltas": "deltas_fill", "states": "states_fill"}.get(part, part)


def answers_table(rows: Sequence[RobustnessRow]) -> Table:
    """Return a row for each axis: what of it is of the answer."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    random: dict[tuple[str, str], dict[str, str | None]] = {}
    for row in rows:
        if row.table != "answers":
            continue
        target, _, part = row.target.partition("@")
        name = row.metric.rpartition(".")[2]
        if part:
            random.setdefault((row.run_id, target), {})[name] = _value(row.estimate)
            continue
        found.setdefault((row.run_id, target), {**_head(row), "axis": target})[name] = _measured(row.estimate)
    for key, beside in random.items():
        for name, value in beside.items():
            if value is not None and found[key].get(name) is not None:
                found[key][name] = f"{found[key][name]} ({value})"
    return _even(found.values())


def transfer_table(rows: Sequence[RobustnessRow]) -> Table:
    """Return a row for each source and template, with a column for each axis."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        if row.table != "transfer":
            continue
        source, _, target = row.target.partition("->")
        told, _, axis = (target or source).rpartition(":")
        key = (row.run_id, source, told)
        line = found.setdefault(key, {**_head(row), "direction_of": source, "on": told})
        line[axis] = _measured(row.estimate)
    return _even(found.values())


def scene_table(rows: Sequence[RobustnessRow]) -> Table:
    """Return a row for each axis and layer that has a number: what exchanged pictures say, Null 2 and Null 3."""
    found: dict[tuple[str, str, int], dict[str, Any]] = {}
    known = set()
    for row in rows:
        if row.table != "scene":
            continue
        key = row.run_id, row.target, row.layer
        line = found.setdefault(
            key,
            {"scale": row.scale, "axis": row.target, "layer": row.layer, **dict.fromkeys(_SCENE.values())},
        )
        line[_SCENE[row.metric]] = _measured(row.estimate)
        # Of random weights the column says nothing: whether a word is out is said of the run.
        if row.note and row.metric != NULL_3.name:
            column, says = _NOTES[row.note]
            line[column] = says
        if row.estimate.value is not None:
            known.add(key)
    return [found[key] for key in sorted(known, key=list(found).index)]


def probe_table(rows: Sequence[RobustnessRow]) -> Table:
    """Return a row for each axis and split: accuracy, control and selectivity of the probe."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if row.table != "probe":
            continue
        axis, _, split = row.target.partition("/")
        line = found.setdefault((row.run_id, row.target), {**_head(row), "axis": axis, "split": split})
        line[row.metric.partition(".")[2]] = _measured(row.estimate)
    return list(found.values())


def folded_tables(rows: Sequence[RobustnessRow]) -> list[tuple[str, Table]]:
    """Return the tables of a report with their titles; one without rows is left out."""
    tables = (
        ("Other inner products", products_table(rows)),
        ("The words of the answers", answers_table(rows)),
        ("Directions on other axes and templates", transfer_table(rows)),
    )
    return [(title, table) for title, table in tables if table]


def reasons(rows: Sequence[RobustnessRow]) -> list[str]:
    """Return why numbers are missing, and what must be known of others, a line each, without repeating one."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.table == "transfer":
            continue
        note = row.note if row.table == "answers" and "@" not in row.target else ""
        for text in (row.estimate.reason, note):
            if text:
                short = row.target.partition("@")[0] or "all axes"
                found.setdefault(f"{row.scale}: {row.metric}: {text}", []).append(short)
    return [f"{text} ({', '.join(dict.fromkeys(targets))})" for text, targets in found.items()]


def _even(lines: Iterable[dict[str, Any]]) -> Table:
    """Give all lines the columns that any of them has."""
    rows = list(lines)
    columns = dict.fromkeys(name for line in rows for name in line)
    return [{name: line.get(name) for name in columns} for line in rows]


def _head(row: RobustnessRow) -> dict[str, Any]:
    return {"scale": row.scale, "layer": f"{row.layer} (last)" if row.layer_is == LAST else row.layer}


def _value(estimate: Estimate) -> str | None:
    return None if estimate.value is None else measured(estimate.value, None, None)


def _measured(estimate: Estimate) -> str | None:
    if estimate.value is None:
        return None
    return measured(estimate.value, estimate.ci_low, estimate.ci_high)
