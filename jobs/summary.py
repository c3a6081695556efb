"""A run as `train --json` and `runs show --json` print it, and as it is forgotten."""

import shutil

from jobs.services import Services
from storage.problems import NotFound
from storage.records import Run


def run_summary(services: Services, run: Run) -> dict:
    """The run's figures by their fixed names; sizes in bytes, durations in seconds, None where nothing was measured."""
    adapter = services.adapters.find(run.id)
    adapters_dir = services.settings.adapters_dir
    return {
        "run_id": run.id,
        "status": run.state.value,
        "problem": run.problem or None,
        "attempts": run.attempts,
        "adapter_dir": str(adapters_dir / adapter.folder) if adapter else None,
        "adapter_zip": str(adapters_dir / adapter.zip_name) if adapter else None,
        "peak_memory_bytes": run.peak_memory_bytes,
        "peak_memory_of": run.peak_memory_of or None,
        "forecast_memory_bytes": None,
        "checkpoint_bytes": run.checkpoint_bytes,
        "trainable_parameters": run.trainable_parameters,
        "total_parameters": run.total_parameters,
        "seconds_to_first_step": run.seconds_to_first_step,
        "train_seconds": run.train_seconds,
        "tokens_per_second": run.tokens_per_second,
        "metrics": run.metrics,
    }


def delete_run_and_files(services: Services, run_id: str) -> None:
    """Forget an ended run with its adapter, zip, checkpoints and log; raises NotFound for one that has not ended."""
    run, adapter = services.runs.get(run_id), services.adapters.find(run_id)
    if not run.state.is_end:
        raise NotFound(f"The run '{run.name}' is {run.state.value}. Cancel it before deleting it.")
    services.runs.delete(run_id)
    shutil.rmtree(services.settings.runs_dir / run_id, ignore_errors=True)
    if adapter:
        shutil.rmtree(services.settings.adapters_dir / adapter.folder, ignore_errors=True)
        (services.settings.adapters_dir / adapter.zip_name).unlink(missing_ok=True)
