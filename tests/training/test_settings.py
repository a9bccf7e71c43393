import pytest
import torch
from torch import nn

from robench.training.settings import Settings

BASE = {
    "epochs": 10,
    "batch_size": 8,
    "optimizer": "adam",
    "learning_rate": 0.02,
    "weight_decay": 0.003,
    "momentum": 0.7,
    "schedule": "cosine",
    "class_weights": "auto",
    "patience": None,
}


def test_cosine_is_torchs_schedule() -> None:
    settings = Settings(**BASE)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    for epoch in range(1, 11):
        assert settings.learning_rate_at(epoch) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-9
        )
        optimizer.step()
        schedule.step()


def test_constant_stays() -> None:
    settings = Settings(**BASE | {"schedule": "constant"})
    assert {settings.learning_rate_at(epoch) for epoch in range(1, 11)} == {0.02}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)],
)
def test_optimizer_gets_its_settings(name: str, kind: type) -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = Settings(**BASE | {"optimizer": name}).make_optimizer([weight])
    group = optimizer.param_groups[0]
    assert type(optimizer) is kind
    assert (group["lr"], group["weight_decay"]) == (0.02, 0.003)
    assert group.get("momentum", 0.7) == 0.7
