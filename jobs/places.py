"""Places to train at: one for each GPU, or one on the processor where there is none. Found without waking a driver."""

import os
from pathlib import Path

from storage.settings import StudioSettings


def local_places(settings: StudioSettings, dev: Path = Path("/dev")) -> tuple[str, ...]:
    """Names such as cuda:0 or cpu, as STUDIO_DEVICES says or as this machine has them."""
    if settings.devices:
        return settings.devices
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if (dev / "nvidiactl").exists():
        found = len([path for path in dev.glob("nvidia[0-9]*") if path.name[6:].isdigit()])
        count = found if visible is None else len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
        if count:
            return tuple(f"cuda:{number}" for number in range(count))
    return ("cpu",)
