"""Folders that are worked out once and then opened by everybody who needs the same."""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, made now by `make` if nobody has made it before; it appears whole or not at all."""
    if not folder.is_dir():
        partial = folder.parent / f".{uuid.uuid4().hex}.part"
        partial.mkdir(parents=True)
        try:
            make(partial)
            try:
                partial.rename(folder)
            except OSError:
                if not folder.is_dir():  # somebody else was quicker: theirs is the same
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    os.utime(folder)  # the janitor removes what nobody has opened for long
    return folder
