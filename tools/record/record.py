"""Records what PyTorch computes for small models, as files that `deno task verify` checks.

    /usr/bin/python3 tools/record/record.py [FOLDER]

writes all recordings into FOLDER (tests/golden unless given) and prints a table of float32's noise: how far a float32
run is from the float64 run that is recorded. README.md describes the files.
"""

import json
import pathlib
import sys

import numpy as np
import torch

from network import BASE, alibi_slopes, forward, gradients_of, loss_of, parameter_shapes, rope, sinusoidal_table
from optimizers import DEFAULTS, Optimizer
from safetensors import save
from sampling import sampler_case

B, T = 2, 7
LEAK_SHIFT = 5

SMALL = {"nHidden": 12}

# The fields that differ from BASE. Heads have 4 numbers (2 with 6 heads), so that RoPE's two pairings differ.
MODELS = {
    "base": {"nLayer": 2},
    "position-none": {"position": "none"},
    "position-sinusoidal": {"position": "sinusoidal"},
    "position-rope": {"position": "rope"},
    "position-rope-half": {"position": "rope-half"},
    "position-rope-theta": {"position": "rope", "ropeTheta": 100.0},
    # Three pairs of each head turn once in 6.3, 63 and 628 positions: below, between and above 100 / 4 and 100.
    "position-rope-scaling": {
        "headSize": 6, "position": "rope-half", "ropeTheta": 1000.0, "ropeScaling": 8.0, "ropeContext": 100,
    },
    "position-alibi": {"position": "alibi"},
    "norm-rmsnorm": {"norm": "rmsnorm"},
    "norm-eps": {"normEps": 0.1, "qkNorm": True},
    "norm-rmsnorm-eps": {"norm": "rmsnorm", "normEps": 0.02},
    "norm-none": {"norm": "none"},
    "norm-post": {"normPlacement": "post", "nLayer": 2},
    "mlp-gelu-tanh": {"mlp": "geluTanh"},
    "mlp-relu": {"mlp": "relu"},
    "mlp-relu2": {"mlp": "relu2"},
    "mlp-swiglu": {"mlp": "swiglu"},
    "mlp-none": {"mlp": "none"},
    "attention-off": {"attention": False},
    "attention-gqa": {"nHead": 6, "nKvHead": 2},
    "attention-mqa": {"nKvHead": 1},
    "attention-qknorm": {"qkNorm": True},
    "attention-wide-heads": {"headSize": 6, "position": "rope-half"},
    "attention-qknorm-gain": {"qkNorm": True, "qkNormGain": True, "nHead": 6, "nKvHead": 2, "headSize": 4, "position": "rope-half"},
    "attention-noscale": {"attentionScale": False},
    "mask-none": {"mask": "none"},
    "mask-zeroed": {"mask": "zeroed"},
    "mask-finite": {"mask": "finite"},
    "mask-finite-3": {"mask": "finite", "maskValue": -3},
    "residual-off": {"residual": False, "nLayer": 2},
    "bias-off": {"bias": False},
    "bias-qkv": {"nLayer": 2, "bias": False, "attentionBias": "qkv"},
    "bias-attention": {"bias": False, "attentionBias": "all"},
    "bias-mlp": {"mlp": "swiglu", "bias": False, "mlpBias": True},
    "bias-norms": {"attentionBias": "none", "mlpBias": False},
    "head-untied": {"tiedHead": False, "headBias": True},
    "head-tied-bias": {"headBias": True},
    "loss-smoothing": {"labelSmoothing": 0.1},
    "loss-softcap": {"logitSoftcap": 5},
    "llama-like": {"nLayer": 2, "position": "rope-half", "norm": "rmsnorm", "mlp": "swiglu", "nKvHead": 1, "bias": False, "tiedHead": False},
    "modern": {"nLayer": 2, "position": "rope", "norm": "rmsnorm", "mlp": "relu2", "qkNorm": True, "bias": False, "logitSoftcap": 15},
}

