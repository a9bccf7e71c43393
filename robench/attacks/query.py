"""What an attack sees of a victim: every pass is counted, every iterate is watched.

An attack may call the view like a network, ask it for gradients, and narrow it to some rows. The
view remembers, for each image, the best valid iterate it was shown, so no attack has to.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robench.attacks.balls import Norm
from robench.attacks.keeping import keep_better
from robench.attacks.log import Clean, Log, OutOfBudgetError
from robench.attacks.losses import broken, cross_entropy
from robench.device import reading_waits
from robench.victim import Loss, Victim

_LOOK_EVERY = 5
"""Steps between two looks at what is left, where a look makes the host wait."""


class Query:
    """A victim as an attack sees it, for the images and labels of its rows.

    `epsilon` and `norm` say which iterates are valid; with `smallest`, any iterate in the box
    is, and the nearest that breaks the image is the best. With `to_the_end`, a broken image goes
    on, and of its iterates the one that the victim gets most wrong is the best.
    """

    def __init__(
        self, victim: Victim, images: Tensor, labels: Tensor, *,
        epsilon: float, norm: Norm, smallest: bool, log: Log, rows: Tensor,
        shared: Clean, shared_rows: Tensor, to_the_end: bool = False, alone: bool = False,
    ) -> None:
        self.images = images
        self.labels = labels
        self.epsilon = epsilon
        self.norm: Norm = norm
        self._smallest = smallest
        self._to_the_end = to_the_end
        self._alone = alone
        self._victim = victim
        self._log = log
        self._rows = rows
        self._shared = shared
        self._shared_rows = shared_rows

    def __len__(self) -> int:
        return len(self.images)

    @property
    def rowwise(self) -> bool:
        """Whether an image's logits are its own, whatever else is in the batch."""
        return self._victim.rowwise

    def __call__(self, images: Tensor, *, backwards: int = 1) -> Tensor:
        """Logits N×K of one candidate per image, with a graph where grad mode is on; `backwards`
        is how often the caller will go back through it.

        A batch of another length is computed and counted, evenly, but not watched.
        """
        graph = images.requires_grad and torch.is_grad_enabled()
        paid = self._paid(len(images), 1 + (backwards if graph else 0))
        cost = self._cost(len(images))
        if graph and len(self) in (1, len(images)):
            standing = self._standing()
            images = images.view_as(images)  # so that the hook sees this pass's gradient alone
            images.register_hook(  # type: ignore[no-untyped-call]
                lambda gradient: self.note_gradient(
                    gradient.flatten(0, 1)[None] if len(self) == 1 else gradient, standing
                )
            )
        logits: Tensor = self._victim(images)
        if logits.requires_grad:
            logits.register_hook(  # type: ignore[no-untyped-call]
                lambda _: self._count_backward(cost)
            )
        self._count_forward(cost)
        if len(images) == len(self):
            self._watch(images.detach(), logits.detach(), paid)
        return logits

    def logits(self, images: Tensor) -> Tensor:
        """Logits N×K without a graph; otherwise as a call."""
        with torch.no_grad():
            return self(images)

    def gradient(
        self, images: Tensor, loss: Loss = cross_entropy, *, aims: Tensor | None = None
    ) -> Tensor:
        """The gradient N×C×H×W of `loss` at one candidate per image: one pass there and back.

        `loss` is called with logits and the labels, or with `aims` in their place: a tensor of
        length N that says more of each image, such as N×2 labels and targets.
        """
        return self.logits_and_gradient(images, loss, aims=aims)[1]

    def logits_and_gradient(
        self, images: Tensor, loss: Loss = cross_entropy, *, aims: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(logits N×K, gradient N×C×H×W) of one such pass."""
        logits, (gradient,) = self.logits_and_gradients(images, [loss], aims=aims)
        return logits, gradient

    def logits_and_gradients(
        self, images: Tensor, losses: Sequence[Loss], *, aims: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """(logits N×K, the gradient N×C×H×W of each loss): one pass there, one back for each."""
        paid = self._paid(len(images), 1 + len(losses))
        logits, gradients = self._victim.gradients(
            images, self.labels if aims is None else aims, losses
        )
        self._seen(images, logits, gradients, paid)
        return logits, gradients

    def clean_logits(self) -> Tensor:
        """Logits N×K of the clean images; computed once for all epsilons of a ladder.

        They count as a pass at every epsilon that asks for them: what the algorithm needs there.
        """
        paid = self._paid(len(self), 1)
        logits = self._shared.logits
        if logits is None:
            logits = self._victim.logits(self.images)
            if len(self._shared_rows) == self._shared.rows:
                self._shared.logits = logits
        else:
            logits = logits[self._shared_rows]
        self._count_forward(self._cost(len(self)))
        self._watch(self.images, logits, paid)
        return logits

    def clean_gradient(
        self, loss: Loss = cross_entropy, *, aims: Tensor | None = None
    ) -> Tensor:
        """The gradient at the clean images; computed once for all epsilons of a ladder, and
        counted as `clean_logits` are."""
        paid = self._paid(len(self), 2)
        known = self._shared.by_loss.get(loss)
        if known is None:
            known = self._victim.gradient(
                self.images, self.labels if aims is None else aims, loss
            )
            if len(self._shared_rows) == self._shared.rows:
                self._shared.by_loss[loss] = known
        else:
            known = (known[0][self._shared_rows], known[1][self._shared_rows])
        self._seen(self.images, known[0], [known[1]], paid)
        return known[1]

    def kept(self) -> Tensor | None:
        """The rows to go on with, where leaving the broken ones behind saves work, else None.

        Where reading a value makes the host wait, only one call in a few looks.
        """
        if not self._victim.rowwise or self._to_the_end:
            return None
        self._log.looks += 1
        if reading_waits(self.images.device) and self._log.looks % _LOOK_EVERY:
            return None
        standing = self._standing().nonzero()[:, 0]
        device = self.images.device
        fewer = self._victim.computed(device, len(standing))
        return standing if fewer < self._victim.computed(device, len(self)) else None

    def open_rows(self) -> Tensor:
        """The rows whose best iterate a further one may replace."""
        standing = self._standing()
        return (torch.ones_like(standing) if self._goes_on else standing).nonzero()[:, 0]

    def select(self, rows: Tensor, *, alone: bool = False) -> Query:
        """The same view on some of its rows. One that stands `alone` raises OutOfBudgetError as
        soon as none of its own rows can pay, for a caller that goes on with others."""
        return Query(
            self._victim, self.images[rows], self.labels[rows], epsilon=self.epsilon,
            norm=self.norm, smallest=self._smallest, log=self._log, rows=self._rows[rows],
            shared=self._shared, shared_rows=self._shared_rows[rows],
            to_the_end=self._to_the_end, alone=alone or self._alone,
        )

    def note_gradient(self, gradient: Tensor, standing: Tensor | None = None) -> None:
        """Take note of which rows have a gradient N×C×H×W that is not zero everywhere, of those
        that were `standing` when it was asked for; for an attack that adds up its gradients.

        Raises VictimError where one is not finite: an attack would lose its way unseen.
        """
        size = gradient.flatten(1).abs().amax(dim=1)
        self._victim.note_gradients(~torch.isfinite(size) & self._working())
        standing = self._standing() if standing is None else standing
        self._log.gradient_seen[self._rows] |= standing
        self._log.gradient_alive[self._rows] |= (size != 0) & standing

    def _paid(self, passes: int, cost: int) -> Tensor | None:
        """Which rows can pay for passes of so many images, each of `cost` propagations; None where
        there is no limit.

        A row that cannot ends there: it is computed on for the others' sake, but neither counted
        nor watched. Raises OutOfBudgetError once no image, of this view or (unless it stands
        alone) another, is left.
        """
        log = self._log
        if log.propagations is None:
            return None
        log.end(self._rows, self._times(passes) * cost)
        paid = ~log.ended
        left = paid if self._goes_on else paid & ~log.found
        if not bool((left[self._rows] if self._alone else left).any()):
            raise OutOfBudgetError
        return paid[self._rows]

    def _seen(
        self, images: Tensor, logits: Tensor, gradients: Sequence[Tensor], paid: Tensor | None
    ) -> None:
        cost = self._cost(len(images))
        self._count_forward(cost)
        for gradient in gradients:
            self._count_backward(cost)
            self.note_gradient(gradient)
        self._watch(images, logits, paid)

    def _count_forward(self, cost: Tensor) -> None:
        self._log.forwards[self._rows] += cost

    def _count_backward(self, cost: Tensor) -> None:
        self._log.backwards[self._rows] += cost

    def _cost(self, passes: int) -> Tensor:
        working = self._working()
        if self._log.propagations is not None:
            working = working & ~self._log.ended[self._rows]
        return working.to(torch.int32) * self._times(passes)

    def _times(self, passes: int) -> int:
        """How many passes of each image a batch of so many is."""
        return -(-passes // max(len(self), 1)) * self._victim.draws

    def _working(self) -> Tensor:
        """The rows that what is spent counts for: what is spent on an image that is broken
        already depends on its batch, so it is left out."""
        return self._log.found.new_ones(len(self)) if self._goes_on else self._standing()

    @property
    def _goes_on(self) -> bool:
        """Whether a broken image is attacked further."""
        return self._smallest or self._to_the_end

    def _standing(self) -> Tensor:
        return ~self._log.found[self._rows]

    def _verdict(self, images: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, where they break the image): those of the network itself, in float32, where a
        success hangs on it.

        While an attack in a ball goes on where reading a value makes the host wait, an arranged
        network is not left for the doubtful ones: they do not count as broken yet.
        """
        fooled = broken(logits, self.labels)
        low, waits = self._victim.precision != "float32", reading_waits(images.device)
        nothing_to_ask = not low and not waits and not bool(fooled.any())
        if self._victim.is_exact or nothing_to_ask:
            return logits, fooled
        doubtful = self._victim.in_doubt(logits)
        going_on = not self._log.judging and not self._smallest
        if self._victim.draws == 1 and not low and going_on and waits:
            return logits, fooled & ~doubtful
        logits = self._victim.confirmed(
            images, logits, fooled | doubtful if low else fooled & doubtful
        )
        return logits, broken(logits, self.labels)

    def _watch(self, images: Tensor, logits: Tensor, paid: Tensor | None) -> None:
        logits, fooled = self._verdict(images, logits)
        keep_better(
            self._log, self._rows, self.images, images, logits, self.labels, fooled,
            epsilon=self.epsilon, norm=self.norm, smallest=self._smallest,
            to_the_end=self._to_the_end, paid=paid,
        )
