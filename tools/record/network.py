"""The GPT of every ModelConfig, in PyTorch, written from the equations of the papers that lib/config/model.ts names.

Letters: B batch, T positions, C nEmbd, V vocabSize, NH and NKV heads of HS numbers. Parameters have GPT-2's names, as
in a checkpoint, and linear maps are stored (out, in).
"""

import math

import torch
import torch.nn.functional as F

BASE = {
    "vocabSize": 23, "blockSize": 9, "nLayer": 1, "nHead": 3, "nKvHead": 3, "nEmbd": 12, "nHidden": 20,
    "position": "learned", "norm": "layernorm", "normPlacement": "pre", "mlp": "gelu", "attention": True,
    "qkNorm": False, "attentionScale": True, "mask": "causal", "maskValue": -1e4, "residual": True, "bias": True,
    "tiedHead": True, "headBias": False, "dropout": 0, "labelSmoothing": 0, "logitSoftcap": None,
}

# Fields that a recording leaves out unless it changes them, as checkpoints do that were written before the fields.
LATER = {
    "qkNormGain": False,
    "normEps": 1e-5, "ropeTheta": 10000.0, "ropeScaling": None, "ropeContext": 8192, "headSize": None, "attentionBias": None, "mlpBias": None,
}


def complete(c):
    """Returns a configuration with every field."""
    c = {**LATER, **c}
    if c["headSize"] is None:
        c["headSize"] = c["nEmbd"] // c["nHead"]
    if c["attentionBias"] is None:
        c["attentionBias"] = "all" if c["bias"] else "none"
    if c["mlpBias"] is None:
        c["mlpBias"] = c["bias"]
    return c


def parameter_shapes(c):
    """Returns the shape of every parameter by name."""
    c = complete(c)
    V, C, H = c["vocabSize"], c["nEmbd"], c["nHidden"]
    q, kv = c["nHead"] * c["headSize"], c["nKvHead"] * c["headSize"]
    shapes = {"wte.weight": (V, C)}
    if c["position"] == "learned":
        shapes["wpe.weight"] = (c["blockSize"], C)

    def linear(name, n_out, n_in, bias):
        shapes[name + ".weight"] = (n_out, n_in)
        if bias:
            shapes[name + ".bias"] = (n_out,)

    def norm(name):
        if c["norm"] != "none":
            shapes[name + ".weight"] = (C,)
        if c["norm"] == "layernorm" and c["bias"]:
            shapes[name + ".bias"] = (C,)

    for layer in range(c["nLayer"]):
        if c["attention"]:
            norm(f"h.{layer}.ln_1")
            linear(f"h.{layer}.attn.c_attn", q + 2 * kv, C, c["attentionBias"] in ("all", "qkv"))
            if c["qkNormGain"]:
                shapes[f"h.{layer}.attn.q_norm.weight"] = shapes[f"h.{layer}.attn.k_norm.weight"] = (c["headSize"],)
            linear(f"h.{layer}.attn.c_proj", C, q, c["attentionBias"] == "all")
        if c["mlp"] != "none":
            norm(f"h.{layer}.ln_2")
            linear(f"h.{layer}.mlp.c_fc", H, C, c["mlpBias"])
            if c["mlp"] == "swiglu":
                linear(f"h.{layer}.mlp.c_gate", H, C, c["mlpBias"])
            linear(f"h.{layer}.mlp.c_proj", C, H, c["mlpBias"])
    if c["normPlacement"] == "pre":
        norm("ln_f")
    if not c["tiedHead"]:
        shapes["lm_head.weight"] = (V, C)
    if c["headBias"]:
        shapes["lm_head.bias"] = (V,)
    return shapes


def sinusoidal_table(L, C):
    """Returns (L, C): sin and cos of t / 10000^(2i/C), in turn (arXiv 1706.03762)."""
    angle = torch.arange(L, dtype=torch.float64)[:, None] * 10000.0 ** (-torch.arange(0, C, 2, dtype=torch.float64) / C)
    return torch.stack([angle.sin(), angle.cos()], -1).reshape(L, C)


def alibi_slopes(n):
    """Returns the slopes of n heads (arXiv 2108.12409)."""
    power = 2 ** math.floor(math.log2(n))
    slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]
    slopes += [2 ** (-8 * h / (2 * power)) for h in range(1, 2 * power + 1, 2)]
    return torch.tensor(slopes[:n], dtype=torch.float64)


def slowed(frequency, factor, context):
    """Returns rotary frequencies as Llama 3.1 scales them for a context longer than the one it was trained with."""
    wavelength = 2 * math.pi / frequency
    share = (context / wavelength - 1) / (4 - 1)
    blended = (1 - share) * frequency / factor + share * frequency
    long, short = wavelength > context, wavelength < context / 4
    return torch.where(long, frequency / factor, torch.where(short, frequency, blended))


