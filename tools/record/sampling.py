"""Distributions of a sampler, by their definitions, in numpy's float64."""

import numpy as np


def softmax(logits, temperature):
    z = logits / temperature
    e = np.exp(z - z.max())
    return e / e.sum()


def kept(probabilities, keep):
    """Returns the distribution of the tokens that stay."""
    left = np.where(keep, probabilities, 0.0)
    return left / left.sum()


def distribution(logits, temperature=1.0, topK=None, topP=None, minP=None):
    """Returns the probabilities of one row (V); the order of equal logits is that of their indices."""
    p = softmax(logits.astype(np.float64), temperature)
    order = np.argsort(-logits, kind="stable")
    rank = np.argsort(order, kind="stable")
    if topK is not None:
        p = kept(p, rank < topK)
    if topP is not None:
        before = np.concatenate([[0.0], np.cumsum(p[order])[:-1]])
        # The token that crosses p stays, and so does the first.
        stays = (before < topP) | (np.arange(len(p)) == 0) if topP < 1 else np.ones(len(p), bool)
        p = kept(p, stays[rank])
    if minP is not None:
        p = kept(p, p >= minP * p.max())
    return p


def sampler_case():
    """Returns the tensors and settings of the sampler's recording."""
    random = np.random.RandomState(5)
    V = 41
    rows = [random.randn(V), 2.5 * random.randn(V), 6 * random.randn(V)]
    rows.append(random.randint(0, 4, V).astype(float))  # many ties
    sparse = random.randn(V)
    sparse[random.permutation(V)[:30]] = -np.inf
    rows.append(sparse)
    dominant = random.randn(V)
    dominant[17] = 30
    rows.append(dominant)
    rows.append(np.zeros(V))  # uniform
    rows.append(1000 + 40 * random.randn(V))  # overflows unless the largest is subtracted
    logits = np.stack(rows).astype(np.float32)
    options = [{"temperature": t} for t in (1, 0.5, 1.7)]
    options += [{"temperature": t, "topK": k} for k, t in ((1, 1), (5, 0.9), (10, 0.5), (40, 1), (41, 2), (500, 1))]
    options += [{"temperature": t, "topP": p} for p, t in ((0, 1), (0.1, 1), (0.5, 0.7), (0.9, 1), (0.95, 1.3), (1, 1))]
    options += [{"temperature": 1.2, "topK": 12, "topP": 0.8}, {"temperature": 1, "minP": 0.05}]
    tensors, settings = {"logits": logits}, []
    for number, option in enumerate(options):
        name = f"probabilities.{number}"
        tensors[name] = np.stack([distribution(row, **option) for row in logits])
        settings.append({"tensor": name, "options": option})
    return tensors, settings
