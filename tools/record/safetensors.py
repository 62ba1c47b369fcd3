"""Writes safetensors files, the same bytes for the same arrays and metadata, and reads them."""

import json
import struct

import numpy as np

# numpy has no bfloat16: arrays of uint16 are its bits.
DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "uint16": "BF16", "int32": "I32"}


def save(path, tensors, metadata):
    """Writes arrays by name and strings by name; wide elements come first, so that each array is aligned."""
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    names = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    header, offset = {"__metadata__": metadata}, 0
    for name in names:
        array = arrays[name]
        end = offset + array.nbytes
        header[name] = {"dtype": DTYPES[str(array.dtype)], "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            file.write(arrays[name].tobytes())


def load(path):
    """Returns arrays by name, and the metadata."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(length)), file.read()
    metadata = header.pop("__metadata__", {})
    names = {name: dtype for dtype, name in DTYPES.items()}
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], names[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
    }, metadata
