"""Starts the playground's process beside a worker."""

import os
import subprocess
import sys

from storage.settings import REPOSITORY, StudioSettings


def start_playground(settings: StudioSettings) -> subprocess.Popen:
    """Start the process; it ends by itself when this one is gone. What it prints goes to logs/playground.log.

    It answers on settings.playground_socket at once and prompts some seconds later, once torch is imported.
    """
    settings.make_folders()
    logs = settings.home / "logs"
    logs.mkdir(exist_ok=True, mode=0o700)
    device = settings.devices[0] if settings.devices else "auto"
    with (logs / "playground.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs.playground.server", "--socket", str(settings.playground_socket),
             "--device", device, "--parent-pid", str(os.getpid())],
            cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            # everything it loads is a folder on this machine; spinning threads would take the cores from a training
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")})
