"""GPT-2, Llama, Qwen 2 and Qwen 3 from the definitions that transformers publishes, for comparison with lm.

    /usr/bin/python3 -B bench/peers/hf_models.py logits FOLDER ID...

prints the logits of token ids as JSON, computed in float64 by the model in FOLDER (config.json, model.safetensors), and

    /usr/bin/python3 -B bench/peers/hf_models.py record FOLDER

writes recordings into FOLDER: the files of small random models, as the hub has them, with the logits of some tokens.
The models take tensors by transformers' names; nothing here knows lm's.
"""

import json
import math
import pathlib
import sys

import numpy as np
import torch
from torch.nn.functional import gelu, layer_norm, relu, silu, softmax

sys.path.append(str(pathlib.Path(__file__).parents[2] / "tools/record"))
from safetensors import load, save  # noqa: E402


def causal_attention(q, k, v, scale):
    """q (NH, T, HS), k and v (NKV, T, HS): each key head serves NH / NKV query heads, one after the other."""
    groups = q.shape[0] // k.shape[0]
    k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
    T = q.shape[1]
    scores = scale * (q @ k.transpose(1, 2))
    scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), -math.inf)
    return (softmax(scores, -1) @ v).transpose(0, 1).reshape(T, -1)


def heads(x, size):
    """(T, heads * size) to (heads, T, size)."""
    return x.view(x.shape[0], -1, size).transpose(0, 1)


