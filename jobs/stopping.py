"""Ends a stopped run whose trainer is gone: its last whole checkpoint becomes the adapter, without any training code."""

from jobs.checkpoints import for_adapter, keep_last, newest, step_of
from jobs.export import publish_checkpoint, remove_published
from jobs.run_log import tell
from jobs.services import Services
from storage.faults import fault_point
from storage.records import Run, RunState


def end_from_checkpoint(services: Services, run: Run) -> None:
    """Publish what the newest checkpoint of a claimed run holds, or the best one where that is to be kept; end it as stopped."""
    checkpoints_dir = services.settings.runs_dir / run.id / "checkpoints"
    last = newest(checkpoints_dir)
    checkpoint = for_adapter(last) if last else None
    adapter = publish_checkpoint(services, run, checkpoint) if checkpoint else None
    tell(services, run.id, f"Stopped. What was learnt up to step {step_of(checkpoint)} is in the library." if checkpoint else
         "Stopped before the first checkpoint: there is nothing to keep.")
    fault_point("finish.commit")
    held = services.leases.end(run.id, run.fence, RunState.STOPPED, adapter=adapter)
    fault_point("finish.committed")
    if held:
        keep_last(checkpoints_dir, with_best=True)
    elif adapter:
        remove_published(services.settings.adapters_dir, adapter)
