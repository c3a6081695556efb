"""Reads and checks the header of a safetensors file without loading a single weight."""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from jobs.models.problems import WeightsDamaged

MAX_HEADER_BYTES = 16 * 1024**2
MAX_TENSORS = 50_000

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64, "C64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64,
}  # fmt: skip


@dataclass(frozen=True)
class TensorHeader:
    dtype: str  # as the file names it: F32, BF16, …
    elements: int


def read_header(path: Path) -> dict[str, TensorHeader]:
    """The tensors of a safetensors file by name; raises WeightsDamaged unless they fill the file exactly."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise WeightsDamaged(path, f"it has only {size} bytes")
        (length,) = struct.unpack("<Q", prefix)
        if length > MAX_HEADER_BYTES:
            raise WeightsDamaged(
                path, f"its header says it has {length:,} bytes, and at most {MAX_HEADER_BYTES:,} are allowed"
            )
        raw = file.read(length)
    if len(raw) < length:
        raise WeightsDamaged(path, f"its header should have {length:,} bytes and the file ends after {len(raw):,}")
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as problem:
        raise WeightsDamaged(path, "its header is not JSON") from problem
    if not isinstance(header, dict):
        raise WeightsDamaged(path, "its header is not a list of tensors")
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise WeightsDamaged(path, f"it lists {len(header):,} tensors, and at most {MAX_TENSORS:,} are allowed")
    return _check_tensors(path, header, data_bytes=size - 8 - length)


def _check_tensors(path: Path, header: dict, data_bytes: int) -> dict[str, TensorHeader]:
    tensors, ranges = {}, []
    for name, entry in header.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            whole = len(shape) <= 16 and all(
                type(number) is int and 0 <= number < 2**63 for number in (*shape, begin, end)
            )
            bits = BITS[dtype]
        except (KeyError, TypeError, ValueError) as problem:
            raise WeightsDamaged(path, f"its entry for '{name[:100]}' makes no sense") from problem
        if not whole or (end - begin) * 8 != math.prod(shape) * bits:
            raise WeightsDamaged(path, f"the size and the shape of '{name[:100]}' do not agree")
        tensors[name] = TensorHeader(dtype, math.prod(shape))
        ranges.append((begin, end))
    reached = 0
    for begin, end in sorted(ranges):
        if begin != reached:
            raise WeightsDamaged(path, "its tensors overlap or leave gaps")
        reached = end
    if reached != data_bytes:
        raise WeightsDamaged(path, f"its tensors take {reached:,} bytes and the file has {data_bytes:,} for them")
    return tensors
