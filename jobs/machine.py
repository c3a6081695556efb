"""What there is to train with, found without torch: the guide begins with it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from jobs.devices import DeviceFacts, local_facts
from jobs.services import Services
from jobs.turn import offered_devices
from storage.settings import StudioSettings

LIMIT_OF_CONTAINER = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Machine:
    """One place to train at. `gpu` is its name, empty where the processor trains; 0 bytes: the driver does not say."""

    gpu: str
    memory_bytes: int


def this_machine(services: Services) -> Machine:
    """The first GPU that the workers offer, else the processor with the memory that a trainer may take."""
    for facts in facts_of(services):
        if facts.kind == "cuda":
            return Machine(facts.name or "GPU", facts.memory_bytes)
    return Machine("", main_memory(services.settings))


def main_memory(settings: StudioSettings, limit_of_container: Path = LIMIT_OF_CONTAINER) -> int:
    """Bytes that a trainer may take of the computer's memory."""
    limits = [psutil.virtual_memory().total, settings.memory_limit]
    try:
        limits.append(int(limit_of_container.read_text()))
    except (OSError, ValueError):  # no such file on this system, or "max"
        pass
    return min(limit for limit in limits if limit)


def facts_of(services: Services, device: str = "") -> list[DeviceFacts]:
    """What a device can do, or each kind of all that are offered: as the living workers told it, else as this machine looks."""
    told = {place: DeviceFacts(**facts) for worker in services.workers.alive() for place, facts in worker.facts.items()}
    wanted = [device] if device else offered_devices(services)
    return list(dict.fromkeys(told.get(place) or _known_here(place) for place in wanted))


@cache
def _known_here(place: str) -> DeviceFacts:
    """Asked once: the page tells of it at every choice, and a driver may take seconds to answer."""
    return local_facts(place)