def rope(x, interleaved, start=0, theta=10000.0, scaling=None, context=8192):
    """Rotates x (B, NH, T, HS) by its positions from `start` (arXiv 2104.09864, eq. 34)."""
    T, HS = x.shape[-2:]
    frequency = theta ** (-torch.arange(0, HS, 2, dtype=torch.float64) / HS)
    if scaling is not None:
        frequency = slowed(frequency, scaling, context)
    angle = torch.arange(start, start + T, dtype=torch.float64)[:, None] * frequency  # (T, HS/2)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., : HS // 2], x[..., HS // 2 :])
    pair = a * cos - b * sin, b * cos + a * sin
    return torch.stack(pair, -1).flatten(-2) if interleaved else torch.cat(pair, -1)


def forward(c, p, tokens, caches=None):
    """Returns logits (B, T, V); appends each layer's keys and values (B, NKV, T, HS) to `caches`."""
    c = complete(c)
    C, NH, NKV, eps = c["nEmbd"], c["nHead"], c["nKvHead"], c["normEps"]
    (B, T), HS = tokens.shape, c["headSize"]
    dtype = p["wte.weight"].dtype

    def linear(name, x):
        return F.linear(x, p[name + ".weight"], p.get(name + ".bias"))

    def norm(name, x):
        if c["norm"] == "none":
            return x
        if c["norm"] == "rmsnorm":
            return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * p[name + ".weight"]
        return F.layer_norm(x, (C,), p[name + ".weight"], p.get(name + ".bias"), eps)

    def attention(layer, x):
        kv = NKV * HS
        q, k, v = linear(f"h.{layer}.attn.c_attn", x).split([NH * HS, kv, kv], -1)
        q, k, v = (part.view(B, T, -1, HS).transpose(1, 2) for part in (q, k, v))
        if c["qkNorm"]:
            q, k = (part / torch.sqrt((part * part).mean(-1, keepdim=True) + eps) for part in (q, k))
        if c["qkNormGain"]:
            q, k = q * p[f"h.{layer}.attn.q_norm.weight"], k * p[f"h.{layer}.attn.k_norm.weight"]
        if c["position"].startswith("rope"):
            turn = (c["position"] == "rope", 0, c["ropeTheta"], c["ropeScaling"], c["ropeContext"])
            q, k = (rope(part, *turn) for part in (q, k))
        if caches is not None:
            caches.append((k, v))
        k, v = (part.repeat_interleave(NH // NKV, 1) for part in (k, v))
        scores = q @ k.transpose(-1, -2)  # (B, NH, T, T)
        if c["attentionScale"]:
            scores = scores / math.sqrt(HS)
        i = torch.arange(T)
        distance = (i[:, None] - i).to(dtype)
        if c["position"] == "alibi":
            scores = scores - alibi_slopes(NH).to(dtype)[:, None, None] * distance
        future = i > i[:, None]
        value = {"causal": -math.inf, "zeroed": 0.0, "finite": c["maskValue"]}
        if c["mask"] != "none":
            scores = scores.masked_fill(future, value[c["mask"]])
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, NH * HS)
        return linear(f"h.{layer}.attn.c_proj", y)

    def mlp(layer, x):
        hidden = linear(f"h.{layer}.mlp.c_fc", x)
        activation = {
            "gelu": F.gelu,
            "geluTanh": lambda x: F.gelu(x, approximate="tanh"),
            "relu": F.relu,
            "relu2": lambda x: F.relu(x) ** 2,
            "swiglu": lambda hidden: F.silu(linear(f"h.{layer}.mlp.c_gate", x)) * hidden,
        }[c["mlp"]]
        return linear(f"h.{layer}.mlp.c_proj", activation(hidden))

    def part(name, run, x):
        residual = x if c["residual"] else 0
        if c["normPlacement"] == "pre":
            return residual + run(norm(name, x))
        return norm(name, residual + run(x))

    x = p["wte.weight"][tokens]
    if c["position"] == "learned":
        x = x + p["wpe.weight"][:T]
    if c["position"] == "sinusoidal":
        x = x + sinusoidal_table(T, C).to(dtype)
    for layer in range(c["nLayer"]):
        if c["attention"]:
            x = part(f"h.{layer}.ln_1", lambda x: attention(layer, x), x)
        if c["mlp"] != "none":
            x = part(f"h.{layer}.ln_2", lambda x: mlp(layer, x), x)
    if c["normPlacement"] == "pre":
        x = norm("ln_f", x)
    head = p["wte.weight" if c["tiedHead"] else "lm_head.weight"]
    logits = F.linear(x, head, p.get("lm_head.bias"))
    cap = c["logitSoftcap"]
    return logits if cap is None else cap * torch.tanh(logits / cap)


def loss_of(c, p, tokens, targets):
    """Returns the logits and their mean loss in nats."""
    logits = forward(c, p, tokens)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=c["labelSmoothing"])
    return logits, loss


def gradients_of(c, p, tokens, targets):
    """Returns logits, loss and the loss's gradient by parameter."""
    p = {name: value.detach().requires_grad_() for name, value in p.items()}
    logits, loss = loss_of(c, p, tokens, targets)
    loss.backward()
    return logits.detach(), loss.detach(), {name: value.grad for name, value in p.items()}
