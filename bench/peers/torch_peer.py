"""PyTorch as a peer: commands on standard input, answers on standard output.

    python3 torch_peer.py [--threads 2] [--blas-threads 1] [--blas-core NAME] [--no-foreach]

The file is not called torch.py, which Python would import in place of PyTorch.
"""

import argparse
import ctypes
import json
import os
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--blas-threads", type=int, default=1)
parser.add_argument("--blas-core")
parser.add_argument("--no-foreach", action="store_true")
flags = parser.parse_args()
# OpenBLAS reads these once, when it is loaded.
os.environ["OPENBLAS_NUM_THREADS"] = str(flags.blas_threads)
if flags.blas_core:
    os.environ["OPENBLAS_CORETYPE"] = flags.blas_core

import torch  # noqa: E402

import torch_model  # noqa: E402

torch.set_num_threads(flags.threads)
trainings = {}
generators = {}
products = {}


def step(command):
    preset = command.get("preset", "original")
    if preset not in trainings:
        trainings[preset] = torch_model.Training(preset, not flags.no_foreach)
        if command.get("warm", True):
            for _ in range(2):
                trainings[preset].step()
    steps = command.get("steps", 3)
    begun = time.perf_counter()
    for _ in range(steps):
        loss = trainings[preset].step()
    milliseconds = (time.perf_counter() - begun) * 1000 / steps
    return {"milliseconds": milliseconds, "loss": loss}


def generate(command):
    batch, tokens = command.get("batch", 1), command.get("tokens", 120)
    if batch not in generators:
        torch.manual_seed(1)
        model = torch_model.Gpt(torch_model.RECIPES["original"]).eval()
        generators[batch] = model
        torch_model.generate(model, batch, tokens)
    begun = time.perf_counter()
    torch_model.generate(generators[batch], batch, tokens)
    seconds = time.perf_counter() - begun
    return {"tokensPerSecond": batch * tokens / seconds}


def matmul(command):
    form, M, N, K = (command[key] for key in ("form", "M", "N", "K"))
    key = (form, M, N, K)
    if key not in products:
        a = torch.randn((K, M) if form == "tn" else (M, K))
        b = torch.randn((N, K) if form == "nt" else (K, N))
        # Transposing is a view: the product reads the stored order.
        a = a.t() if form == "tn" else a
        b = b.t() if form == "nt" else b
        products[key] = (a, b, torch.empty(M, N))
        for _ in range(3):
            torch.mm(a, b, out=products[key][2])
    a, b, y = products[key]
    repeats = command.get("repeats", 20)
    begun = time.perf_counter()
    for _ in range(repeats):
        torch.mm(a, b, out=y)
    seconds = time.perf_counter() - begun
    return {"gflops": 2 * M * N * K * repeats / seconds / 1e9}


def memory(_):
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return {"peakMegabytes": int(line.split()[1]) / 1024}


works = {
    "step": step,
    "generate": generate,
    "matmul": matmul,
    "memory": memory,
}


def blas():
    """Returns the name of the BLAS library and the kernels that it chose for this processor."""
    with open("/proc/self/maps", encoding="ascii") as maps:
        paths = {line.split()[-1] for line in maps if "openblas" in line}
    if not paths:
        return "a BLAS that is not OpenBLAS"
    library = ctypes.CDLL(paths.pop())
    library.openblas_get_config.restype = ctypes.c_char_p
    library.openblas_get_corename.restype = ctypes.c_char_p
    version = " ".join(library.openblas_get_config().decode().split()[:2])
    core = library.openblas_get_corename().decode()
    return f"{version} ({core}) on {flags.blas_threads} threads"


name = f"PyTorch {torch.__version__} on {flags.threads} threads, {blas()}"
print(json.dumps({"ready": True, "name": name}), flush=True)
for line in sys.stdin:
    try:
        command = json.loads(line)
        answer = works[command["work"]](command)
    except Exception as error:  # whatever it is, the driver should see it
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
