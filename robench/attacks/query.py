"""What an attack sees of a victim: every pass is counted, every iterate is watched.

An attack may call the view like a network, ask it for gradients, and narrow it to some rows. The
view remembers, for each image, the best valid iterate it was shown, so no attack has to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robench.attacks.doubts import WAITING, Doubt
from robench.attacks.glance import Glance
from robench.attacks.keeping import Shown, keep_better
from robench.attacks.losses import broken, cross_entropy, margin
from robench.attacks.view import View
from robench.device import reading_waits
from robench.precision import Precision
from robench.victim import Loss


class Query(View):
    """A victim as an attack sees it, for the images and labels of its rows."""

    def __call__(self, images: Tensor) -> Tensor:
        """Logits N×K of one candidate per image, with a graph where grad mode is on, to go back
        through once; for more gradients of a pass there is `logits_and_gradients`.

        A batch of another length is computed and counted, evenly, but not watched.
        """
        graph = images.requires_grad and torch.is_grad_enabled()
        paid = self._paid(len(images), 2 if graph else 1)
        cost = self._cost(len(images))
        if graph and len(self) in (1, len(images)):
            standing = self.standing()
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
        self, images: Tensor, losses: Sequence[Loss], *, aims: Tensor | None = None,
        ways: Tensor | None = None, precision: Precision | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """(logits N×K, the gradient N×C×H×W of each loss): one pass there, one back for each; in
        `precision`, or that of the victim's gradients.

        Where an image asks for the first few losses alone, so many `ways` of length N: its further
        gradients are computed for the others' sake, and neither counted nor noted.
        """
        paid = self._paid(len(images), 1 + (len(losses) if ways is None else ways))
        logits, gradients = self._victim.gradients(
            images, self.labels if aims is None else aims, losses, precision=precision
        )
        self._seen(images, logits, gradients, paid, ways=ways)
        return logits, gradients

    def until(
        self, candidates: Tensor, stops: Callable[[Tensor], Tensor]
    ) -> tuple[int, Tensor]:
        """Shows M candidates of each image, M×N×C×H×W, one query after the other up to the first
        where an image that is not broken has one that is better than its best so far, or that
        `stops` holds of: logits M·N×K, those of a query together, → boolean of length M·N.

        Gives the place of the last query and its logits N×K. All M are computed in one pass, but
        what is behind the last is as if it had not been asked: neither counted nor watched.
        """
        count = len(candidates)
        if count == 1:
            return 0, self.logits(candidates[0])
        if self._log.propagations is not None:
            raise ValueError(f"candidates: got {count} queries ahead, expected 1 on a budget")
        every = self._victim.logits(candidates.flatten(0, 1))
        labels, best = (each.repeat(count) for each in (self.labels, self._log.margin[self._rows]))
        stopped = stops(every) | (margin(every, labels) < best) | broken(every, labels)
        places = (stopped.view(count, -1) & self._working()).any(dim=1).tolist()
        last = places.index(True) if True in places else count - 1
        logits = every.view(count, len(self), -1)[last]
        self._count_forward(self._cost(len(self)) * (last + 1))
        self._watch(candidates[last], logits, None)
        return last, logits

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

    def note_gradient(self, gradient: Tensor, standing: Tensor | None = None) -> None:
        """Take note of which rows have a gradient N×C×H×W that is not zero everywhere, of those
        that were `standing` when it was asked for; for an attack that adds up its gradients.

        Raises VictimError where one is not finite: an attack would lose its way unseen.
        """
        self._note([gradient], self.standing() if standing is None else standing)

    def _note(
        self, gradients: Sequence[Tensor], standing: Tensor, *, ways: Tensor | None = None
    ) -> None:
        sizes = torch.stack([each.flatten(1).abs().amax(dim=1) for each in gradients])
        if ways is not None:
            number = torch.arange(len(sizes), device=sizes.device)[:, None]
            sizes = sizes.masked_fill(number >= ways, 0.0)
        finite = torch.isfinite(sizes).all(dim=0)
        self._victim.note_gradients(~finite & self._working())
        standing = self._awake(standing)
        self._log.gradient_seen[self._rows] |= standing
        self._log.gradient_alive[self._rows] |= (sizes != 0).any(dim=0) & standing

    def _seen(
        self, images: Tensor, logits: Tensor, gradients: Sequence[Tensor], paid: Tensor | None,
        *, ways: Tensor | None = None,
    ) -> None:
        cost = self._cost(len(images))
        self._count_forward(cost)
        if gradients:
            self._count_backward(cost * (len(gradients) if ways is None else ways.to(cost.dtype)))
            self._note(gradients, self.standing(), ways=ways)
        self._watch(images, logits, paid)

    def kept(self, *, waiting: bool = False) -> Tensor | None:
        if waiting:
            self.ask_about_doubts()
        return super().kept(waiting=waiting)

    def note_unstarted(self, rows: Tensor) -> None:
        self.ask_about_doubts()
        super().note_unstarted(rows)

    def ask_about_doubts(self, *, waiting: int = 0) -> None:
        """Ask the network itself about the iterates whose verdicts hang on it, but for those of
        the last `waiting` passes that the host does not know yet; or about those of all `waiting`
        later, where a network's random numbers hang on when it is asked."""
        doubts, punctual = self._log.doubts, self._victim.is_random
        while doubts and (
            len(doubts) > waiting or (not punctual and doubts[0].asked.arrived())
        ):
            doubt = doubts.pop(0)
            rows = doubt.asked.told().rows
            if len(rows):
                doubt.view.select(rows)._ask_again(
                    doubt.candidates[rows], doubt.logits[rows],
                    forwards=doubt.forwards[rows], backwards=doubt.backwards[rows],
                )

    def _ask_again(
        self, images: Tensor, logits: Tensor, *, forwards: Tensor, backwards: Tensor
    ) -> None:
        """Ask the network itself about candidates, and take note of them as of when they had cost
        so much."""
        logits = self._victim.asked_again(images, logits)
        paid = torch.ones_like(self.labels, dtype=torch.bool)  # only such iterates are in doubt
        fooled = broken(logits, self.labels)
        self._keep(self._shown(images), logits, fooled, paid=paid, forwards=forwards)
        if not self._goes_on:  # what was counted since then was spent on a broken image
            log, rows = self._log, self._rows
            first = log.found[rows] & (log.first_success[rows] == forwards)
            for column, then in ((log.forwards, forwards), (log.backwards, backwards)):
                column[rows] = torch.where(first, then, column[rows])

    def _asks_later(self) -> bool:
        """Whether verdicts that hang on the network itself can wait until the host knows which:
        where it would have to wait for that. In a ball the few iterates in doubt in float32 are
        left aside, unless the network draws random numbers, which puts all of them in doubt."""
        victim = self._victim
        if not reading_waits(self.images.device) or self._log.judging or victim.is_exact:
            return False
        low = victim.precision != "float32"
        return self._smallest or self._to_the_end or low or victim.is_random

    def _asked(self, shown: Shown, logits: Tensor, fooled: Tensor) -> Tensor:
        """Where a verdict hangs on the network itself, in float32, and something on the verdict;
        what a network draws hangs on how often it is asked, so that it is asked of all."""
        doubtful = self._victim.in_doubt(logits)
        low = self._victim.precision != "float32"
        asked = fooled | doubtful if low else fooled & doubtful
        return asked if self._victim.is_random else asked & self._matters(shown, logits)

    def _verdict(self, shown: Shown, logits: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, where they break the image): those of the network itself, in float32, where a
        success hangs on it.

        While an attack in a ball goes on where reading a value makes the host wait, an arranged
        network is not left for the doubtful ones: they do not count as broken yet.
        """
        fooled = broken(logits, self.labels)
        low, waits = self._victim.precision != "float32", reading_waits(logits.device)
        nothing_to_ask = not low and not waits and not bool(fooled.any())
        if self._victim.is_exact or nothing_to_ask:
            return logits, fooled
        going_on = not self._log.judging and not self._smallest
        if not low and going_on and waits:
            return logits, fooled & ~self._victim.in_doubt(logits)
        asked = self._asked(shown, logits, fooled)
        logits = self._victim.confirmed(shown.candidates, logits, asked)
        return logits, broken(logits, self.labels)

    def _watch(self, images: Tensor, logits: Tensor, paid: Tensor | None) -> None:
        shown = self._shown(images)
        if self._asks_later():
            fooled = broken(logits, self.labels)
            counted = self._awake(torch.ones_like(fooled) if paid is None else paid)
            asked = counted & self._asked(shown, logits, fooled)
            self._log.doubts.append(Doubt(
                self, images.clone(), logits, self._log.forwards[self._rows],
                self._log.backwards[self._rows], Glance(asked),
            ))
            self._keep(shown, logits, fooled, paid=counted & ~asked)
            self.ask_about_doubts(waiting=WAITING)
            return
        logits, fooled = self._verdict(shown, logits)
        if self._resting is not None:
            paid = self._awake(torch.ones_like(fooled) if paid is None else paid)
        self._keep(shown, logits, fooled, paid=paid)

    def _shown(self, images: Tensor) -> Shown:
        return Shown.of(
            images, self.images, epsilon=self.epsilon, norm=self.norm, smallest=self._smallest
        )

    def _matters(self, shown: Shown, logits: Tensor) -> Tensor:
        """Of which candidates the verdict says whether they are kept."""
        may = shown.may_be_kept(
            self._log, self._rows, smallest=self._smallest, to_the_end=self._to_the_end
        )
        if not self._to_the_end:
            return may
        least = margin(logits, self.labels) - self._victim.rounding(logits)
        return may & (least < self._log.margin[self._rows])

    def _keep(
        self, shown: Shown, logits: Tensor, fooled: Tensor, *, paid: Tensor | None = None,
        forwards: Tensor | None = None,
    ) -> None:
        keep_better(
            self._log, self._rows, shown, logits, self.labels, fooled, smallest=self._smallest,
            to_the_end=self._to_the_end, paid=paid, forwards=forwards,
        )
