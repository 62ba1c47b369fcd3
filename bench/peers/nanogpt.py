"""nanoGPT's own model code, for comparison with lm. CHECKOUT is a clone of https://github.com/karpathy/nanoGPT.

    /usr/bin/python3 -B bench/peers/nanogpt.py CHECKOUT record FOLDER

writes a checkpoint of a small model that took three steps, a second as PyTorch 2 would have it, meta.pkl, and the
logits and moments of both, into FOLDER (tests/golden/nanogpt), and

    /usr/bin/python3 -B bench/peers/nanogpt.py CHECKOUT logits CKPT ID...

prints the logits of token ids as JSON. bench/peers/nanogpt.ts runs the whole way to nanoGPT and back.
"""

import json
import pathlib
import pickle
import sys

import numpy as np
import torch

sys.path.append(str(pathlib.Path(__file__).parents[2] / "tools/record"))
sys.path.append(sys.argv[1])
from model import GPT, GPTConfig  # noqa: E402
from safetensors import save  # noqa: E402

CHARS = "\n !',.:;?ABab"
SETTINGS = {
    "dataset": "letters", "batch_size": 4, "gradient_accumulation_steps": 1, "max_iters": 20, "warmup_iters": 2,
    "lr_decay_iters": 20, "learning_rate": 1e-2, "min_lr": 1e-3, "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.99,
    "grad_clip": 1.0, "decay_lr": True, "eval_interval": 5, "dropout": 0.0, "compile": False, "init_from": "scratch",
}


def logits_of(model, ids):
    model.double().eval()
    idx = torch.tensor([ids])
    logits, _ = model(idx, idx)  # with targets it computes all positions
    return logits.detach().numpy()[0]


def trained(bias, steps):
    """What train.py saves after some steps."""
    torch.manual_seed(1)
    args = {"n_layer": 2, "n_head": 3, "n_embd": 12, "block_size": 8, "bias": bias, "vocab_size": len(CHARS), "dropout": 0.0}
    model = GPT(GPTConfig(**args))
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    optimizer = model.configure_optimizers(0.1, 1e-2, (0.9, 0.99), "cpu")
    for _ in range(steps):
        idx = torch.randint(len(CHARS), (4, 9))
        _, loss = model(idx[:, :-1].contiguous(), idx[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    checkpoint = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "model_args": args, "iter_num": steps,
        "best_val_loss": torch.tensor(2.5), "config": SETTINGS,
    }
    return model, optimizer, checkpoint


def record(folder):
    folder.mkdir(parents=True, exist_ok=True)
    ids = np.random.default_rng(1).integers(len(CHARS), size=8).tolist()
    tensors, names = {"tokens": np.array(ids, np.int32)}, {}
    for name, bias in {"ckpt": True, "compiled": False}.items():
        model, optimizer, checkpoint = trained(bias, 3)
        # The first number of both moments of each parameter shows that they are read in the optimizer's order.
        moments = {key: optimizer.state[parameter] for key, parameter in model.named_parameters()}
        names[name] = [key.replace("transformer.", "") for key in moments]
        tensors[f"moments.{name}"] = np.array(
            [[float(state[m].ravel()[0]) for m in ("exp_avg", "exp_avg_sq")] for state in moments.values()], np.float32
        )
        if name == "compiled":
            # A compiled model's names, without the masks that PyTorch 1 needs.
            checkpoint["model"] = {
                "_orig_mod." + key: value for key, value in checkpoint["model"].items() if not key.endswith("attn.bias")
            }
        torch.save(checkpoint, folder / f"{name}.pt")
        tensors[f"logits.{name}"] = logits_of(model, ids).astype(np.float32)
    with open(folder / "meta.pkl", "wb") as file:
        itos = dict(enumerate(CHARS))
        pickle.dump({"vocab_size": len(CHARS), "itos": itos, "stoi": {c: i for i, c in itos.items()}}, file)
    metadata = {"source": f"nanoGPT's model.py in float64, torch {torch.__version__}", "names": json.dumps(names)}
    save(folder / "answers.safetensors", tensors, metadata)


def main():
    _, _, command, path, *ids = sys.argv
    path = pathlib.Path(path)
    if command == "record":
        return record(path)
    checkpoint = torch.load(path)
    model = GPT(GPTConfig(**checkpoint["model_args"]))
    model.load_state_dict(checkpoint["model"])
    print(json.dumps(logits_of(model, [int(id) for id in ids]).ravel().tolist()))


if __name__ == "__main__":
    main()
