"""Images of a cell attacked once more, each alone, with every pass of the network looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from robench.attacks.balls import Norm, distances, project
from robench.attacks.base import Attack
from robench.attacks.draws import Draws
from robench.attacks.losses import broken, cross_entropy, margin
from robench.audit.failure import Floats, Trace, Traced
from robench.logits import shaped
from robench.plan import Cell
from robench.redrawn import Redrawn
from robench.runner.bench import Bench, pixels, set_up, shrinker
from robench.runner.checkpoints import Checkpoints
from robench.runner.learning import learn
from robench.runner.networks import new_attack, target_network
from robench.victim import Victim

IMAGES: Final = 16
"""How many images of a cell are traced: those that are right before and after the attack, first of
all those that come first in it."""
NOISES: Final = 100
WIDTH: Final = 8 / 255
"""The noises of Pintor et al. 2022: uniform in the box of this width around the image."""
_TOGETHER: Final = 25  # noises in memory at a time
_ROWS: Final = 32  # candidates of one image in a pass
_SLACK: Final = 1e-6  # by which iterates in float32 may lie outside of their ball


class Path:
    """What a network is shown of one image 1×C×H×W and says of it, pass by pass.

    So many passes of the same candidates in a row as a victim takes `draws` are one: the mean of
    their log softmax is its answer.
    """

    def __init__(
        self, image: Tensor, label: Tensor, *, epsilon: float, norm: Norm, draws: int = 1
    ) -> None:
        self._image, self._label, self._draws = image, label, draws
        self._epsilon, self._norm = epsilon, norm
        self._shown: Tensor | None = None
        self._answers: list[Tensor] = []
        self._losses: list[Floats] = []
        self._outside = 0
        self._wrong: Tensor | None = None
        self._least = 0.0

    def note(self, shown: Tensor, logits: Tensor) -> None:
        """A pass: B candidates B×C×H×W and what the network answers, B×K."""
        again = self._shown is not None and torch.equal(shown, self._shown)
        if not again or len(self._answers) == self._draws:
            self._close()
            self._shown = shown.clone()
        self._answers.append(torch.log_softmax(logits.float(), dim=1))

    def ended(self) -> tuple[Floats, int, Tensor | None]:
        """(both losses 2×T of the candidates inside ball and box, how many were outside, the one
        inside that was wrong by most, projected as the attacks' base class does, or None)."""
        self._close()
        wrong = self._wrong
        if wrong is not None:
            wrong = project(self._image, wrong, self._epsilon, self._norm)
        return np.concatenate([np.zeros((2, 0)), *self._losses], axis=1), self._outside, wrong

    def _close(self) -> None:
        if self._shown is None:
            return
        shown, answer = self._shown, torch.stack(self._answers).mean(dim=0)
        self._shown, self._answers = None, []
        away = distances(self._image, shown, self._norm)
        in_box = ((shown >= 0.0) & (shown <= 1.0)).flatten(1).all(dim=1)
        near = in_box & (away <= self._epsilon * (1 + _SLACK) + _SLACK)
        labels = self._label.expand(len(shown))
        self._losses.append(attacked_losses(answer, labels)[:, near.cpu().numpy()])
        self._outside += int((~near).sum())
        least, place = torch.where(near, margin(answer, labels), 0.0).min(dim=0)
        if float(least) < self._least:
            self._least, self._wrong = float(least), shown[int(place)][None]


class Recorded(nn.Module):
    """A network whose passes are noted while a path is open."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._path: Path | None = None

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        if self._path is not None:
            self._path.note(images.detach(), shaped(logits.detach(), rows=len(images)))
        return logits

    @contextmanager
    def on(self, path: Path) -> Iterator[None]:
        """Note every pass inside."""
        self._path = path
        try:
            yield
        finally:
            self._path = None


class _Untiled(Victim):
    """A victim whose passes hold the candidates alone, without copies that fill up a tile."""

    def tile(self, device: torch.device, rows: int) -> int:
        return min(max(rows, 1), _ROWS)


def attacked_losses(logits: Tensor, labels: Tensor) -> Floats:
    """Minus the cross-entropy, and the margin, of logits N×K: 2×N, both in float32 as the network
    gives them."""
    both = torch.stack([-cross_entropy(logits, labels), margin(logits, labels)])
    return both.double().cpu().numpy()


def traced(
    cell: Cell, frame: pd.DataFrame, checkpoints: Checkpoints, *, named: str, key: str,
    batch_size: int,
) -> Traced:
    """The traces of a planned `cell`, whose outcomes `frame` are known; `named` and `key` are what
    is said of them.

    The victim and the attack are those of the runner, but each image is attacked alone, and no
    pass is filled up. There are no traces where rows depend on their mates, nor where none could
    tell anything: of a search without gradients on a victim that draws random numbers.
    """
    target = cell.target
    weights = checkpoints.of(target, wait=True)
    assert weights is not None  # waited for
    dataset = checkpoints.datasets[target.training.dataset.label]
    network, size = target_network(target, weights, dataset, checkpoints.registry)
    bench = set_up(
        target, network, dataset, size=size, device=checkpoints.device, batch_size=batch_size,
        store=checkpoints.store, smaller_batch=checkpoints.listener.smaller_batch,
    )
    attack = new_attack(cell.attack, checkpoints.registry)
    standing = set(frame.loc[frame["clean_correct"] & ~frame["success"], "image_id"][:IMAGES])
    rows = [row for row, name in enumerate(bench.split.image_ids) if name in standing]
    traces: list[Trace] = []
    silent = target.stochastic and attack.access != "gradient"
    if bench.victim.rowwise and rows and not silent:
        if attack.learns:
            learn(attack, bench, [cell], shrink=shrinker(
                bench.victim, bench.device, checkpoints.listener.smaller_batch))
        recorded = Recorded(network)
        victim = _alone(recorded, bench, draws=target.draws)
        traces = [_trace(attack, cell, bench, recorded, victim, row) for row in rows]
    return Traced(
        key=key, named=named, access=attack.access, stochastic=target.stochastic,
        rowwise=bench.victim.rowwise, traces=traces,
    )


def _alone(recorded: Recorded, bench: Bench, *, draws: int) -> Victim:
    """The victim of a bench around a network that is recorded, for one image."""
    if not isinstance(bench.victim, Redrawn):
        return _Untiled(recorded).eval().requires_grad_(False)
    redrawn = Redrawn(recorded, draws=draws).eval().requires_grad_(False)
    while redrawn.tile(bench.device, 1) > 1:
        redrawn.halve_tiles(bench.device)
    return redrawn


def _trace(
    attack: Attack, cell: Cell, bench: Bench, recorded: Recorded, victim: Victim, row: int
) -> Trace:
    image = pixels(bench.split, [row], bench.device)
    label = torch.from_numpy(bench.split.labels[[row]]).to(bench.device)
    name = str(bench.split.image_ids[row])
    path = Path(image, label, epsilon=cell.epsilon.value, norm=attack.norm,
                draws=victim.draws)
    with bench.drawing(cell.seed, "trace", cell.key, name):
        with recorded.on(path):
            (result,) = attack.climb(
                victim, image, label, epsilons=[cell.epsilon.value], image_ids=[name],
                seed=cell.seed, ladder=False,
            )
        losses, outside, wrong = path.ended()
        won = wrong is not None and bool(broken(victim.logits(wrong), label))
    with bench.drawing(cell.seed, "noise around", cell.key, name):
        clean = attacked_losses(bench.victim.logits(image), label)[:, 0]
        noisy = _around(bench, image, label, seed=cell.seed, name=name)
    return Trace(path=losses, outside=outside, clean=clean, noisy=noisy, won=won,
                 broken=bool(result.success.item()))


def _around(bench: Bench, image: Tensor, label: Tensor, *, seed: int, name: str) -> Floats:
    """Both losses, 2×`NOISES`, at noises around an image, cut with the box."""
    draws = Draws.keyed([name], seed=seed, attack="noise around", device=bench.device)
    parts = []
    for _ in range(NOISES // _TOGETHER):
        noise = draws.uniform(_TOGETHER, *image.shape[1:], low=-WIDTH / 2, high=WIDTH / 2)[0]
        logits = bench.victim.logits((image + noise).clamp(0.0, 1.0))
        parts.append(attacked_losses(logits, label.expand(_TOGETHER)))
    return np.concatenate(parts, axis=1)
