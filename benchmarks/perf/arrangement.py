"""What each step of a network's arrangement is worth: its time over that of the network itself.

Forward passes, and passes there and back to the pixels, of the network as it is (frozen), arranged
without packed weights, and arranged; in turns in one process, each in batches of `--rows`. A ratio
is the median over the turns; "packed" is the arranged over that without packed weights, where there
are any.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from unittest import mock

import torch
from torch import Tensor, nn

import robench
from robench.arrangement import arranged, channels_last

CASES = ["resnet18:32", "resnet18:64", "meddef:64", "drsn-tvl:32", "small-cnn:28"]


def there(network: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        network(images)


def and_back(network: nn.Module, images: Tensor) -> None:
    leaf = images.detach().requires_grad_(True)
    torch.autograd.grad(network(channels_last(leaf)).logsumexp(dim=1).sum(), leaf)


def ratios(
    networks: dict[str, nn.Module], images: Tensor, work: Callable[[nn.Module, Tensor], None],
    repeats: int,
) -> dict[str, float]:
    """The median of each network's seconds, over those of the first of them."""
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for turn in range(repeats + 1):
        for name, network in networks.items():
            started = time.perf_counter()
            work(network, images)
            if turn:  # the first one lays out weights and makes kernels
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    first = next(iter(medians.values()))
    return {name: median / first for name, median in medians.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=CASES, help="MODEL:PIXELS")
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--repeats", type=int, default=9)
    asked = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
          f"median of {asked.repeats}\n")
    print("| network | rows | arranged, there | and back | packed, there | and back |\n"
          "|---|---:|---:|---:|---:|---:|")
    for case in asked.cases:
        name, side = case.split(":")
        network = robench.model(name, num_classes=10, image_size=int(side), in_channels=1)
        network = network.eval().requires_grad_(False)
        for rows in asked.rows:
            images = channels_last(torch.rand(rows, 1, int(side), int(side)))
            with mock.patch("robench.arrangement.with_packed_weights", return_value=None):
                unpacked = arranged(network, images)
            whole = arranged(network, images)
            assert unpacked is not None
            assert whole is not None
            told = [ratios({"as it is": network, "unpacked": unpacked, "whole": whole}, images,
                           work, asked.repeats) for work in (there, and_back)]
            cells = [f"{each['whole']:.2f}" for each in told]
            cells += [f"{each['whole'] / each['unpacked']:.2f}" for each in told]
            print(f"| {name}, {side} pixels | {rows} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