def gpt2(config, w, ids):
    """modeling_gpt2.py: GPT2LMHeadModel. Conv1D computes x W + b with W (in, out)."""
    act = {
        "gelu": gelu,
        "relu": relu,
        "gelu_new": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    }[config["activation_function"]]
    C, NH = config["n_embd"], config["n_head"]

    def conv1d(name, x):
        return x @ w[name + ".weight"] + w[name + ".bias"]

    def norm(name, x):
        return layer_norm(x, (C,), w[name + ".weight"], w[name + ".bias"], config["layer_norm_epsilon"])

    x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][: len(ids)]
    for i in range(config["n_layer"]):
        h = f"transformer.h.{i}."
        q, k, v = conv1d(h + "attn.c_attn", norm(h + "ln_1", x)).split(C, -1)
        scale = (C // NH) ** -0.5 if config["scale_attn_weights"] else 1
        x = x + conv1d(h + "attn.c_proj", causal_attention(*(heads(y, C // NH) for y in (q, k, v)), scale))
        x = x + conv1d(h + "mlp.c_proj", act(conv1d(h + "mlp.c_fc", norm(h + "ln_2", x))))
    return norm("transformer.ln_f", x) @ w[head_of(config, "transformer.wte.weight")].T


def llama(config, w, ids):
    """modeling_llama.py, modeling_qwen2.py and modeling_qwen3.py: LlamaForCausalLM and the two after it."""
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    eps = config["rms_norm_eps"]

    def linear(name, x):
        y = x @ w[name + ".weight"].T
        return y + w[name + ".bias"] if name + ".bias" in w else y

    def norm(name, x):
        return w[name + ".weight"] * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))

    angles = torch.outer(torch.arange(len(ids), dtype=torch.float64), inverse_frequencies(config, size))
    cos, sin = (torch.cat([f(angles)] * 2, -1) for f in (torch.cos, torch.sin))

    def rotated(x):
        half = torch.cat((-x[..., size // 2 :], x[..., : size // 2]), -1)
        return x * cos + half * sin

    x = w["model.embed_tokens.weight"][ids]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        at = layer + "self_attn."
        y = norm(layer + "input_layernorm", x)
        q, k, v = (heads(linear(at + part + "_proj", y), size) for part in "qkv")
        if config["model_type"] == "qwen3":
            q, k = norm(at + "q_norm", q), norm(at + "k_norm", k)
        x = x + linear(at + "o_proj", causal_attention(rotated(q), rotated(k), v, size**-0.5))
        y = norm(layer + "post_attention_layernorm", x)
        mlp = layer + "mlp."
        x = x + linear(mlp + "down_proj", silu(linear(mlp + "gate_proj", y)) * linear(mlp + "up_proj", y))
    return norm("model.norm", x) @ w[head_of(config, "model.embed_tokens.weight")].T


def inverse_frequencies(config, size):
    """modeling_rope_utils.py: the default, and _compute_llama3_parameters."""
    frequencies = 1 / config["rope_theta"] ** (torch.arange(0, size, 2, dtype=torch.float64) / size)
    scaling = config.get("rope_scaling")
    if not scaling:
        return frequencies
    factor, context = scaling["factor"], scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    wavelengths = 2 * math.pi / frequencies
    slow = torch.where(wavelengths > context / low, frequencies / factor, frequencies)
    smooth = (context / wavelengths - low) / (high - low)
    between = (1 - smooth) * slow / factor + smooth * slow
    is_between = ~(wavelengths < context / high) & ~(wavelengths > context / low)
    return torch.where(is_between, between, slow)


def head_of(config, embedding):
    return embedding if config["tie_word_embeddings"] else "lm_head.weight"


MODELS = {"gpt2": gpt2, "llama": llama, "qwen2": llama, "qwen3": llama}


def logits_of(config, arrays, ids):
    """Logits (T, V) in float64."""
    weights = {name: torch.from_numpy(widened(array)) for name, array in arrays.items()}
    return MODELS[config["model_type"]](config, weights, torch.tensor(ids)).numpy()


def widened(array):
    """Float64 values of an array; uint16 are the bits of bfloat16."""
    if array.dtype == np.uint16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float64)


def bfloat16(array):
    """The bits of bfloat16, cut off: random numbers need no rounding."""
    return (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


# Small models: odd sizes, grouped queries, head sizes that are not hidden_size / heads, every float type.
GPT2 = {
    "model_type": "gpt2", "vocab_size": 13, "n_positions": 9, "n_layer": 2, "n_head": 3, "n_embd": 15, "n_inner": None,
    "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "scale_attn_weights": True,
    "tie_word_embeddings": True,
}
LLAMA = {
    "model_type": "llama", "vocab_size": 13, "max_position_embeddings": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 16, "intermediate_size": 7, "hidden_act": "silu",
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "rope_scaling": None, "tie_word_embeddings": False,
}
RECORDINGS = {
    "gpt2": (GPT2, np.float32),
    "gpt2-other": (
        {**GPT2, "activation_function": "gelu", "layer_norm_epsilon": 1e-3, "scale_attn_weights": False, "n_inner": 11,
         "tie_word_embeddings": False},
        np.float16,
    ),
    "llama2": (LLAMA, bfloat16),
    # Three pairs of each head turn once in 6.3, 29 and 136 positions: below, between and above 64 / 4 and 64.
    "llama3": (
        {**LLAMA, "hidden_size": 10, "head_dim": 6, "rope_theta": 100.0, "tie_word_embeddings": True,
         "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                          "original_max_position_embeddings": 64}},
        np.float32,
    ),
    "llama-biases": ({**LLAMA, "attention_bias": True, "mlp_bias": True, "num_key_value_heads": 1}, np.float32),
    "qwen2": ({**LLAMA, "model_type": "qwen2", "rope_theta": 1e6, "rms_norm_eps": 1e-5}, np.float16),
    "qwen3": ({**LLAMA, "model_type": "qwen3", "hidden_size": 10, "head_dim": 6, "tie_word_embeddings": True}, bfloat16),
}


def shapes_of(config):
    """Shapes of all tensors by transformers' names."""
    V = config["vocab_size"]
    if config["model_type"] == "gpt2":
        C, H = config["n_embd"], config["n_inner"] or 4 * config["n_embd"]
        shapes = {"transformer.wte.weight": (V, C), "transformer.wpe.weight": (config["n_positions"], C)}
        for i in range(config["n_layer"]):
            h = f"transformer.h.{i}."
            for name, (nIn, nOut) in {
                "attn.c_attn": (C, 3 * C), "attn.c_proj": (C, C), "mlp.c_fc": (C, H), "mlp.c_proj": (H, C),
            }.items():
                shapes |= {h + name + ".weight": (nIn, nOut), h + name + ".bias": (nOut,)}
            for name in ("ln_1", "ln_2"):
                shapes |= {h + name + ".weight": (C,), h + name + ".bias": (C,)}
        shapes |= {"transformer.ln_f.weight": (C,), "transformer.ln_f.bias": (C,)}
    else:
        C, H = config["hidden_size"], config["intermediate_size"]
        size = config.get("head_dim") or C // config["num_attention_heads"]
        Q, K = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
        shapes = {"model.embed_tokens.weight": (V, C)}
        bias, mlp_bias = config.get("attention_bias", False), config.get("mlp_bias", False)
        qkv_bias = bias or config["model_type"] == "qwen2"
        for i in range(config["num_hidden_layers"]):
            layer = f"model.layers.{i}."
            biases = {
                "self_attn.q_proj": qkv_bias, "self_attn.k_proj": qkv_bias, "self_attn.v_proj": qkv_bias,
                "self_attn.o_proj": bias,
            }
            for name, (nOut, nIn) in {
                "self_attn.q_proj": (Q, C), "self_attn.k_proj": (K, C), "self_attn.v_proj": (K, C),
                "self_attn.o_proj": (C, Q), "mlp.gate_proj": (H, C), "mlp.up_proj": (H, C), "mlp.down_proj": (C, H),
            }.items():
                shapes[layer + name + ".weight"] = (nOut, nIn)
                if biases.get(name, mlp_bias):
                    shapes[layer + name + ".bias"] = (nOut,)
            shapes |= {layer + name + ".weight": (C,) for name in ("input_layernorm", "post_attention_layernorm")}
            if config["model_type"] == "qwen3":
                shapes |= {f"{layer}self_attn.{part}_norm.weight": (size,) for part in "qk"}
        shapes["model.norm.weight"] = (C,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (V, C)
    return shapes


GAINS = ("norm.weight", "ln_1.weight", "ln_2.weight", "ln_f.weight")


def record(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (config, convert) in RECORDINGS.items():
        random = np.random.default_rng(len(name))
        arrays = {
            # Gains around 1, all else around 0; of order 1, so that each changes the logits.
            tensor: convert(tensor.endswith(GAINS) + 0.4 * random.standard_normal(shape))
            for tensor, shape in shapes_of(config).items()
        }
        length = config.get("n_positions") or config["max_position_embeddings"]
        ids = random.integers(config["vocab_size"], size=length).tolist()
        logits = logits_of(config, arrays, ids)
        metadata = {
            "format": "lm recording", "version": "1", "kind": "folder", "config": json.dumps(config),
            "source": f"transformers' definitions in float64, torch {torch.__version__}",
        }
        tensors = {**arrays, "tokens": np.array(ids, np.int32), "logits": logits.astype(np.float32)}
        save(folder / f"{name}.safetensors", tensors, metadata)
        print(f"{name}: {len(arrays)} tensors, logits up to {np.abs(logits).max():.2f}")


def main():
    command, folder, *ids = sys.argv[1:]
    folder = pathlib.Path(folder)
    if command == "record":
        return record(folder)
    config = json.loads((folder / "config.json").read_text())
    arrays, _ = load(folder / "model.safetensors")
    print(json.dumps(logits_of(config, arrays, [int(id) for id in ids]).ravel().tolist()))


if __name__ == "__main__":
    main()
