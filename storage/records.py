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


class Priority(enum.IntEnum):
    LOW = -1
    NORMAL = 0
    HIGH = 1


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
    owner: str  # whose turn it takes; empty: nobody said
    priority: int  # see Priority
    queue_order: float  # its turn among runs of one priority: the lower goes first
    held: bool
    start_at: float | None  # not before this time
    wanted_device: str  # empty: any
    sweep_id: str | None
    sweep_values: dict  # what this run of a sweep tries, by setting
    continues: str  # the run from whose checkpoint this one goes on
    fence: int
    attempts: int
    crashes: int
    beats: int
    worker_id: str
    host: str
    boot_id: str
    device: str
    pid: int
    process_started_at: float  # seconds since the machine's start
    request: Request
    step: int
    total_steps: int
    training_since: float | None  # when this attempt's first step began, for the time left
    training_since_step: int
    memory_bytes: int | None
    checkpoint_step: int | None  # of the newest whole checkpoint
    best_step: int | None  # whose weights the adapter has, where the best were kept
    adjustments: dict  # training settings that a lack of memory changed
    problem: str
    problem_kind: str
    peak_memory_bytes: int | None
    peak_memory_of: str  # "cuda" (the allocator's peak) or "process" (the trainer's peak resident set)
    memory_before_bytes: int | None  # by the same count, before the base model was loaded
    forecast_memory_bytes: int | None  # of the peak, as it was said before
    forecast: dict  # all that was said: a jobs.forecast.result.Forecast; empty: nothing
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
    deleted_at: float | None


@dataclass(frozen=True)
class RunEvent:
    """One change of a run's state; `from_state` is empty where the run was accepted."""

    run_id: str
    at: float
    from_state: str
    to_state: str
    fence: int
    reason: str


@dataclass(frozen=True)
class RunGroup:
    """Runs whose figures can be compared: one base model, one task, one set of data."""

    base_model: str
    task: str
    dataset_id: str
    dataset_name: str
    runs: int
    methods: int  # different ones


@dataclass(frozen=True)
class Sweep:
    """One recipe with lists of values; its runs carry its id."""

    id: str
    name: str
    owner: str
    recipe: dict  # as it was written, with the lists
    varied: list[str]  # the settings that the runs differ in, such as training.learning_rate
    created_at: float


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
    deleted_at: float | None = None
    blend: dict = field(default_factory=dict)  # of several adapters: how they were combined, and the parents with their weights


class Verdict(enum.StrEnum):
    """What a person said of answers side by side."""

    NONE = ""
    BEST = "best"  # one of them is better than the others
    TIE = "tie"    # all are equally good
    BAD = "bad"    # none is good


@dataclass(frozen=True)
class Comparison:
    """One conversation answered side by side. An answerer is named by its adapter's run id; the base model by BASE."""

    id: str
    created_at: float
    owner: str
    base_model: str
    task: str
    conversation: list[dict]  # messages with role and content; the last one is what was asked
    settings: dict  # of the generation
    answers: list[dict]  # each: answerer, name, text, tokens, seconds, seconds_to_first_token; problem, reading
    blind: bool  # whether the names were hidden until the verdict
    verdict: Verdict
    best: str  # the answerer that is best; empty for every other verdict
    note: str
    judged_at: float | None


BASE = "base"  # the answerer without an adapter


@dataclass(frozen=True)
class Role:
    """What an adapter is for, with prompts that should go to it."""

    id: str
    name: str
    run_id: str
    prompts: list[str]
    created_at: float


@dataclass(frozen=True)
class Certificate:
    """An evaluation of a finished adapter: asked for, under way or made."""

    run_id: str
    wanted: dict  # a jobs.certificate.Wanted
    state: str  # queued, running, finished or failed
    phase: str
    done: float  # share, 0 to 1
    problem: str
    report: dict | None
    passed: bool | None
    asked_at: float
    beat_at: int


@dataclass(frozen=True)
class Dataset:
    """One version of a dataset: files that are kept under their hash, and never change."""

    id: str
    name: str
    sha256: str
    bytes: int
    files: list[dict]  # name, path relative to the uploads folder, bytes, sha256
    created_at: float
    deleted_at: float | None = None
    family: str = ""  # the id of the first version
    version: int = 1
    parent_id: str = ""  # the version that it was made of
    origin: dict = field(default_factory=dict)  # `kind` (upload, folder, hub, mend, split, …) and what belongs to it
    task: str = ""  # how it is read: empty until somebody looked
    format: str = ""
    columns: dict = field(default_factory=dict)  # from part to column
    rows: int | None = None
    validation_id: str = ""  # the dataset to measure with, where this one is the training part of a split


@dataclass(frozen=True)
class DataCheck:
    """The health report of a dataset read in one way: queued, running, finished or failed."""

    id: str  # of what is wanted, so that the same is never worked out twice
    dataset_id: str
    wanted: dict  # task, format, columns, base_path, max_length
    state: str
    phase: str  # reading, comparing, counting tokens, …
    done: float  # 0 to 1
    problem: str
    report: dict | None
    asked_at: float
    beat_at: int


@dataclass(frozen=True)
class Worker:
    id: str
    host: str
    pid: int
    process_started_at: float  # seconds since the machine's start
    boot_id: str
    devices: list[str]
    started_at: float
    beat_at: int
    facts: dict[str, dict] = field(default_factory=dict)  # by device, as jobs.devices.DeviceFacts has them


@dataclass(frozen=True)
class Download:
    """A base model on its way from the Hub: queued, running, finished, failed or cancelled."""

    hub_id: str
    state: str
    done_bytes: int
    total_bytes: int
    problem: str
    asked_at: float
    beat_at: int = field(default=0)
