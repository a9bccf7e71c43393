"""Images made on one network and shown, unchanged, to another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch

from robench.attacks.balls import distances
from robench.attacks.losses import broken, margin
from robench.plan import Cell
from robench.redrawn import Redrawn
from robench.runner.bench import Bench, pixels
from robench.runner.crafting import Made, before
from robench.runner.memory import Rows, in_batches


@dataclass(frozen=True)
class Shown:
    """The images of a cell, float32 N×C×H×W in [0,1] on the CPU, and which of them fooled the
    network they were made on."""

    images: torch.Tensor
    success: npt.NDArray[np.bool_]

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        return safetensors.torch.save(
            {"images": self.images.contiguous(), "success": torch.tensor(self.success)}
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> Shown:
        """What `to_bytes` wrote."""
        tensors = safetensors.torch.load(content)
        return cls(tensors["images"], tensors["success"].numpy())


def replay(
    cells: Sequence[Cell],
    shown: Callable[[int], Shown],
    bench: Bench,
    *,
    batch_size: int,
    shrink: Callable[[int], int | None],
    attacked: Callable[[int], None],
) -> Iterator[Made]:
    """The outcomes of `cells`, whose images `shown` gives by their place.

    Every image is shown, also one that its surrogate held out against and one that the victim gets
    wrong when clean: the column `surrogate_success` and `clean_correct` tell them apart. A success
    is an image that was right when clean and is wrong now. An image costs the victim one forward,
    for a stochastic one one for each draw.
    """
    for place, cell in enumerate(cells):
        started = time.perf_counter()
        made_on = shown(place)
        frame = before(bench)
        for rows, columns in in_batches(
            np.arange(len(frame)), batch_size,
            partial(_judged, bench, cell, made_on), shrink=shrink,
        ):
            for name, values in columns.items():
                frame.loc[rows, name] = values
            attacked(len(rows))
        frame["success"] &= frame["clean_correct"]
        frame["surrogate_success"] = made_on.success
        order = [name for name in frame.columns if name != "draws_wrong"]
        frame = frame[[*order, *(["draws_wrong"] if "draws_wrong" in frame else [])]]
        yield Made(cell, frame, seconds=time.perf_counter() - started, gradient_dead=False)


def _judged(
    bench: Bench, cell: Cell, made_on: Shown, rows: Rows
) -> dict[str, npt.NDArray[np.generic]]:
    clean = pixels(bench.split, rows, bench.device)
    images = made_on.images[torch.from_numpy(rows)].to(bench.device)
    labels = torch.from_numpy(bench.split.labels[rows]).to(bench.device)
    victim, drawn = bench.victim, {}
    with bench.drawing(cell.seed, "shown", cell.key, str(bench.split.image_ids[rows[0]])):
        if isinstance(victim, Redrawn):
            verdict, answers = victim.votes(images)
            wrong = torch.ne(answers, labels).sum(dim=0)
            drawn = {"draws_wrong": wrong.int().cpu().numpy()}
        else:
            verdict = victim.verdict(images)
    away = {norm: distances(clean, images, norm).cpu().numpy() for norm in ("linf", "l2", "l0")}
    return {
        "adversarial_prediction": verdict.argmax(dim=1).int().cpu().numpy(),
        "success": broken(verdict, labels).cpu().numpy(),
        "linf": away["linf"], "l2": away["l2"], "l0": away["l0"].astype(np.int32),
        "forwards": np.full(len(rows), victim.draws, dtype=np.int32),
        "adversarial_margin": margin(verdict, labels).cpu().numpy(), **drawn,
    }
