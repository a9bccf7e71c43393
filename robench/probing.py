"""Cells of a run computed again in ways that must not matter, to see whether they do.

Evaluation rules F6 (Pintor et al. 2022) and F7 (Carlini et al. 2019): an attack that was run to its
end finds no more with twice the steps, breaks any classifier when nothing bounds it, is stronger
than noise, and is not beaten by an attack that sees no gradient. Its loss, pass by pass, is steady
around the images, stands still at the end, and loses no success on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from robench import api
from robench.audit.failure import failures
from robench.audit.finding import SEVERITIES, Audit, Finding, Unchecked
from robench.audit.run import audit_run
from robench.device import choose
from robench.errors import UserError
from robench.registry import Registry
from robench.results import Run
from robench.runner.checkpoints import Checkpoints
from robench.runner.events import Listener
from robench.runner.tracing import traced

_GAIN = 0.01
"""The share of all images that twice the steps may break beyond what was broken."""
_STEPS = ("steps", "queries")
_UNBOUNDED = {"linf": 1.0, "l2": 1e3, "l1": 1e6}
_VICTIM = ("dataset", "model", "recipe", "defense", "pruning_rate")
_CELL = (*_VICTIM, "attack", "epsilon", "norm", "threat", "seed")
_AS_RUN, _DOUBLED, _NOISE, _QUERIES = "as run", "twice the steps", "noise", "square"


def probe(
    run: Run, *, cells: int = 4, device: str = "auto", listener: Listener | None = None
) -> Audit:
    """The audit of a run, with what probing some of its cells adds.

    Chosen are white-box cells of a fixed budget at the largest epsilon of their attack, at most one
    per victim, those with the highest robust accuracy first: where a failed attack would hide. Each
    is made again without the ladder, with twice the steps, at an epsilon that bounds nothing, and
    beside noise and, in L-inf and L2, a gradient-free attack; some images that it leaves standing
    are attacked alone, every pass looked at. What is made stays in the run's store. Raises
    UserError for a run without such a cell, or whose data are not there.
    """
    audit = audit_run(run)
    chosen = _chosen(run, cells)
    if not chosen:
        raise UserError("nothing to probe", where=run.id,
                        expected="a white-box cell of an attack with a fixed budget")
    found = list(audit.findings)
    probed = {"F6-loss", "F6-unbounded", "F7-steps"}
    left = [one for one in audit.unchecked if one.check not in probed]
    for cell in chosen:
        job = api.plan(_matrix(run.record, cell), store=run.store.folder)
        made = job.execute(device=device, listener=listener)
        seen = [*_findings(run, cell, made), *_along(run, cell, job, device, listener)]
        found += [replace(one, paper=run.id) for one in seen if isinstance(one, Finding)]
        left += [replace(one, paper=run.id) for one in seen if isinstance(one, Unchecked)]
    run.store.write_run(run.id, dict(run.record))  # the latest run is this one, not its probes
    found.sort(key=lambda one: -SEVERITIES.index(one.severity))
    return replace(audit, findings=tuple(found), unchecked=tuple(left))


def _chosen(run: Run, count: int) -> list[Mapping[str, Any]]:
    registry = Registry.discover()
    known = {
        str(item["label"]): registry.get("attack", name).card.traits.get("budget")
        for item in run.record["matrix"]["attacks"] for name in _names(item) if name != _NOISE
    }
    robust = {tuple(row[name] for name in _CELL): row["robust_accuracy"] for row in run.rows()}
    best: dict[tuple[Any, ...], tuple[float, float, Mapping[str, Any]]] = {}
    for cell in run.record["cells"]:
        epsilon = float(cell["epsilon"])
        accuracy = robust.get(tuple({**cell, "epsilon": epsilon}[name] for name in _CELL))
        fits = cell["threat"] == "white-box" and cell["norm"] in _UNBOUNDED
        if accuracy is None or not fits or known.get(cell["attack"]) in (None, "minimum"):
            continue
        victim = tuple(cell[name] for name in _VICTIM)
        if victim not in best or (epsilon, accuracy) > best[victim][:2]:
            best[victim] = (epsilon, accuracy, cell)
    ordered = sorted(best.values(), key=lambda one: -one[1])
    return [cell for _, _, cell in ordered[:count]]


def _matrix(record: Mapping[str, Any], cell: Mapping[str, Any]) -> dict[str, Any]:
    """The matrix of one cell's probes."""
    asked = record["matrix"]
    attack = _item(asked["attacks"], cell["attack"])
    (name,) = _names(attack)
    settings = dict(attack[name])
    harder = {key: 2 * settings[key] for key in _STEPS if isinstance(settings.get(key), int)}
    attacks = [{name: settings, "label": _AS_RUN}]
    if harder:
        attacks.append({name: {**settings, **harder}, "label": _DOUBLED})
    if cell["norm"] in ("linf", "l2"):
        attacks.append({"square": {"norm": cell["norm"], "queries": 500}, "label": _QUERIES})
    if cell["norm"] == "linf":
        attacks.append({"noise": {}, "label": _NOISE})
    return {
        "name": "probe", "datasets": [_item(asked["datasets"], cell["dataset"])],
        "models": [_item(asked["models"], cell["model"])],
        **({} if asked["recipes"] is None
           else {"recipes": [_item(asked["recipes"], cell["recipe"])]}),
        "pruning": {**asked["pruning"], "rates": [cell["pruning_rate"]]},
        "defenses": [_item(asked["defenses"], cell["defense"])],
        "attacks": attacks, "epsilons": [float(cell["epsilon"]), _UNBOUNDED[cell["norm"]]],
        "seeds": [cell["seed"]], "samples": asked["samples"], "ladder": False,
        "draws": asked.get("draws", 10),
    }


