"""The optimizers of every TrainConfig, in PyTorch, written from the papers' equations."""

import math

import torch

DEFAULTS = {
    "maxSteps": 10, "learningRate": 1e-3, "minLearningRate": 1e-4, "warmupSteps": 0, "schedule": "constant",
    "optimizer": "adamw", "muonLearningRate": 0.02, "momentum": 0.95, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8,
    "weightDecay": 0.01, "decay": "matrices", "gradClip": 1,
}


def learning_rate(c, step):
    """Returns the rate of a step, counted from 0."""
    rate, low, warmup = c["learningRate"], c["minLearningRate"], c["warmupSteps"]
    if step < warmup:
        return rate * (step + 1) / (warmup + 1)
    if c["schedule"] == "constant":
        return rate
    if step >= c["maxSteps"]:
        return low
    progress = (step - warmup) / (c["maxSteps"] - warmup)
    share = 0.5 * (1 + math.cos(math.pi * progress)) if c["schedule"] == "cosine" else 1 - progress
    return low + share * (rate - low)


def orthogonalize(x):
    """Returns nearly UVᵀ of a matrix UΣVᵀ: five Newton-Schulz steps (kellerjordan.github.io/posts/muon)."""
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    return x.T if tall else x


class Optimizer:
    """Changes parameters in place, step after step."""

    def __init__(self, config, parameters):
        self.c, self.p, self.step_number = config, parameters, 0
        self.m = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.v = {name: torch.zeros_like(value) for name, value in parameters.items()}

    def step(self, gradients):
        """Takes a step; returns the gradients' global norm before clipping."""
        c = self.c
        norm = torch.sqrt(sum((gradient**2).sum() for gradient in gradients.values()))
        scale = min(1.0, c["gradClip"] / (norm.item() + 1e-6)) if c["gradClip"] > 0 else 1.0
        rate = learning_rate(c, self.step_number)
        self.step_number += 1
        for name, p in self.p.items():
            g = scale * gradients[name]
            if c["optimizer"] == "sgd":
                self.descend(name, rate, self.momentum(name, g))
            elif c["optimizer"] == "muon" and name.startswith("h.") and p.dim() == 2:
                m = self.momentum(name, g)
                update = orthogonalize(g + c["momentum"] * m) * math.sqrt(max(1, p.shape[0] / p.shape[1]))
                self.descend(name, rate * c["muonLearningRate"] / c["learningRate"], update)
            else:
                self.descend(name, rate, self.adam(name, g))
        return norm

    def descend(self, name, rate, update):
        p = self.p[name]
        if self.c["decay"] == "all" or p.dim() == 2:
            p.mul_(1 - rate * self.c["weightDecay"])
        p.sub_(rate * update)

    def momentum(self, name, g):
        self.m[name] = self.c["momentum"] * self.m[name] + g
        return self.m[name]

    def adam(self, name, g):
        b1, b2, t = self.c["beta1"], self.c["beta2"], self.step_number
        self.m[name] = b1 * self.m[name] + (1 - b1) * g
        self.v[name] = b2 * self.v[name] + (1 - b2) * g * g
        return self.m[name] / (1 - b1**t) / (torch.sqrt(self.v[name] / (1 - b2**t)) + self.c["eps"])
