"""What the installed PEFT offers, for processes that must not import it: asked once, in a process of its own, and kept."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from jobs import peft_types
from jobs.beside import find_beside, keep_beside
from storage.settings import REPOSITORY


@cache
def installed_types() -> list[dict]:
    """The types that jobs.peft_types finds. Raises RuntimeError where PEFT cannot be asked."""
    name = f"methods-{_state()}.json"
    if kept := find_beside(name):
        return json.loads(kept)["types"]
    asked = subprocess.run([sys.executable, "-m", "jobs.peft_types"], capture_output=True, text=True, cwd=REPOSITORY,
                           env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])})
    if asked.returncode:
        raise RuntimeError(f"PEFT could not be asked for its methods:\n{asked.stderr}")
    keep_beside(name, asked.stdout)
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
