"""What a place to train at can do, found without torch: for the page. A trainer asks the device itself."""

import os
import re
import subprocess
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from jobs.services import Services
from jobs.turn import offered_devices

CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # as /proc/cpuinfo names them, on Intel and AMD, and on ARM
BF16_SINCE = 8.0  # NVIDIA's compute capability
PATIENCE = 10  # seconds with a driver that does not answer


@dataclass(frozen=True)
class DeviceFacts:
    """What is known of a device; empty, 0 and None where nothing is."""

    kind: str                 # cpu or cuda
    name: str = ""
    memory_bytes: int = 0
    bf16: bool | None = None  # whether it has instructions for bf16, and does not only imitate it

    def record(self) -> dict:
        return asdict(self)


def local_facts(place: str) -> DeviceFacts:
    """Of a place on this machine, such as cuda:0 or cpu."""
    return gpu_facts(int(place.partition(":")[2] or 0)) if place.startswith("cuda") else cpu_facts()


def cpu_facts(cpuinfo: Path = Path("/proc/cpuinfo")) -> DeviceFacts:
    try:
        text = cpuinfo.read_text()
    except OSError:
        return DeviceFacts("cpu")
    name = re.search(r"^model name\s*: (.+)", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.+)", text, re.MULTILINE)
    return DeviceFacts("cpu", name[1].strip() if name else "", bf16=bool(CPU_FLAGS & set(flags[1].split())) if flags else None)


def gpu_facts(number: int) -> DeviceFacts:
    """Of the GPU that CUDA counts as this number."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    question = ["nvidia-smi", f"--id={visible[number] if number < len(visible) else number}",
                "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(question, capture_output=True, text=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return DeviceFacts("cuda")
    found = re.fullmatch(r"(.+), (\d+), (\d+\.\d+)", answer.stdout.strip())
    if answer.returncode or not found:
        return DeviceFacts("cuda")
    return DeviceFacts("cuda", found[1], int(found[2]) * 2**20, bf16=float(found[3]) >= BF16_SINCE)


def facts_of(services: Services, device: str = "") -> list[DeviceFacts]:
    """Of a device, or of each kind of all that are offered: as the living workers told it, else as this machine looks."""
    told = {place: DeviceFacts(**facts) for worker in services.workers.alive() for place, facts in worker.facts.items()}
    wanted = [device] if device else offered_devices(services)
    return list(dict.fromkeys(told.get(place) or _known_here(place) for place in wanted))


@cache
def _known_here(place: str) -> DeviceFacts:
    """Asked once: the page tells of it at every choice, and a driver may take seconds to answer."""
    return local_facts(place)
