"""A run as `train --json` and `runs show --json` print it."""

from jobs.services import Services
from storage.records import Run


def run_summary(services: Services, run: Run) -> dict:
    """The run's figures by their fixed names; sizes in bytes, durations in seconds, None where nothing was measured."""
    adapter = services.adapters.find(run.id)
    adapters_dir = services.settings.adapters_dir
    return {
        "run_id": run.id,
        "status": run.state.value,
        "problem": run.problem or None,
        "problem_kind": run.problem_kind or None,
        "attempts": run.attempts,
        "continues": run.continues or None,
        "adapter_dir": str(adapters_dir / adapter.folder) if adapter else None,
        "adapter_zip": str(adapters_dir / adapter.zip_name) if adapter else None,
        "peak_memory_bytes": run.peak_memory_bytes,
        "peak_memory_of": run.peak_memory_of or None,
        "forecast_memory_bytes": run.forecast_memory_bytes,
        "checkpoint_bytes": run.checkpoint_bytes,
        "trainable_parameters": run.trainable_parameters,
        "total_parameters": run.total_parameters,
        "seconds_to_first_step": run.seconds_to_first_step,
        "train_seconds": run.train_seconds,
        "tokens_per_second": run.tokens_per_second,
        "metrics": run.metrics,
    }
