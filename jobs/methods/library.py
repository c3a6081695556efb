"""What the installed PEFT offers, for processes that must not import it: asked once, in a process of its own, and kept."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from jobs import peft_types
from storage.settings import REPOSITORY

OWN = Path(tempfile.gettempdir()) / f"adapter-studio-{os.getuid()}"  # where the environment is another user's
FOLDERS = (Path(sys.prefix) / "share" / "adapter-studio", OWN)


@cache
def installed_types() -> list[dict]:
    """The types that jobs.peft_types finds. Raises RuntimeError where PEFT cannot be asked."""
    name = f"methods-{_state()}.json"
    for folder in FOLDERS:
        kept = folder / name
        if kept.is_file() and (folder != OWN or kept.stat().st_uid == os.getuid()):  # anybody may write to the temporary folder
            return json.loads(kept.read_text("utf-8"))["types"]
    asked = subprocess.run([sys.executable, "-m", "jobs.peft_types"], capture_output=True, text=True, cwd=REPOSITORY,
                           env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])})
    if asked.returncode:
        raise RuntimeError(f"PEFT could not be asked for its methods:\n{asked.stderr}")
    for folder in FOLDERS:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            part = folder / f"{name}.{os.getpid()}"
            part.write_text(asked.stdout, "utf-8")
            part.replace(folder / name)
            break
        except OSError:
            continue  # the next folder serves
    return json.loads(asked.stdout)["types"]


@cache
def _state() -> str:
    """Changes with the version of PEFT, with the modules that register types of their own, and with how types are read."""
    parts = [importlib.metadata.version("peft").encode(), Path(peft_types.__file__).read_bytes()]
    for name in peft_types.own_modules():
        found = importlib.util.find_spec(name)
        if found is None or not found.origin:
            raise RuntimeError(f"STUDIO_METHOD_MODULES names the module '{name}', which cannot be found. Put it on PYTHONPATH.")
        parts += [name.encode(), Path(found.origin).read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