# Ten optimizer steps: the model's fields, the training's fields, and the scale of the initial values.
ORIGINAL = {"position": "none", "mlp": "geluTanh", "tiedHead": False, "headBias": True, "labelSmoothing": 0.1}
STEPS = {
    "steps-adamw": ({"nLayer": 2}, {"beta2": 0.99, "weightDecay": 0.1}),
    "steps-adamw-all": (ORIGINAL, {"decay": "all", "gradClip": 2, "eps": 1e-5, "schedule": "cosine", "warmupSteps": 3}),
    "steps-adamw-free": ({}, {"gradClip": 0, "weightDecay": 0, "schedule": "linear", "maxSteps": 8}),
    "steps-gains": ({"qkNorm": True, "qkNormGain": True, "position": "rope"}, {"weightDecay": 0.1}),
    "steps-sgd": ({}, {"optimizer": "sgd", "learningRate": 0.02, "momentum": 0.9, "weightDecay": 0.1}),
    "steps-muon": ({}, {"optimizer": "muon", "weightDecay": 0.1, "schedule": "cosine", "warmupSteps": 2}),
}

DECODING = {
    "decoding-original": {**ORIGINAL, "blockSize": 16, "nLayer": 2},
    "decoding-learned": {"blockSize": 16, "nLayer": 2},
    "decoding-rope-gqa": {"blockSize": 16, "position": "rope", "nHead": 3, "nKvHead": 1, "qkNorm": True},
    "decoding-narrow-heads": {"blockSize": 16, "position": "rope-half", "nHead": 4, "nKvHead": 2, "headSize": 2},
    "decoding-qwen": {
        "blockSize": 16, "position": "rope-half", "norm": "rmsnorm", "mlp": "swiglu", "nHead": 4, "nKvHead": 2,
        "headSize": 6, "qkNorm": True, "qkNormGain": True, "normEps": 1e-6, "ropeTheta": 1e6, "bias": False,
    },
    "decoding-alibi": {"blockSize": 16, "position": "alibi"},
}


def config_of(changed):
    return {**BASE, **SMALL, **changed}


def initial(config, seed, scale=1.0):
    """Returns parameters none of which is trivial: a bias or gain that is forgotten shows."""
    random = np.random.RandomState(seed)
    parameters = {}
    for name, shape in parameter_shapes(config).items():
        values = random.randn(*shape)
        if name in ("wte.weight", "wpe.weight"):
            values *= 0.15
        elif len(shape) == 2:
            values *= scale * 1.5 / np.sqrt(shape[1])
        else:
            values *= 0.3
            if ("ln_" in name or "_norm" in name) and name.endswith("weight"):
                values += 1
        parameters[name] = torch.tensor(values.astype(np.float32))
    return parameters


def ids(random, *shape):
    return torch.tensor(random.randint(0, BASE["vocabSize"], shape))


def doubles(parameters):
    return {name: value.double() for name, value in parameters.items()}


def arrays(tensors, prefix=""):
    return {prefix + name: value.numpy() for name, value in tensors.items()}


def int32(tensor):
    return tensor.numpy().astype(np.int32)


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


class Folder:
    def __init__(self, path):
        self.path = path
        self.noise = []

    def save(self, name, kind, tensors, **facts):
        metadata = {"format": "lm recording", "version": "1", "kind": kind, "source": "tools/record"}
        metadata.update({key: json.dumps(value) for key, value in facts.items()})
        save(self.path / f"{name}.safetensors", tensors, metadata)


def leak_of(config, parameters, tokens):
    """Returns (T, T): for each changed position j the largest change of a logit at each position t."""
    before = forward(config, parameters, tokens)
    leak = torch.zeros(T, T, dtype=torch.float64)
    for j in range(T):
        changed = tokens.clone()
        changed[:, j] = (changed[:, j] + LEAK_SHIFT) % config["vocabSize"]
        leak[j] = (forward(config, parameters, changed) - before).abs().amax((0, 2))
    return leak


