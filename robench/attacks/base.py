"""The protocol of an attack: an author writes `perturb`, everything else is done here."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from robench.attacks.balls import Norm, distances
from robench.attacks.checks import (
    check_batch,
    check_epsilons,
    check_labels,
    check_tensors,
    content_ids,
)
from robench.attacks.draws import Draws
from robench.attacks.judging import fitted, judge
from robench.attacks.log import Clean, Log, OutOfBudgetError
from robench.attacks.losses import broken, margin
from robench.attacks.query import Query
from robench.attacks.result import AttackResult
from robench.attacks.settings import check_steps
from robench.attacks.warned import warn_of
from robench.freezing import frozen
from robench.victim import Loss, Victim


class Attack(ABC):
    """An evasion attack.

    A subclass states `norm`, `budget` ("fixed": stays in a ball; "minimum": looks for the
    smallest perturbation, run once for all epsilons) and `access` ("gradient", "scores",
    "decision"), takes its settings as keyword-only constructor parameters, and implements
    `perturb`. Settings that are no attack are refused with a ValueError by the constructor.
    """

    name: str = ""
    norm: Norm = "linf"
    budget: Literal["fixed", "minimum"] = "fixed"
    access: Literal["gradient", "scores", "decision"] = "gradient"
    version: ClassVar[int] = 1
    bounded: ClassVar[bool] = True
    """Whether what it does to an image is measured by its norm; an epsilon says nothing else."""
    propagations: int | None = None
    """How many forwards and backwards may be spent on an image at one epsilon; None for any."""
    learns: ClassVar[bool] = False
    """Whether it must `fit`, on other images than those it is judged on, before it attacks."""
    images: int = 1000
    """How many images a run fits it on, where it learns."""

    @property
    def clean_loss(self) -> Loss | None:
        """The loss whose gradient at the clean images the attack begins with, or None.

        Where there is one, the clean pass and that gradient are one pass.
        """
        return None

    def members(self, num_classes: int) -> tuple[str, ...]:
        """What an ensemble has to run on a network of so many classes, in this order; else
        nothing."""
        return ()

    @abstractmethod
    def perturb(
        self, victim: Query, images: Tensor, labels: Tensor, *, epsilon: float, random: Draws
    ) -> Tensor:
        """Candidates N×C×H×W for `images` float32 N×C×H×W in [0,1] with `labels` int64 N.

        `victim(images)` gives logits; `victim.gradient(images, loss)` the gradient of a loss.
        All `images` are right before the attack. What is returned is projected and judged, and
        so was every iterate that `victim` was shown: the best one is kept. `epsilon` is infinite
        for a minimum-norm attack. Take random numbers only from `random`.
        """

    def spending(self, propagations: int) -> Self:
        """This attack, which may spend that many forwards and backwards on an image at one
        epsilon and is then ended: its best iterate so far counts (evaluation rule F4).

        Raises ValueError unless it is a whole number ≥ 1.
        """
        self.propagations = check_steps(propagations, "budget")
        return self

    def fit(
        self, model: nn.Module, images: Tensor, labels: Tensor, *, epsilons: Sequence[float],
        seed: int = 0,
    ) -> Self:
        """Learn at each of `epsilons` from images that the attack is not judged on; see
        `robench.attacks.learning`. Raises ValueError for an attack that does not learn."""
        raise ValueError(f"{self.name or type(self).__name__} learns nothing: call it without fit")

    def check_ready(  # noqa: B027 (only attacks that learn have something to check)
        self, images: Tensor, epsilons: Sequence[float]
    ) -> None:
        """Raise ValueError where an attack that learns was not fitted for these."""

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        epsilons: Sequence[float] | None = None,
        image_ids: Sequence[str] | None = None,
        seed: int = 0,
        ladder: bool = True,
    ) -> list[AttackResult]:
        """Attack `model` at each of `epsilons`; one result per epsilon, in their order.

        A minimum-norm attack needs none: None gives one result, at an infinite epsilon.

        `model` maps float32 pixels N×C×H×W in [0,1] to logits N×K (or N×1), `labels` are
        integers of length N. Images that are wrong before the attack are left as they are. With
        `ladder`, an image broken at a smaller epsilon is not attacked again at a larger one.
        Random draws are keyed by `seed` and `image_ids` (by default the hash of each image).
        The model's mode, buffers and gradients are as before afterwards. Warns (MaskingWarning)
        where the gradient was zero for every image, and (UnattackedWarning) where an attack found
        nothing to begin with. Raises ValueError for unfit images, labels or
        epsilons, VictimError for logits or gradients that are not finite, and whatever the model
        raises.
        """
        check_tensors(images, labels)
        victim = model if isinstance(model, Victim) else Victim(model)
        device = next(iter([*model.parameters(), *model.buffers()]), images).device
        with torch.inference_mode(False), frozen(victim):
            inputs, truth = (
                (each.clone() if each.is_inference() else each.detach()).to(device)
                for each in (images, labels)
            )
            check_batch(inputs, truth)
            truth = truth.long()
            asked = check_epsilons(
                epsilons, needed=self.budget != "minimum", norm=self.norm, bounded=self.bounded
            )
            steps = sorted(set(asked))
            names = content_ids(images) if image_ids is None else list(image_ids)
            check_batch(inputs, truth, image_ids=names)
            self.check_ready(inputs, steps)
            if victim is model:
                victim.renew(inputs)
            else:
                victim.arrange(inputs)
            logits, gradient = self._clean_pass(victim, inputs, truth)
            victim.settle()
            logits = victim.confirmed(inputs, logits, victim.in_doubt(logits))
            right = (~broken(logits, truth)).nonzero()[:, 0]
            # Where rows depend on their mates, the wrong ones must stay for the others' sake.
            rows = right if victim.rowwise else torch.arange(len(inputs), device=device)
            climbed = self.climb(
                victim, inputs[rows], truth[rows], epsilons=steps, seed=seed, ladder=ladder,
                image_ids=[names[row] for row in rows.tolist()],
                clean=self._shared(logits[rows], None if gradient is None else gradient[rows]),
            )
        if not victim.rowwise:
            climbed = [result.select(right) for result in climbed]
        warn_of(climbed, name=self.name or type(self).__name__, stacklevel=2)
        untouched = AttackResult.untouched(
            inputs, logits.argmax(dim=1), margin(logits, truth), epsilon=0.0
        )
        found = {result.epsilon: untouched.with_rows(right, result) for result in climbed}
        return [found[epsilon] for epsilon in asked]

    def climb(
        self,
        victim: Victim,
        images: Tensor,
        labels: Tensor,
        *,
        epsilons: Sequence[float],
        image_ids: Sequence[str],
        seed: int,
        ladder: bool,
        clean: Clean | None = None,
        to_the_end: bool = False,
    ) -> list[AttackResult]:
        """The ladder on images that are all right before the attack; `epsilons` ascend.

        With `to_the_end`, for images that other victims are to be shown, an attack with a fixed
        budget does not stop at an image that is broken, and the iterate that the victim gets most
        wrong is kept: the first that breaks it stands on this victim's boundary, where others
        need not be wrong.

        `victim` is frozen and on the images' device. For callers that have checked what
        `__call__` checks and know the clean predictions. For a victim that is not `rowwise`,
        pass the wrong images too, and leave out their results. `clean`: what is known already of
        the passes at these images.
        """
        self.check_ready(images, epsilons)
        if len(images) == 0:
            nothing = torch.zeros(0, device=images.device)
            return [
                AttackResult.untouched(images, nothing.long(), nothing, epsilon=epsilon)
                for epsilon in epsilons
            ]
        shared = clean or Clean(rows=len(images))
        if self.budget == "minimum":
            return self._thresholded(victim, images, labels, epsilons, image_ids, seed, shared)
        results: list[AttackResult] = []
        for epsilon in epsilons:
            standing = torch.arange(len(images), device=images.device)
            if ladder and results:
                standing = standing[~results[-1].success]
            rows = standing if victim.rowwise else torch.arange(len(images), device=images.device)
            attempt = self._attempt(
                victim, images[rows], labels[rows], epsilon=epsilon, seed=seed,
                image_ids=[image_ids[row] for row in rows.tolist()], shared=shared, rows=rows,
                to_the_end=to_the_end,
            )
            if ladder and results:
                new = attempt if victim.rowwise else attempt.select(standing)
                attempt = results[-1].with_rows(standing, new)
            results.append(attempt)
        return results

    def _clean_pass(
        self, victim: Victim, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """(logits, gradient of the `clean_loss` if there is one); ValueError for unfit labels."""
        loss = self.clean_loss
        if loss is None or not len(images) or victim.precision != "float32":
            logits = victim.logits(images)
            check_labels(labels, num_classes=logits.shape[1])
            return logits, None

        def checked_loss(logits: Tensor, truth: Tensor) -> Tensor:
            check_labels(truth, num_classes=logits.shape[1])
            return loss(logits, truth)

        return victim.gradient(images, labels, checked_loss)

    def _shared(self, logits: Tensor, gradient: Tensor | None) -> Clean:
        loss = self.clean_loss
        known = {} if loss is None or gradient is None else {loss: (logits, gradient)}
        return Clean(rows=len(logits), logits=logits, by_loss=known)

    def _ran(self, numbers: Sequence[int], num_classes: int) -> tuple[str, ...]:
        names = self.members(num_classes) if numbers else ()
        return tuple(names[number] for number in numbers)

    def _thresholded(
        self, victim: Victim, images: Tensor, labels: Tensor, epsilons: Sequence[float],
        image_ids: Sequence[str], seed: int, shared: Clean,
    ) -> list[AttackResult]:
        """One search for the smallest perturbation, read off at every epsilon."""
        rows = torch.arange(len(images), device=images.device)
        once = self._attempt(
            victim, images, labels, epsilon=float("inf"), seed=seed, image_ids=image_ids,
            shared=shared, rows=rows,
        )
        known = victim.logits(images) if shared.logits is None else shared.logits
        part = replace(once, seconds=once.seconds / len(epsilons))
        clean = margin(known, labels)
        return [
            part.within(epsilon, images=images, labels=labels, margin=clean)
            for epsilon in epsilons
        ]

    def _attempt(
        self, victim: Victim, images: Tensor, labels: Tensor, *, epsilon: float, seed: int,
        image_ids: Sequence[str], shared: Clean, rows: Tensor, to_the_end: bool = False,
    ) -> AttackResult:
        started = time.perf_counter()
        log = Log.start(images, propagations=self.propagations)
        every = torch.arange(len(images), device=images.device)
        query = Query(
            victim, images, labels, epsilon=epsilon, norm=self.norm,
            smallest=self.budget == "minimum", log=log, rows=every,
            shared=shared, shared_rows=rows, to_the_end=to_the_end,
        )
        if len(images):
            draws = Draws.keyed(
                image_ids, seed=seed, attack=self.name or type(self).__name__,
                device=images.device, listed=log.listed,
            )
            written = images._version
            try:
                with torch.enable_grad():
                    returned = self.perturb(query, images, labels, epsilon=epsilon, random=draws)
            except OutOfBudgetError:
                returned = log.best.clone()
            query.ask_about_doubts()
            masked = bool((log.gradient_seen & ~log.gradient_alive).any())  # it stands still
            if bool(log.ended.any()) and not masked and not bool(log.tried.any()):
                raise ValueError(f"budget: got {self.propagations}, expected more: {self.name} "
                                 "could try nothing but the images themselves")
            ended = log.ended  # where the attack could not go on, its best iterate so far stands
            log.propagations, log.judging = None, True  # judging is not the attack's to pay
            if images._version != written:
                raise ValueError(f"{type(self).__name__}.perturb changed the clean images in place")
            minimum = self.budget == "minimum"
            inside = fitted(returned, images, None if minimum else epsilon, self.norm,
                            name=type(self).__name__)
            judge(
                query, log, torch.where(ended[:, None, None, None], log.best, inside),
                norm=self.norm, minimum=minimum, projected=~ended,
            )
        victim.settle()
        return AttackResult(
            epsilon=epsilon, adversarial=log.best, success=log.found, prediction=log.prediction,
            margin=log.margin, distance=distances(images, log.best, self.norm),
            forwards=log.forwards, backwards=log.backwards, first_success=log.first_success,
            gradient_dead=log.gradient_seen & ~log.gradient_alive, unstarted=log.unstarted,
            seconds=time.perf_counter() - started, members=self._ran(log.ran, victim.num_classes),
        )
