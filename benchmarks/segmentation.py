"""Train U-Net on the masks of an .npz file and report Dice and IoU on its clean test images.

    python benchmarks/segmentation.py --data dsb2018_nuclei_96.npz --width 16 --epochs 10 \
        --out reports/models/segmentation

Writes OUT.md, OUT.json (settings, epochs, scores) and OUT.csv (a row per test image).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import robench
from robench.device import choose
from robench.errors import UserError
from robench.segmentation import MaskEpoch, MaskScores, MaskSplit, evaluate, masks_npz, score, train


def main() -> int:
    asked = _arguments()
    try:
        report, scores = run(asked)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    text = markdown(report)
    Path(f"{asked.out}.md").write_text(text)
    Path(f"{asked.out}.json").write_text(json.dumps(report, indent=1) + "\n")
    scores.images.to_csv(f"{asked.out}.csv", index=False, float_format="%.6f")
    print(text)
    return 0


def run(asked: argparse.Namespace) -> tuple[dict[str, Any], MaskScores]:
    """The report, and the scores of each test image."""
    dataset = masks_npz(asked.data)
    for name in ("train", "test"):
        if getattr(dataset, name) is None:
            raise UserError(f"there is no split '{name}'", where=dataset.name)
    train_split, test = dataset.train, dataset.test
    height, width, channels = train_split.images.shape[1:]
    device, epochs = choose(asked.device), []
    network = robench.model(
        "unet", num_classes=1, image_size=(height, width), in_channels=channels,
        seed=asked.seed, width=asked.width,
    )

    def tell(epoch: MaskEpoch) -> None:
        epochs.append(asdict(epoch))
        found = "-" if epoch.validation_dice is None else f"{epoch.validation_dice:.4f}"
        print(f"epoch {epoch.epoch}/{epoch.epochs}: loss {epoch.loss:.4f}, validation Dice "
              f"{found}, {epoch.seconds:.0f} s", file=sys.stderr, flush=True)

    started = time.perf_counter()
    train(
        network, dataset, device=device, seed=asked.seed, epochs=asked.epochs,
        batch_size=asked.batch_size, learning_rate=asked.learning_rate,
        final_learning_rate=asked.final_learning_rate, progress=tell,
    )
    seconds = time.perf_counter() - started
    scores = evaluate(network, test, device=device)
    settings = {name: value for name, value in vars(asked).items()
                if name not in ("data", "source", "out", "device")}
    return {
        "data": {
            "file": Path(dataset.name).name,
            "sha256": hashlib.sha256(Path(dataset.name).read_bytes()).hexdigest(),
            "images": {name: len(split) for name in ("train", "validation", "test")
                       if (split := getattr(dataset, name)) is not None},
            "image_size": [height, width], "in_channels": channels, "source": asked.source,
        },
        "model": {"name": "unet", "width": asked.width,
                  "parameters": sum(weight.numel() for weight in network.parameters())},
        "settings": {**settings, "optimizer": "Adam", "loss": "BCE + Dice",
                     "schedule": "cosine", "augmentation": "none"},
        "device": "CPU" if device.type == "cpu" else torch.cuda.get_device_name(device),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__,
                     "robench": robench.__version__},
        "training_seconds": round(seconds, 1),
        "epochs": epochs,
        "unet": scores.summary(),
        "all_foreground": _all_foreground(test).summary(),
    }, scores


def markdown(report: dict[str, Any]) -> str:
    """The report for people."""
    data, settings = report["data"], report["settings"]
    best = max((epoch for epoch in report["epochs"] if epoch["selected"]),
               key=lambda epoch: epoch["epoch"])
    count = ", ".join(f"{name} {number}" for name, number in data["images"].items())
    last = report["epochs"][-1]
    return f"""# U-Net on clean images of {data["file"]}

Made by `benchmarks/segmentation.py`. Segmentation of test images that nothing attacked; n = \
{report["unet"]["n"]}.

| prediction | Dice | IoU (mIoU over images) | class-mean IoU |
|---|---:|---:|---:|
| U-Net | {_mean(report["unet"], "dice")} | {_mean(report["unet"], "iou")} | \
{report["unet"]["class_mean_iou"]:.4f} |
| every pixel foreground (baseline) | {_mean(report["all_foreground"], "dice")} | \
{_mean(report["all_foreground"], "iou")} | {report["all_foreground"]["class_mean_iou"]:.4f} |

- **Dice, IoU**: of the foreground of each test image, averaged over images, with the 95 % \
interval of 2,000 bootstrap samples of the images. The intervals say nothing of another seed.
- **Class-mean IoU**: pixels of all images together, the mean of background and foreground.
- **Network**: unet, width {settings["width"]} ({", ".join(
        str(settings["width"] * factor) for factor in (1, 2, 4, 8, 16))} channels; the paper's \
width is 64), {report["model"]["parameters"]:,} parameters.
- **Data**: {data["image_size"][0]}×{data["image_size"][1]}, {data["in_channels"]} channels; \
{count}; sha256 {data["sha256"]}.{f" {data['source']}" if data["source"] else ""}
- **Training**: {settings["epochs"]} epochs (the paper's: 400), batches of \
{settings["batch_size"]}, Adam, cosine from {settings["learning_rate"]:g} to \
{settings["final_learning_rate"]:g}, BCE + Dice, no augmentation, seed {settings["seed"]}; kept: \
epoch {best["epoch"]}, {"the last" if best["validation_dice"] is None else
    f"validation Dice {best['validation_dice']:.4f}"}; loss of the last epoch {last["loss"]:.4f}.
- **Machine**: {report["device"]}, {report["threads"]} thread(s), \
{report["training_seconds"] / 60:.1f} minutes; torch {report["versions"]["torch"]}, \
python {report["versions"]["python"]}.
- The file of the same name with `.csv` holds every test image's Dice, IoU and the pixel counts \
they follow from; `.json` all settings and epochs.
"""


def _mean(summary: dict[str, float], name: str) -> str:
    return f"{summary[name]:.4f} [{summary[f'{name}_low']:.4f}, {summary[f'{name}_high']:.4f}]"


def _all_foreground(split: MaskSplit) -> MaskScores:
    return score(np.ones_like(split.masks), split.masks, split.image_ids)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="an .npz file, also below ROBENCH_DATA")
    parser.add_argument("--out", type=Path, required=True, help="reports are OUT.md, .json, .csv")
    parser.add_argument("--source", default="", help="where the images come from, their licence")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument("--final-learning-rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
