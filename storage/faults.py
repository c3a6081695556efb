"""Faults on purpose, for the tests: STUDIO_FAULT names a point in the code and what goes wrong there.

STUDIO_FAULT is NAME:COUNT or NAME:COUNT:HOW. The fault strikes the COUNT-th time that a process passes the point NAME; the name
of a group, such as finish, stands for every point finish.… in it. HOW is exit (at once, as if killed; this is what happens where
nothing is said), raise (an OSError), stop (the process stops, as with SIGSTOP) or oom (the device's memory runs out).
STUDIO_FAULT_ONCE names a file that is made when the fault strikes: while it is there, no process strikes again.
"""

import itertools
import os
import signal
import sys
from collections.abc import Mapping

from storage.problems import SettingInvalid

EXIT_CODE = 70
HOWS = ("exit", "raise", "stop", "oom")


class Fault:
    """One fault that waits for its moment."""

    def __init__(self, name: str, count: int, how: str = "exit", once: str = ""):
        self.name, self.count, self.how, self.once = name, count, how, once
        self.passings = itertools.count(1)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Fault | None":
        """Read STUDIO_FAULT; None where it is not set, SettingInvalid where it cannot be read."""
        value = environ.get("STUDIO_FAULT")
        if not value:
            return None
        name, count, how = [*value.split(":"), "exit"][:3] if value.count(":") in (1, 2) else ("", "", "")
        if not name or not count.isdigit() or how not in HOWS:
            raise SettingInvalid(f"STUDIO_FAULT is '{value}'. Give NAME:COUNT or NAME:COUNT:HOW, with one of {', '.join(HOWS)}.")
        return cls(name, int(count), how, environ.get("STUDIO_FAULT_ONCE", ""))

    def pass_point(self, point: str) -> None:
        """Count a passing of `point`, and strike when it is the one."""
        if (point == self.name or point.startswith(f"{self.name}.")) and next(self.passings) == self.count and self._may_strike():
            self._strike(point)

    def _may_strike(self) -> bool:
        if not self.once:
            return True
        try:
            os.close(os.open(self.once, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        return True

    def _strike(self, point: str) -> None:
        print(f"Fault on purpose at {point}: {self.how}.", file=sys.stderr, flush=True)
        if self.how == "exit":
            os._exit(EXIT_CODE)
        if self.how == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.how == "raise":
            raise OSError(f"A fault on purpose at {point}.")
        if self.how == "oom":
            torch = sys.modules.get("torch")  # never imported from here
            raise (torch.OutOfMemoryError if torch else MemoryError)(f"A fault on purpose at {point}.")


_fault = Fault.from_env(os.environ)


def fault_point(name: str) -> None:
    """A place where something can go wrong; nothing does unless STUDIO_FAULT names it."""
    if _fault is not None:
        _fault.pass_point(name)
