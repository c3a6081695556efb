"""What a place to train at can do, found without torch: for the page. A trainer asks the device itself."""

import hashlib
import importlib.metadata
import logging
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from jobs.beside import find_beside, keep_beside
from jobs.threads import waiting
from storage.settings import REPOSITORY

log = logging.getLogger("studio.worker")

CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # as /proc/cpuinfo names them, on Intel and AMD, and on ARM
CPUINFO = Path("/proc/cpuinfo")
BF16_SINCE = 8.0  # NVIDIA's compute capability
PATIENCE = 10  # seconds with a driver that does not answer


@dataclass(frozen=True)
class DeviceFacts:
    """What is known of a device; empty, 0 and None where nothing is."""

    kind: str                 # cpu or cuda
    name: str = ""
    memory_bytes: int = 0
    bf16: bool | None = None  # whether it has instructions for bf16, and does not only imitate it
    bf16_from: int | None = None  # of a CPU: the narrowest base model that trains quicker in bf16; 0: none does, None: not measured

    def record(self) -> dict:
        return asdict(self)


def local_facts(place: str) -> DeviceFacts:
    """Of a place on this machine, such as cuda:0 or cpu."""
    return gpu_facts(int(place.partition(":")[2] or 0)) if place.startswith("cuda") else cpu_facts()


def cpu_facts(cpuinfo: Path = CPUINFO) -> DeviceFacts:
    try:
        text = cpuinfo.read_text()
    except OSError:
        return DeviceFacts("cpu")
    name = re.search(r"^model name\s*: (.+)", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.+)", text, re.MULTILINE)
    bf16 = bool(CPU_FLAGS & set(flags[1].split())) if flags else None
    return DeviceFacts("cpu", name[1].strip() if name else "", bf16=bf16, bf16_from=_kept_narrowest(cpuinfo) if bf16 else None)


def keep_narrowest(width: int) -> None:
    """Remember what jobs.training.number_formats has measured on this machine's processor."""
    keep_beside(_narrowest_file(CPUINFO), str(width))


def measure_once() -> None:
    """Have this machine's processor measured, in a process of its own, where it has bf16 and nobody did so before."""
    facts = cpu_facts()
    if not facts.bf16 or facts.bf16_from is not None:
        return
    measured = subprocess.run([sys.executable, "-m", "jobs.training.number_formats"], capture_output=True, text=True,
                              cwd=REPOSITORY, env={**os.environ, **waiting(os.environ)})
    if measured.returncode:
        log.warning("Whether this processor trains quicker in bf16 could not be measured:\n%s", measured.stderr)


def _kept_narrowest(cpuinfo: Path) -> int | None:
    kept = find_beside(_narrowest_file(cpuinfo))
    return None if kept is None else int(kept)


def _narrowest_file(cpuinfo: Path) -> str:
    """Of this processor, so many cores of it, and this torch."""
    names = re.findall(r"^(?:model name|CPU part|flags|Features)\s*: (.+)", cpuinfo.read_text(), re.MULTILINE)
    known = [*sorted(set(names)), str(os.cpu_count()), importlib.metadata.version("torch")]
    return f"bf16-from-{hashlib.sha256('|'.join(known).encode()).hexdigest()[:16]}.txt"


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