def _findings(run: Run, cell: Mapping[str, Any], made: Run) -> Iterator[Finding]:
    """What the probes of a cell show; `rows` are the keys of the cell that was probed."""
    tables = {
        (one["attack"], float(one["epsilon"])): made.outcomes(one["key"])
        for one in made.record["cells"] if made.store.has("outcomes", one["key"])
    }
    epsilon, unbounded = float(cell["epsilon"]), _UNBOUNDED[cell["norm"]]
    before = run.outcomes(cell["key"])
    named, n = _named(cell), len(before)

    def more(label: str) -> int:
        """Images that another attack broke and this cell did not."""
        other = tables.get((label, epsilon))
        return 0 if other is None else _more(other, before)

    def finding(check: str, severity: Any, message: str, next_step: str) -> Finding:
        return Finding(check, severity, "", "", (cell["key"],), message, next_step)

    gained = more(_DOUBLED)
    if gained > _GAIN * n:
        yield finding(
            "F7-steps", "serious" if gained > 5 * _GAIN * n else "warning",
            f"with twice the steps, {named} breaks {gained} more of {n} images: it was not run to "
            "its end.", "more steps, until twice as many change nothing")
    alone = more(_AS_RUN)
    if alone > _GAIN * n:
        yield finding(
            "F7-ladder", "warning",
            f"{named}, run on its own and not up the ladder, breaks {alone} more of {n} images.",
            "more steps or restarts: what it finds depends on where it starts")
    free = tables.get((_AS_RUN, unbounded))
    if free is not None:
        standing = int((free["clean_correct"] & ~free["success"]).sum())
        largest = int(free["label"].value_counts().max())
        if standing > min(largest, max(1, int(0.05 * n))):
            yield finding(
                "F6-unbounded", "serious",
                f"where nothing bounds the perturbation, {standing} of {n} images hold out against "
                f"{named.split(' at ')[0]}: it fails, or the gradients are masked.",
                "check the attack on a network without the defense; adapt it (BPDA, EOT)")
    for label, check, reading in (
        (_NOISE, "F7-noise", "its gradients lead nowhere"),
        (_QUERIES, "A8", "the gradients are masked, or the attack is not run to its end"),
    ):
        others = more(label)
        if others > _GAIN * n:
            yield finding(
                check, "serious",
                f"{label} breaks {others} of {n} images that {named} does not: {reading}.",
                "an attack adapted to the defense, with more steps")


def _along(
    run: Run, cell: Mapping[str, Any], job: api.Job, device: str, listener: Listener | None
) -> Iterator[Finding | Unchecked]:
    """What a cell's attack shows on its way."""
    again = next(
        each for ladder in job.prepared.plan.ladders if ladder.attack.label == _AS_RUN
        for each in ladder.cells if each.epsilon.value == float(cell["epsilon"])
    )
    if not run.store.has("outcomes", again.key):
        yield Unchecked("F6-loss", "", f"{_named(cell)}: it could not be run again")
        return
    checkpoints = Checkpoints(job.store, job.prepared.datasets, job.registry,
                              listener or Listener(), choose(device))
    yield from failures(traced(
        again, run.outcomes(cell["key"]), checkpoints, named=_named(cell), key=cell["key"],
        batch_size=api.BATCH_SIZE))


def _named(cell: Mapping[str, Any]) -> str:
    return f"{cell['attack']} on {cell['model']} {cell['recipe']} at ε {cell['epsilon_text']}"


def _more(other: pd.DataFrame, before: pd.DataFrame) -> int:
    found = other.set_index("image_id")["success"].reindex(before["image_id"]).to_numpy()
    return int((found.astype(np.bool_) & ~before["success"].to_numpy()).sum())


def _names(item: Mapping[str, Any]) -> list[str]:
    return [name for name in item if name not in ("label", "epsilons")]


def _item(items: Sequence[Mapping[str, Any]], label: str) -> Mapping[str, Any]:
    return next(item for item in items if item["label"] == label)
