"""Records are values: what a repository hands out does not change under the reader."""

import enum
from dataclasses import dataclass, field


class RunState(enum.StrEnum):
    QUEUED = "queued"        # waiting for a device
    RUNNING = "running"      # a trainer holds the lease; see Phase
    FINISHED = "finished"    # the adapter is in the library
    STOPPED = "stopped"      # the person asked; what was learnt is in the library
    CANCELLED = "cancelled"  # the person asked; nothing is kept
    FAILED = "failed"        # see Run.problem

    @property
    def is_end(self) -> bool:
        return self not in (RunState.QUEUED, RunState.RUNNING)


class Phase(enum.StrEnum):
    PREPARING = "preparing"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SAVING = "saving"


class Request(enum.StrEnum):
    """What somebody asked of a running trainer."""

    NONE = ""
    STOP = "stop"      # save what was learnt and end
    CANCEL = "cancel"  # throw it away and end
    PAUSE = "pause"    # save a checkpoint and go back to the queue: the studio is being shut down


@dataclass(frozen=True)
class Run:
    """One attempt at a recipe. Sizes in bytes, times in seconds since 1970, durations in seconds."""

    id: str
    name: str
    state: RunState
    phase: str
    task: str
    method: str
    base_model: str
    recipe: dict
    submission_key: str | None
    created_at: float
    started_at: float | None  # when the first attempt began
    claimed_at: float | None  # when the latest attempt began
    finished_at: float | None
    queue_order: float
    fence: int
    attempts: int
    crashes: int
    lease_until: int
    host: str
    device: str
    pid: int
    process_started_at: float
    request: Request
    requested_at: int
    step: int
    total_steps: int
    training_since: float | None  # when this attempt's first step began, for the time left
    training_since_step: int
    memory_bytes: int | None
    problem: str
    problem_kind: str
    peak_memory_bytes: int | None
    peak_memory_of: str  # "cuda" (the allocator's peak) or "process" (the trainer's peak resident set)
    checkpoint_bytes: int | None
    trainable_parameters: int | None
    total_parameters: int | None
    seconds_to_first_step: float | None
    train_seconds: float | None
    tokens_per_second: float | None
    eval_loss: float | None
    eval_loss_before: float | None
    metrics: dict
    samples: list
    base: dict
    data: dict
    environment: dict


@dataclass(frozen=True)
class MetricPoint:
    step: int
    name: str
    value: float


@dataclass(frozen=True)
class LogLine:
    id: int
    at: float
    level: str  # info, warning or error
    text: str


@dataclass(frozen=True)
class Adapter:
    """What a run leaves. `folder` and `zip_name` are relative to the adapters folder."""

    run_id: str
    name: str
    folder: str
    zip_name: str
    bytes: int
    zip_bytes: int
    files: list[dict]  # name, bytes, sha256
    task: str
    method: str
    base_model: str
    base_path: str
    base_hash: str
    created_at: float


@dataclass(frozen=True)
class Dataset:
    """One or more uploaded files, kept under their hash."""

    id: str
    name: str
    sha256: str
    bytes: int
    files: list[dict]  # name, path relative to the uploads folder, bytes, sha256
    created_at: float


@dataclass(frozen=True)
class Worker:
    id: str
    host: str
    pid: int
    devices: list[str]
    started_at: float
    beat_at: int


@dataclass(frozen=True)
class Download:
    """A base model on its way from the Hub: queued, running, finished or failed."""

    hub_id: str
    state: str
    done_bytes: int
    total_bytes: int
    problem: str
    asked_at: float
    beat_at: int = field(default=0)