def record_model(folder, name, changed):
    config = config_of(changed)
    random = np.random.RandomState(1)
    tokens, targets = ids(random, B, T), ids(random, B, T)
    parameters = initial(config, seed=2)
    logits, loss, gradients = gradients_of(config, doubles(parameters), tokens, targets)
    check_gradients(config, doubles(parameters), tokens, targets, gradients)
    tensors = {"tokens": int32(tokens[None]), "targets": int32(targets[None]), **arrays(parameters)}
    tensors.update({"logits": logits.numpy(), "loss": loss[None].numpy(), **arrays(gradients, "grad.")})
    facts = {}
    if name == "base" or name.startswith("mask-"):
        tensors["leak"] = leak_of(config, doubles(parameters), tokens).numpy()
        facts["leakShift"] = LEAK_SHIFT
    folder.save(name, "model", tensors, config=config, **facts)
    logits32, loss32, gradients32 = gradients_of(config, parameters, tokens, targets)
    worst = max(relative(gradients32[key], value) for key, value in gradients.items())
    folder.noise.append((name, relative(logits32, logits), relative(loss32, loss), worst, "", "", ""))


def check_gradients(config, parameters, tokens, targets, gradients):
    """Compares the gradient along one direction with a central difference."""
    random = np.random.RandomState(3)
    direction = {name: torch.tensor(random.randn(*value.shape)) for name, value in parameters.items()}
    slope = sum((gradients[name] * direction[name]).sum() for name in parameters).item()
    at = lambda h: gradients_of(config, {n: v + h * direction[n] for n, v in parameters.items()}, tokens, targets)[1].item()
    difference = (at(1e-6) - at(-1e-6)) / 2e-6
    assert abs(difference - slope) <= 1e-6 * max(1, abs(slope)), (config, difference, slope)


def train(config, training, parameters, tokens, targets):
    """Returns the losses, the gradient norms, and the parameters after each step."""
    optimizer = Optimizer(training, {name: value.clone() for name, value in parameters.items()})
    losses, norms, states = [], [], []
    for x, y in zip(tokens, targets):
        _, loss, gradients = gradients_of(config, optimizer.p, x, y)
        losses.append(loss)
        norms.append(optimizer.step(gradients))
        states.append({name: value.clone() for name, value in optimizer.p.items()})
    return torch.stack(losses), torch.stack(norms), states


def record_steps(folder, name, changed, training):
    config, training = config_of(changed), {**DEFAULTS, **training}
    random = np.random.RandomState(4)
    tokens, targets = ids(random, 10, B, T), ids(random, 10, B, T)
    parameters = initial(config, seed=5)
    losses, norms, states = train(config, training, doubles(parameters), tokens, targets)
    tensors = {"tokens": int32(tokens), "targets": int32(targets), **arrays(parameters)}
    tensors.update({"losses": losses.numpy(), "grad_norms": norms.numpy()})
    tensors.update({**arrays(states[0], "step1."), **arrays(states[9], "step10.")})
    folder.save(name, "model", tensors, config=config, training={"step": 0, "config": training})
    losses32, _, states32 = train(config, training, parameters, tokens, targets)
    _, _, gradients = gradients_of(config, doubles(parameters), tokens[0], targets[0])
    clip = min(1, training["gradClip"] / norms[0].item()) if training["gradClip"] else 1
    clear, total, count = 0.0, 0.0, 0
    keys = slice(config["nEmbd"], 2 * config["nEmbd"])
    for key, value in states[0].items():
        error = (states32[0][key] - value).abs()
        clear = max([clear, *error[(clip * gradients[key]).abs() >= 1e-5].tolist()])
        error = (states32[9][key] - states[9][key]).abs()
        if key.endswith("c_attn.bias"):
            error[keys] = 0  # their gradient is 0, and AdamW magnifies its noise
        total, count = total + error.sum().item(), count + error.numel()
    folder.noise.append((name, "", "", "", (losses32 - losses).abs().max().item(), clear, total / count))


