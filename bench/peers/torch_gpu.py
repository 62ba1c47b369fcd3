"""PyTorch's time for a training step and for products, on a GPU if it has one.

    python3 torch_gpu.py [--quick] [--seconds 50]

Prints one line of JSON, `{"data": ..., "lines": [...]}`, as a part of `bench/gpu.ts`.
`original` and `nano-gpu` are the models of torch_model.py and of nanoGPT's recipe for
one GPU, in float32 without TF32, with TF32, and in bfloat16 by autocast; the eager
modules, and `torch.compile` where this version has it. Attention is
`scaled_dot_product_attention` where this version has it. Without a GPU it says so, and
only a rehearsal (--quick) runs, on the CPU. Medians; a step is forward,
backward, clipping and AdamW, and ends with the device idle.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace

try:
    import torch
except ImportError as error:
    lines = [f"no PyTorch for {sys.executable}: {error}"]
    print(json.dumps(dict(data=None, lines=lines)))
    sys.exit(0)
from torch import nn
from torch.nn import functional as F

import torch_model

parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true")
parser.add_argument("--seconds", type=float, default=50)
flags = parser.parse_args()
end = time.perf_counter() + flags.seconds

cuda = torch.cuda.is_available()
if not cuda and not flags.quick:
    lines = [f"PyTorch {torch.__version__} finds no GPU: nothing to compare with"]
    print(json.dumps(dict(data=None, lines=lines)))
    sys.exit(0)
device = torch.device("cuda" if cuda else "cpu")

# nanoGPT's config/train_shakespeare_char.py; its dropout of 0.2 costs time, too.
RECIPES = {
    "original": torch_model.RECIPES["original"],
    "nano-gpu": torch_model.Recipe(
        vocab=65, context=256, batch=64, parameters=10745088, bias=False,
        positions=True, tied=True, gelu="none", smoothing=0.0,
        betas=(0.9, 0.99), decay=0.1, decay_all=False,
        width=384, heads=6, layers=6,
    ),
}
DROPOUT = {"original": 0.0, "nano-gpu": 0.2}

# (M, N, K) of y = x Wᵀ: maps of the two models, and one that fills a GPU.
PRODUCTS = [(2048, 512, 128), (16384, 1536, 384), (16384, 384, 1536), (4096, 4096, 4096)]


class Attention(torch_model.Attention):
    """Attention as one call, where PyTorch has it."""

    def __init__(self, recipe, dropout):
        super().__init__(recipe)
        self.dropout = dropout

    def forward(self, x, cache=None, start=0):
        B, T, C = x.shape
        q, k, v = (self.split(part) for part in self.c_attn(x).split(C, 2))
        y = F.scaled_dot_product_attention(
            q, k, v, dropout_p=self.dropout, is_causal=True
        )
        return self.c_proj(y.transpose(1, 2).reshape(B, T, C))


class Dropped(nn.Module):
    """A part followed by dropout."""

    def __init__(self, part, dropout):
        super().__init__()
        self.part, self.dropout = part, nn.Dropout(dropout)

    def forward(self, *arguments):
        return self.dropout(self.part(*arguments))


class Gpt(torch_model.Gpt):
    """torch_model's network with dropout and fused attention, for training."""

    def __init__(self, recipe, dropout):
        super().__init__(recipe)
        for block in self.blocks:
            if hasattr(F, "scaled_dot_product_attention"):
                block.attn = Attention(recipe, dropout)
            if dropout > 0:
                block.attn = Dropped(block.attn, dropout)
                block.c_proj = Dropped(block.c_proj, dropout)
        self.register_buffer("places", torch.arange(recipe.context), persistent=False)

    def forward(self, tokens):
        x = self.wte(tokens)
        if self.recipe.positions:
            x = x + self.wpe(self.places[: tokens.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def finish():
    if cuda:
        torch.cuda.synchronize()


def precision(name):
    """Sets float32's products; returns a context for a step."""
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    torch.backends.cudnn.allow_tf32 = name == "tf32"
    enabled = name == "bf16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def median_ms(run, rounds, each):
    """Median milliseconds of a call of `run`, over rounds of `each` calls."""
    times = []
    for _ in range(rounds):
        finish()
        begun = time.perf_counter()
        for _ in range(each):
            run()
        finish()
        times.append((time.perf_counter() - begun) * 1000 / each)
        if time.perf_counter() > end:
            break
    return statistics.median(times)


def step_of(name, compiled, kind):
    recipe = RECIPES[name]
    if flags.quick:
        recipe = replace(recipe, batch=2)
    torch.manual_seed(1)
    model = Gpt(recipe, DROPOUT[name]).to(device).train()
    parameters = list(model.parameters())
    decayed = [p for p in parameters if recipe.decay_all or p.dim() >= 2]
    rest = [p for p in parameters if not (recipe.decay_all or p.dim() >= 2)]
    groups = [{"params": decayed, "weight_decay": recipe.decay}]
    if rest:
        groups.append({"params": rest, "weight_decay": 0.0})
    fused = {"fused": True} if cuda else {"foreach": True}
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=recipe.betas, **fused)
    shape = (2, recipe.batch, recipe.context)
    tokens, targets = torch.randint(recipe.vocab, shape, device=device)
    run_model = torch.compile(model) if compiled else model
    context = precision(kind)

    def step():
        with context:
            logits = run_model(tokens)
            loss = F.cross_entropy(
                logits.view(-1, logits.shape[-1]).float(), targets.reshape(-1),
                label_smoothing=recipe.smoothing,
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def product(M, N, K, kind):
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    x = torch.randn(M, K, device=device, dtype=dtype)
    weight = torch.randn(N, K, device=device, dtype=dtype)
    precision(kind)
    return lambda: F.linear(x, weight)


name = torch.cuda.get_device_name() if cuda else "CPU"
steps, products, lines = [], [], []
lines.append(f"PyTorch {torch.__version__} on {name}")
kinds = ["fp32", "tf32", "bf16"] if cuda else ["fp32", "bf16"]
rounds, each = (1, 1) if flags.quick else (5, 10)
for M, N, K in PRODUCTS[:1] if flags.quick else PRODUCTS:
    for kind in kinds:
        run = product(M, N, K, kind)
        run()
        ms = median_ms(run, rounds, each)
        gflops = 2 * M * N * K / ms / 1e6
        products.append(dict(M=M, N=N, K=K, kind=kind, ms=ms, gflops=gflops))
        lines.append(f"product {M}x{N}x{K} {kind}: {ms:.3f} ms, {gflops:.0f} GFLOP/s")
for preset in RECIPES:
    for compiled in [False, True] if hasattr(torch, "compile") and cuda else [False]:
        for kind in kinds:
            if time.perf_counter() > end or (flags.quick and kind != "fp32"):
                continue
            step = step_of(preset, compiled, kind)
            for _ in range(1 if flags.quick else 3):
                step()
            ms = median_ms(step, rounds, each)
            steps.append(dict(preset=preset, compiled=compiled, kind=kind, ms=ms))
            how = "compiled" if compiled else "eager"
            lines.append(f"{preset} {kind} {how}: {ms:.2f} ms a step")
data = dict(name=name, torch=torch.__version__, steps=steps, products=products)
print(json.dumps(dict(data=data, lines=lines)))
