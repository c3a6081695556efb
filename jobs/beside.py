"""Texts that are worked out once for an environment and kept beside it, for everybody who uses it."""

import os
import sys
import tempfile
from pathlib import Path

OWN = Path(tempfile.gettempdir()) / f"adapter-studio-{os.getuid()}"  # where the environment is another user's
FOLDERS = (Path(sys.prefix) / "share" / "adapter-studio", OWN)


def find_beside(name: str) -> str | None:
    """What was kept by this name."""
    for folder in FOLDERS:
        kept = folder / name
        if kept.is_file() and (folder != OWN or kept.stat().st_uid == os.getuid()):  # anybody may write to the temporary folder
            return kept.read_text("utf-8")
    return None


def keep_beside(name: str, text: str) -> None:
    """Keep a text by this name, whole or not at all; nowhere where no folder may be written to."""
    for folder in FOLDERS:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            part = folder / f"{name}.{os.getpid()}"
            part.write_text(text, "utf-8")
            part.replace(folder / name)
            return
        except OSError:
            continue  # the next folder serves
