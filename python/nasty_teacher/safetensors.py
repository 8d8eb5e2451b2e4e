"""Reads safetensors files: eight bytes with the header's length, a JSON header, the elements."""

import json
import math

import torch

TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
}


def read(path):
    """The tensors of the file by name. Raises ValueError, naming the file, if it is not one."""
    with open(path, "rb") as file:
        content = bytearray(file.read())
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise ValueError(f"{path}: expected a safetensors file, found {len(content)} bytes without its header")
    try:
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        return {name: _tensor(content, 8 + length, **entry) for name, entry in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: expected a safetensors file, found a header that is none: {error}") from error


def _tensor(content, start, dtype, shape, data_offsets):
    if dtype not in TYPES:
        raise ValueError(f"elements of type {dtype}; known are {', '.join(TYPES)}")
    if any(size < 0 for size in shape):
        raise ValueError(f"the negative shape {shape}")
    kind, (begin, end), elements = TYPES[dtype], data_offsets, math.prod(shape)
    size = elements * torch.empty(0, dtype=kind).element_size()
    if begin < 0 or start + end > len(content) or end - begin != size:
        raise ValueError(f"offsets {begin} to {end} for {size} bytes in a file of {len(content)}")
    if elements == 0:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(content, dtype=kind, count=elements, offset=start + begin).clone().reshape(shape)
