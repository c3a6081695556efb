"""What the device can do, and what it has used."""

import resource
import sys

import psutil
import torch

from jobs.devices import DeviceFacts, cpu_facts
from jobs.precision import precision_choice


def torch_device(place: str) -> str:
    """What torch calls a worker's place: cpu:0 and cpu:1 are one processor, and so is a GPU that torch cannot use."""
    return place if place.startswith("cuda") and torch.cuda.is_available() else "cpu"


def device_facts(device: str) -> DeviceFacts:
    """What the device itself says; jobs.devices guesses the same from outside."""
    if not device.startswith("cuda"):
        return cpu_facts()
    with torch.cuda.device(device):
        return DeviceFacts("cuda", device_name(device), torch.cuda.get_device_properties(device).total_memory,
                           bf16=torch.cuda.is_bf16_supported(including_emulation=False))


def choose_precision(wanted: str, device: str) -> str:
    """fp32, bf16 or fp16; `auto` is bf16 on a GPU that has it, fp16 on one that has not, fp32 on a CPU."""
    return precision_choice(wanted, device_facts(device))[0]


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
