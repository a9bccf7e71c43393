"""Every parameter count that the papers print, against the networks that robench builds.

Counts are in millions with two decimals. `NOT_MET` lists those that cannot be met, and why; a
test sees to it that nothing stands there that is met after all.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from robench.defenses.pruning import prune_l1
from robench.registry import Registry
from robench.resources import registry_folder

NOT_DESCRIBED = "the paper does not describe this network's layers"
WITHOUT_CLASSIFIER = (
    "it is that of ResNet-34 without its classifier: unpruned 21,284,672, and 21.29 M with one"
)
# Of the network without its classifier 10,225,495 and 4,100,412 parameters are left; with it more.
LEFT_OVER = "with 48 and 19.2 % of the convolutions' weights, 10.23 and 4.10 M are left, not fewer"
FEATURES_ONLY = (
    "leaves out EfficientNet-B7; the units and the head alone have 10.83 M here, a configuration "
    "that is ours, since the paper prints none"
)
CLASSES = {"roct": 4, "chest_xray_kermany": 2, "unspecified": 4, "mnist": 10, "cifar10": 10,
           "nih_cxr14": 15, "fundoscopy_kaggle_dr": 5, "ham10000": 7, "aptos2019": 5}
NAMES = {
    "meddef_full": "meddef", "meddef_wo_afd": "meddef-wo-afd",
    "meddef_wo_afd_mfe": "meddef-wo-afd-mfe", "meddef_wo_afd_mfe_msf": "meddef-wo-afd-mfe-msf",
    "unnamed_cnn_11m": "resnet18", "resnet18": "resnet18", "resnet34": "resnet34",
    "drsn_tvl": "drsn-tvl",
}
NOT_MET = {
    ("resnet34", "0", "*"): WITHOUT_CLASSIFIER,
    ("resnet34", "0.2", "nih_cxr14"): WITHOUT_CLASSIFIER,
    ("resnet34", "0.4", "*"): LEFT_OVER,
    ("resnet34", "0.6", "*"): LEFT_OVER,
    ("resnet34", "0.8", "*"): WITHOUT_CLASSIFIER,
    ("drsn_tvl", "", "*"): FEATURES_ONLY,
    ("cnn", "", "*"): NOT_DESCRIBED,
    ("dnn", "", "*"): NOT_DESCRIBED,
    ("transformer", "", "*"): NOT_DESCRIBED,
}


@dataclass(frozen=True)
class Printed:
    """A printed count: `model` unpruned, `rate` as the paper writes it."""

    paper: str
    dataset: str
    model: str
    rate: str
    millions: float

    @property
    def why_not(self) -> str | None:
        """Why it cannot be met, None where it is."""
        return NOT_MET.get((self.model, self.rate, self.dataset)) or NOT_MET.get(
            (self.model, self.rate, "*")
        )


def printed() -> list[Printed]:
    with (registry_folder() / "published" / "published.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "params_m"]
    found = {
        Printed(row["paper"], row["dataset"], row["model"].removeprefix("prune_"),
                row["pruning_rate"], float(row["value"]))
        for row in rows
    }
    return sorted(found, key=str)


def built(name: str, classes: int, device: str) -> nn.Module:
    entry = Registry.discover().get("model", name)
    with torch.device(device):
        return entry.load()(num_classes=classes, in_channels=3, image_size=(224, 224),
                            **entry.card.params)


@cache
def pruned_away(name: str, rate: str) -> int:
    """How many weights of the convolutions are zero at a rate of Chen et al.

    They apply their rates one after another to the same network: 0.6 means that 80 % of 60 % of
    40 % of each convolution's weights are left.
    """
    steps = [step for step in (0.2, 0.4, 0.6, 0.8) if rate and step <= float(rate)]
    if not steps:
        return 0
    network = built(name, 2, "cpu")
    prune_l1(network, rate=1 - math.prod(1 - step for step in steps), scope="layerwise",
             layers="conv")
    return sum(int((layer.weight == 0).sum()) for layer in network.modules()
               if isinstance(layer, nn.Conv2d))


@cache
def left(name: str, classes: int, rate: str) -> int:
    """Parameters at 224 pixels that pruning has left."""
    whole = sum(weight.numel() for weight in built(name, classes, "meta").parameters())
    return whole - pruned_away(name, rate)


def met(count: Printed, *, with_classifier: bool = True) -> bool:
    name, classes = NAMES.get(count.model), CLASSES[count.dataset]
    if name is None:
        return False
    classifier = 0 if with_classifier else 512 * classes + classes
    return round((left(name, classes, count.rate) - classifier) / 1e6, 2) == count.millions


def test_the_table_is_whole() -> None:
    found = printed()
    assert len(found) == 44
    assert {count.why_not for count in found} == {None, *NOT_MET.values()}


def _cases() -> list[Any]:
    """Those that prune a network several times over are slow."""
    return [
        pytest.param(count, id=f"{count.dataset}-{count.model}-{count.rate}",
                     marks=[pytest.mark.slow] if float(count.rate or 0) >= 0.4 else [])
        for count in printed()
    ]


@pytest.mark.parametrize("count", _cases())
def test_a_printed_count_is_met_or_it_is_said_why_not(count: Printed) -> None:
    assert met(count) == (count.why_not is None), count.why_not
    if count.why_not == WITHOUT_CLASSIFIER:
        assert met(count, with_classifier=False)


def test_what_is_said_of_resnet34_is_so() -> None:
    heads = {classes: 512 * classes + classes for classes in (15, 5, 7)}
    for classes, head in heads.items():
        bare = {rate: left("resnet34", classes, rate) - head for rate in ("0", "0.2", "0.4", "0.6")}
        assert [round(bare[rate] / 1e6, 2) for rate in bare] == [21.28, 17.03, 10.23, 4.10]
        assert bare["0"] == 21_284_672
