"""A number of updates, on one batch each."""

import torch
from torch.nn import functional

import robench


@robench.card(summary="a few updates by SGD on clean images")
def few_steps(network, dataset, *, device, seed, steps=60, learning_rate=0.05):
    images = torch.from_numpy(dataset.train.images[:]).permute(0, 3, 1, 2).to(device).float() / 255
    labels = torch.from_numpy(dataset.train.labels).to(device)
    optimizer = torch.optim.SGD(network.to(device).parameters(), lr=learning_rate, momentum=0.9)
    network.train()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(steps):
            rows = torch.randint(len(labels), (64,)).to(device)
            optimizer.zero_grad()
            functional.cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
    return network.eval()
