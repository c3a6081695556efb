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
    lease_seconds: int = 60  # without a heartbeat, after which a trainer counts as gone
    free_space_floor: int = 500 * 1024**2  # bytes that a run must leave free on the disk
    upload_limit: int = 5 * 1024**3  # bytes of one upload
    memory_limit: int = 0  # bytes of the computer's memory that a trainer may take; 0: no limit
    data_folders: tuple[Path, ...] = ()  # from which the page may take data

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
            lease_seconds=_whole_number(environ, "STUDIO_LEASE_SECONDS", cls.lease_seconds),
            free_space_floor=_whole_number(environ, "STUDIO_FREE_SPACE_FLOOR", cls.free_space_floor),
            upload_limit=_whole_number(environ, "STUDIO_UPLOAD_LIMIT", cls.upload_limit),
            memory_limit=_whole_number(environ, "STUDIO_MEMORY_LIMIT", cls.memory_limit),
            data_folders=_folders(environ, "STUDIO_DATA_FOLDERS"),
        )

    @property
    def uploads_dir(self) -> Path:
        return self.home / "uploads"

    @property
    def imports_dir(self) -> Path:
        """Data as examples; can be made again from uploads_dir."""
        return self.home / "imports"

    @property
    def prepared_dir(self) -> Path:
        """Examples as tokens; can be made again from imports_dir."""
        return self.home / "prepared"

    @property
    def checks_dir(self) -> Path:
        """Which rows the findings of health reports are about."""
        return self.home / "checks"

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
        for folder in (self.uploads_dir, self.imports_dir, self.prepared_dir, self.checks_dir, self.runs_dir, self.adapters_dir,
                       self.models_dir, self.logs_dir, self.temporary_dir, self.sockets_dir):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _whole_number(environ: Mapping[str, str], name: str, default: int) -> int:
    value = environ.get(name)
    if not value:
        return default
    if not value.isdigit():
        raise SettingInvalid(f"{name} is '{value}'. Give a whole number, for example {default}.")
    return int(value)


def _folders(environ: Mapping[str, str], name: str) -> tuple[Path, ...]:
    folders = [part.strip() for part in (environ.get(name) or "").split(os.pathsep) if part.strip()]
    for folder in folders:
        if not Path(folder).is_absolute():
            raise SettingInvalid(f"{name} has '{folder}'. Give whole paths with '{os.pathsep}' between them, for example "
                                 f"/data{os.pathsep}/mnt/shared.")
    return tuple(dict.fromkeys(Path(folder) for folder in folders))


def _devices(value: str) -> tuple[str, ...]:
    devices = tuple(device.strip() for device in value.split(",") if device.strip())
    for device in devices:
        kind, _, number = device.partition(":")
        if device != "cpu" and not (kind in ("cpu", "cuda") and number.isdigit()):
            raise SettingInvalid(f"STUDIO_DEVICES has '{device}'. Name devices as cuda:0,cuda:1 or cpu; cpu:0,cpu:1 makes two "
                                 "places on the processor.")
    return tuple(dict.fromkeys(devices))
