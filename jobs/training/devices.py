"""What the device can do, and what it has used."""

import resource
import sys

import psutil
import torch


def find_device(wanted: str) -> str:
    """The device to train on: `auto` is the first GPU, or the CPU where there is none."""
    if wanted != "auto":
        return wanted
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def choose_precision(wanted: str, device: str) -> str:
    """fp32, bf16 or fp16; `auto` is bf16 on a GPU that has it, fp16 on one that has not, fp32 on a CPU."""
    if wanted != "auto":
        return wanted
    if device == "cpu":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def memory_now(device: str) -> int:
    """Bytes in use now: the CUDA allocator's reserved bytes on a GPU, else this process's resident set."""
    if device.startswith("cuda"):
        return torch.cuda.memory_reserved(device)
    return psutil.Process().memory_info().rss


def peak_memory(device: str) -> tuple[int, str]:
    """The most bytes that were in use, and by whose count: `cuda` or `process`."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_reserved(device), "cuda"
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "process"


def memory_record(device: str) -> dict:
    """Memory now and at its peak, as columns of a run."""
    if device.startswith("cuda") and not torch.cuda.is_initialized():
        return {}
    peak, counted_by = peak_memory(device)
    return {"memory_bytes": memory_now(device), "peak_memory_bytes": peak, "peak_memory_of": counted_by}


def device_name(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"CPU, {psutil.cpu_count()} cores"
