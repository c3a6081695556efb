"""Settings from outside, read once and passed in."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from storage.problems import SettingInvalid

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class StudioSettings:
    """Where things are kept and how the page is reached. `from_env` is the only reader of the environment."""

    home: Path
    database_url: str
    queue_url: str
    host: str = "127.0.0.1"
    port: int = 7860
    devices: tuple[str, ...] = ()  # empty: what the machine has
    free_space_floor: int = 500 * 1024**2  # bytes that a run must leave free on the disk
    upload_limit: int = 5 * 1024**3  # bytes of one upload

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "StudioSettings":
        """Read the STUDIO_* variables; raises SettingInvalid with the name and the bad value."""
        home = Path(environ.get("STUDIO_HOME") or "studio-home").expanduser().resolve()
        database_url = environ.get("STUDIO_DATABASE_URL") or f"sqlite:///{home / 'studio.db'}"
        queue_url = environ.get("STUDIO_QUEUE_URL") or f"sqlite:///{home / 'queue.db'}"
        for name, url in (("STUDIO_DATABASE_URL", database_url), ("STUDIO_QUEUE_URL", queue_url)):
            if not url.startswith("sqlite:///"):
                raise SettingInvalid(f"{name} is '{url}', and only SQLite is supported so far. Use sqlite:///PATH.")
        return cls(
            home=home,
            database_url=database_url,
            queue_url=queue_url,
            host=environ.get("STUDIO_HOST") or cls.host,
            port=_whole_number(environ, "STUDIO_PORT", cls.port),
            devices=_devices(environ.get("STUDIO_DEVICES") or ""),
            free_space_floor=_whole_number(environ, "STUDIO_FREE_SPACE_FLOOR", cls.free_space_floor),
            upload_limit=_whole_number(environ, "STUDIO_UPLOAD_LIMIT", cls.upload_limit),
        )

    @property
    def uploads_dir(self) -> Path:
        return self.home / "uploads"

    @property
    def runs_dir(self) -> Path:
        return self.home / "runs"

    @property
    def adapters_dir(self) -> Path:
        return self.home / "adapters"

    @property
    def models_dir(self) -> Path:
        return self.home / "models"

    @property
    def logs_dir(self) -> Path:
        return self.home / "logs"

    @property
    def temporary_dir(self) -> Path:
        return self.home / "tmp"

    @property
    def sockets_dir(self) -> Path:
        """A folder whose socket paths stay under the system's limit of 108 bytes, however deep the home is."""
        folder = self.home / "sockets"
        if len(str(folder)) <= 80:
            return folder
        return Path(tempfile.gettempdir()) / f"adapter-studio-{hashlib.sha256(str(self.home).encode()).hexdigest()[:12]}"

    @property
    def playground_socket(self) -> Path:
        return self.sockets_dir / "playground.sock"

    @property
    def demo_base(self) -> Path:
        """The base model that comes with the studio."""
        return REPOSITORY / "assets" / "demo-base"

    def make_folders(self) -> None:
        """Create the home and its folders, readable by this user only."""
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.uploads_dir, self.runs_dir, self.adapters_dir, self.models_dir, self.logs_dir, self.temporary_dir,
                       self.sockets_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _whole_number(environ: Mapping[str, str], name: str, default: int) -> int:
    value = environ.get(name)
    if not value:
        return default
    if not value.isdigit():
        raise SettingInvalid(f"{name} is '{value}'. Give a whole number, for example {default}.")
    return int(value)


def _devices(value: str) -> tuple[str, ...]:
    devices = tuple(device.strip() for device in value.split(",") if device.strip())
    for device in devices:
        if device != "cpu" and not (device.startswith("cuda:") and device[5:].isdigit()):
            raise SettingInvalid(f"STUDIO_DEVICES has '{device}'. Name devices as cpu or cuda:0,cuda:1.")
    return devices