def record_decoding(folder, name, changed, prompt_length=5, new=8):
    config = config_of(changed)
    random = np.random.RandomState(6)
    prompt = ids(random, B, prompt_length)
    parameters = initial(config, seed=7)
    sequence = prompt
    for _ in range(new):
        choice = forward(config, doubles(parameters), sequence)[:, -1].argmax(-1)
        sequence = torch.cat([sequence, choice[:, None]], 1)
    caches = []
    logits = forward(config, doubles(parameters), sequence, caches)
    top = logits[:, prompt_length - 1 : -1].topk(2).values
    lead = (top[..., 0] - top[..., 1]).min().item()
    assert lead > 1e-3, (name, lead)
    tensors = {"prompt": int32(prompt), "generated": int32(sequence[:, prompt_length:]), **arrays(parameters)}
    tokens, targets = sequence[None, :, :-1], sequence[None, :, 1:]
    tensors.update(tokens=int32(tokens), targets=int32(targets))
    tensors["loss"] = loss_of(config, doubles(parameters), tokens[0], targets[0])[1][None].numpy()
    tensors["step_logits"] = logits[:, prompt_length - 1 :].numpy()
    for layer, (k, v) in enumerate(caches):
        tensors.update({f"cache.{layer}.k": k.numpy(), f"cache.{layer}.v": v.numpy()})
    folder.save(name, "model", tensors, config=config)


def record_rotation(folder, name, interleaved, start):
    random = np.random.RandomState(8)
    shape = (2, 3, 5, 6)  # B, H, T, D
    inputs = {key: torch.tensor(random.randn(*shape).astype(np.float32)) for key in ("q", "k", "dq_out", "dk_out")}
    tensors, rotated = arrays(inputs), {}
    for key in ("q", "k"):
        x = inputs[key].double().requires_grad_()
        rotated[key] = rope(x, interleaved, start)
        (rotated[key] * inputs[f"d{key}_out"].double()).sum().backward()
        tensors[f"d{key}"] = x.grad.numpy()
        tensors[f"{key}_out"] = rotated[key].detach().numpy()
    tensors["scores"] = (rotated["q"] @ rotated["k"].transpose(-1, -2)).detach().numpy()
    angle = np.arange(start, start + 5)[:, None] * 10000.0 ** (-np.arange(0, 6, 2) / 6)
    tensors.update(cos=np.cos(angle), sin=np.sin(angle))
    folder.save(name, "rotation", tensors, config={"interleaved": interleaved, "start": start, "base": 10000})


def record_all(path):
    folder = Folder(path)
    for name, changed in MODELS.items():
        record_model(folder, name, changed)
    for name, (changed, training) in STEPS.items():
        record_steps(folder, name, changed, training)
    for name, changed in DECODING.items():
        record_decoding(folder, name, changed)
    record_rotation(folder, "rotation", True, 37)
    record_rotation(folder, "rotation-half", False, 37)
    tensors = {f"slopes.n{n}": alibi_slopes(n).numpy() for n in range(1, 17)}
    folder.save("positions", "constants", {"sinusoidal": sinusoidal_table(11, 6).numpy(), **tensors})
    tensors, settings = sampler_case()
    folder.save("sampler", "sampler", tensors, settings=settings)
    return folder.noise


def main():
    torch.set_num_threads(1)  # the order of sums, and so the last bits, depend on it
    root = pathlib.Path(__file__).resolve().parents[2]
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "tests/golden"
    noise = record_all(path)
    print("| recording | logits rel | loss rel | grad rel | losses abs | step1 abs | step10 mean |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, *numbers in noise:
        print(f"| {name} | " + " | ".join(n if n == "" else f"{n:.1e}" for n in numbers) + " |")


main()
