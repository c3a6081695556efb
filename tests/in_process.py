"""Training in the test's own process: what a worker and its trainers do, without the seconds that they take to start."""

import time

from storage import faults


def train_here(services, device: str = "cpu") -> None:
    """Work through the queue until nothing can start any more."""
    import torch

    from jobs.training.process import execute_run

    torch.set_num_threads(1)  # tiny models gain nothing by more, and wait for each other where cores are shared
    while run := services.leases.claim_next(device, "here"):
        run_dir = services.settings.runs_dir / run.id
        run_dir.mkdir(parents=True, exist_ok=True)
        execute_run(services, run, run_dir, time.monotonic())


def strike(monkeypatch, point: str, how: str = "oom", once=None) -> None:
    """Make something go wrong at a point, NAME:COUNT; every time anew, or only once by a file that says that it has struck."""
    name, count = point.split(":")
    monkeypatch.setattr(faults, "_fault", faults.Fault(name, int(count), how, str(once or "")))


def weights_of(services, run_id: str) -> dict:
    """The tensors of a run's adapter."""
    from safetensors.torch import load_file

    adapter = services.adapters.get(run_id)
    return load_file(services.settings.adapters_dir / adapter.folder / "adapter_model.safetensors")
