"""The two models in PyTorch, written the way their programs write them.

`original` is the study that lm grew from: biases everywhere, no positions, an
untied head. `nano-cpu` is nanoGPT's recipe for a CPU without flash attention,
which this version of PyTorch does not have in its public interface. Both compute
attention as an explicit softmax over masked scores, because both programs do.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Recipe:
    vocab: int
    context: int
    batch: int
    parameters: int
    bias: bool
    positions: bool
    tied: bool
    gelu: str
    smoothing: float
    betas: tuple
    decay: float
    decay_all: bool
    width: int = 128
    heads: int = 4
    layers: int = 4


RECIPES = {
    "original": Recipe(
        vocab=128, context=128, batch=16, parameters=826240, bias=True,
        positions=False, tied=False, gelu="tanh", smoothing=0.1,
        betas=(0.9, 0.999), decay=0.01, decay_all=True,
    ),
    "nano-cpu": Recipe(
        vocab=65, context=64, batch=12, parameters=804096, bias=False,
        positions=True, tied=True, gelu="none", smoothing=0.0,
        betas=(0.9, 0.99), decay=0.1, decay_all=False,
    ),
}


class LayerNorm(nn.Module):
    """nn.LayerNorm of this version cannot leave out the bias alone."""

    def __init__(self, recipe):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(recipe.width))
        bias = nn.Parameter(torch.zeros(recipe.width)) if recipe.bias else None
        self.register_parameter("bias", bias)

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Attention(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.heads = recipe.heads
        self.c_attn = nn.Linear(recipe.width, 3 * recipe.width, recipe.bias)
        self.c_proj = nn.Linear(recipe.width, recipe.width, recipe.bias)
        future = torch.ones(recipe.context, recipe.context).triu(1).bool()
        self.register_buffer("future", future, persistent=False)

    def split(self, x):
        B, T, C = x.shape
        return x.view(B, T, self.heads, C // self.heads).transpose(1, 2)

    def forward(self, x, cache=None, start=0):
        B, T, C = x.shape
        q, k, v = (self.split(part) for part in self.c_attn(x).split(C, 2))
        if cache is not None:
            cache[0][:, :, start : start + T] = k
            cache[1][:, :, start : start + T] = v
            k = cache[0][:, :, : start + T]
            v = cache[1][:, :, : start + T]
        scores = q @ k.transpose(2, 3) / math.sqrt(C // self.heads)
        if T > 1:  # a single new token may see all that is cached
            scores = scores.masked_fill(self.future[:T, :T], -math.inf)
        y = F.softmax(scores, dim=-1) @ v  # (B, NH, T, HS)
        return self.c_proj(y.transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.ln_1 = LayerNorm(recipe)
        self.attn = Attention(recipe)
        self.ln_2 = LayerNorm(recipe)
        self.c_fc = nn.Linear(recipe.width, 4 * recipe.width, recipe.bias)
        self.c_proj = nn.Linear(4 * recipe.width, recipe.width, recipe.bias)
        self.gelu = recipe.gelu

    def forward(self, x, cache=None, start=0):
        x = x + self.attn(self.ln_1(x), cache, start)
        hidden = F.gelu(self.c_fc(self.ln_2(x)), approximate=self.gelu)
        return x + self.c_proj(hidden)


class Gpt(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.recipe = recipe
        self.wte = nn.Embedding(recipe.vocab, recipe.width)
        if recipe.positions:
            self.wpe = nn.Embedding(recipe.context, recipe.width)
        self.blocks = nn.ModuleList(Block(recipe) for _ in range(recipe.layers))
        self.ln_f = LayerNorm(recipe)
        self.lm_head = nn.Linear(recipe.width, recipe.vocab, not recipe.tied)
        if recipe.tied:
            # Small, or the tied logits start far from uniform.
            nn.init.normal_(self.wte.weight, std=0.02)
            self.lm_head.weight = self.wte.weight
        count = sum(p.numel() for p in self.parameters())
        if count != recipe.parameters:
            raise ValueError(f"{count} parameters, not {recipe.parameters}")

    def forward(self, tokens, caches=None, start=0):
        """Logits (B, T, V)."""
        x = self.wte(tokens)
        if self.recipe.positions:
            T = tokens.shape[1]
            x = x + self.wpe(torch.arange(start, start + T))
        for i, block in enumerate(self.blocks):
            x = block(x, caches and caches[i], start)
        return self.lm_head(self.ln_f(x))


class Training:
    """A model, its optimizer and a few random batches, drawn beforehand."""

    def __init__(self, preset, foreach):
        recipe = RECIPES[preset]
        torch.manual_seed(1)
        self.model = Gpt(recipe)
        self.smoothing = recipe.smoothing
        parameters = list(self.model.parameters())
        decayed = [p for p in parameters if recipe.decay_all or p.dim() >= 2]
        rest = [p for p in parameters if not (recipe.decay_all or p.dim() >= 2)]
        groups = [{"params": decayed, "weight_decay": recipe.decay}]
        if rest:
            groups.append({"params": rest, "weight_decay": 0.0})
        self.optimizer = torch.optim.AdamW(
            groups, lr=1e-3, betas=recipe.betas, foreach=foreach
        )
        shape = (8, 2, recipe.batch, recipe.context)
        self.batches = torch.randint(recipe.vocab, shape)
        self.steps = 0

    def step(self):
        tokens, targets = self.batches[self.steps % len(self.batches)]
        self.steps += 1
        logits = self.model(tokens)
        loss = F.cross_entropy(
            logits.view(-1, logits.shape[-1]),
            targets.reshape(-1),
            label_smoothing=self.smoothing,
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()


@torch.inference_mode()
def generate(model, batch, tokens):
    """Continues a newline by `tokens` tokens; top-k 10 at temperature 0.9."""
    recipe = model.recipe
    shape = (batch, recipe.heads, recipe.context, recipe.width // recipe.heads)
    caches = [(torch.zeros(shape), torch.zeros(shape)) for _ in model.blocks]
    ids = torch.full((batch, 1), 10)
    text = [ids]
    for at in range(tokens):
        logits = model(ids, caches, at)[:, -1] / 0.9
        best, which = logits.topk(10)
        ids = which.gather(1, best.softmax(-1).multinomial(1))
        text.append(ids)
    return torch.cat(text, 1)
