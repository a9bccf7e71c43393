"""Walks a plan: trains what is not trained, attacks what is not attacked, keeps what is made."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any, cast

import torch

from robench import outcomes
from robench.data import Dataset
from robench.errors import StoreError, UserError
from robench.plan import Cell, Ladder, Plan, Target
from robench.precision import Precision
from robench.registry import Registry
from robench.runner.bench import Bench, set_up, shrinker
from robench.runner.checkpoints import Checkpoints
from robench.runner.crafting import Made, craft, images_to_attack
from robench.runner.events import Listener
from robench.runner.networks import new_attack, target_network, try_everything
from robench.runner.replay import Shown, replay
from robench.store import Store


@dataclass
class Walk:
    """One process at work on a plan."""

    plan: Plan
    datasets: Mapping[str, Dataset]
    store: Store
    registry: Registry
    listener: Listener
    device: torch.device
    batch_size: int
    made: int = field(default=0, init=False)

    def check(self) -> None:
        """Raise UserError, before anything is made, for what cannot work."""
        if self._precision == "tf32" and self.device.type != "cuda":
            raise UserError("precision", where=self.plan.matrix.source, got="tf32",
                            expected=f"bfloat16 or float32 on {self.device.type}")
        try_everything(self._todo(), self.datasets, self.registry)

    def run(self) -> None:
        """Make every missing cell; what fails is recorded in the store, and the rest goes on.

        Raises StoreError where the store cannot be written.
        """
        busy = self._pass(self._todo(), wait=False)
        if busy:
            self.listener.waiting(busy[0].label)
            self._pass(busy, wait=True)

    def _pass(self, ladders: Iterable[Ladder], *, wait: bool) -> list[Ladder]:
        """Go through ladders once; gives those that another process is at work on."""
        busy: list[Ladder] = []
        for _, of_network in groupby(ladders, key=lambda ladder: ladder.target.training.key):
            group = list(of_network)
            try:
                trained = self._checkpoints.trained(group[0].target.training, wait=wait)
            except StoreError:
                raise
            except Exception as error:  # one failing training never stops the others
                self._fail(group, error)
                continue
            if trained is None:
                busy += group
                continue
            for _, of_checkpoint in groupby(group, key=lambda ladder: ladder.target.checkpoint):
                busy += self._on_network(list(of_checkpoint), wait=wait)
        return busy

    def _on_network(self, ladders: list[Ladder], *, wait: bool) -> list[Ladder]:
        """Go through the ladders of one checkpoint."""
        try:
            weights = self._checkpoints.of(ladders[0].target, wait=wait)
        except StoreError:
            raise
        except Exception as error:  # one that cannot be trained again never stops the others
            self._fail(ladders, error)
            return []
        if weights is None:
            return ladders
        busy: list[Ladder] = []
        for _, on_target in groupby(ladders, key=lambda ladder: ladder.target.key):
            busy += self._attacks(list(on_target), weights, wait=wait)
        return busy

    def _attacks(self, ladders: list[Ladder], weights: bytes, *, wait: bool) -> list[Ladder]:
        busy: list[Ladder] = []
        bench: Bench | None = None
        for ladder in ladders:
            with self.store.claim(ladder.key, wait=wait) as mine:
                if not mine:
                    busy.append(ladder)
                    continue
                try:
                    if self._missing(ladder):
                        bench = bench or self._bench(ladder.target, weights)
                        self._attack(ladder, bench)
                except StoreError:
                    raise
                except Exception as error:  # one failing attack never stops the others
                    self._fail([ladder], error)
        return busy

    def _bench(self, target: Target, weights: bytes) -> Bench:
        dataset = self.datasets[target.training.dataset.label]
        network, size = target_network(target, weights, dataset, self.registry)
        return set_up(
            target, network, dataset, size=size, device=self.device,
            batch_size=self.batch_size, store=self.store,
            smaller_batch=self.listener.smaller_batch, precision=self._precision,
        )

    @property
    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(self.store, self.datasets, self.registry, self.listener, self.device)

    @property
    def _precision(self) -> Precision:
        return cast(Precision, self.plan.matrix.precision)

    def _attack(self, ladder: Ladder, bench: Bench) -> None:
        known = {
            cell.key: outcomes.from_bytes(content)[0] for cell in ladder.cells
            if (content := self.store.read("outcomes", cell.key)) is not None
        }
        bench.victim.start_counting()  # for each ladder
        shrink = shrinker(bench.victim, self.device, self.listener.smaller_batch)
        if ladder.source is not None:
            missing = [place for place, cell in enumerate(ladder.cells) if cell.key not in known]
            self.listener.attacking(ladder, len(missing) * len(bench.clean))
            sources = [ladder.source.cells[place] for place in missing]
            self._make_images(ladder.source)
            done = replay(
                [ladder.cells[place] for place in missing],
                lambda place: self._images(sources[place]), bench,
                batch_size=self.batch_size, attacked=self.listener.attacked, shrink=shrink,
            )
        else:
            self.listener.attacking(ladder, images_to_attack(ladder, bench, known))
            done = craft(
                ladder, new_attack(ladder.attack, self.registry), bench, known,
                batch_size=self.batch_size, attacked=self.listener.attacked, shrink=shrink,
            )
        made = sum(self._keep(each, bench) for each in done)
        self.listener.finished(ladder, made)

    def _keep(self, done: Made, bench: Bench) -> int:
        """Keep the outcomes of a cell; gives how many are new."""
        if self.store.has("outcomes", done.cell.key):
            return 0
        flags = {*bench.flags, *(["zero-gradient"] if done.gradient_dead else []),
                 *(["no-start"] if done.unstarted else []),
                 *(["non-adaptive"] if done.cell.threat == "grey-box" else [])}
        about: dict[str, Any] = {"seconds": done.seconds, **asdict(bench.size)}
        if bench.victim.precision != "float32":  # one that draws random numbers stays in it
            flags.add(bench.victim.precision)
            about["verdicts"] = {"confirmed": bench.victim.confirmations,
                                 "differed": bench.victim.differed}
        if bench.victim.draws > 1:
            about["draws"] = bench.victim.draws
        if done.members:
            about["members"] = list(done.members)
        about["flags"] = sorted(flags)
        self.store.write("outcomes", done.cell.key, outcomes.to_bytes(done.frame, about))
        self.made += 1
        return 1

    def _images(self, cell: Cell) -> Shown:
        content = self.store.read("adversarial", cell.images_key)
        if content is None:
            raise StoreError(f"the images of {cell.label} were altered or removed meanwhile",
                             where=str(self.store.folder))
        return Shown.from_bytes(content)

    def _make_images(self, source: Ladder) -> None:
        """Keep the images that the attack of a ladder finds at each epsilon, run to its end."""

        def there() -> bool:
            return all(self.store.has("adversarial", cell.images_key) for cell in source.cells)

        if there():
            return
        with self.store.claim(f"{source.key}-images", wait=True):
            if there():
                return
            weights = self._checkpoints.of(source.target, wait=True)
            assert weights is not None  # claimed, and waited for
            bench = self._bench(source.target, weights)
            for done in craft(
                source, new_attack(source.attack, self.registry), bench, {},
                batch_size=self.batch_size, attacked=lambda _: None, for_others=True,
                shrink=shrinker(bench.victim, self.device, self.listener.smaller_batch),
            ):
                assert done.adversarial is not None
                shown = Shown(done.adversarial, done.frame["success"].to_numpy())
                self.store.write("adversarial", done.cell.images_key, shown.to_bytes())

    def _todo(self) -> list[Ladder]:
        return [ladder for ladder in self.plan.ladders if self._missing(ladder)]

    def _missing(self, ladder: Ladder) -> bool:
        return any(not self.store.has("outcomes", cell.key) for cell in ladder.cells)

    def _fail(self, ladders: Iterable[Ladder], error: Exception) -> None:
        told = f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
        for ladder in ladders:
            lost = [cell for cell in ladder.cells if not self.store.has("outcomes", cell.key)]
            for cell in lost:
                self.store.write_failure(
                    cell.key, {"label": cell.label, "error": told, "traceback": trace}
                )
            self.listener.failed(ladder.label, told, len(lost))
