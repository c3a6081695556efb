"""What a forecast says, and what it is asked. Nothing here imports torch: the page reads it too."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

PARTS = ("base weights", "adapter", "gradients", "optimizer states", "activations", "loss head", "device overhead")


@dataclass(frozen=True)
class Known:
    """What is known of the data of a recipe; its own settings say the rest."""

    format: str = ""        # as in jobs.recipe.DataFormat; empty: not known
    labels: int = 2         # of a classification
    longest_row: int = 0    # in tokens; 0: not known
    evaluates: bool = True  # whether there are validation rows


@dataclass(frozen=True)
class Suggestion:
    """A change of the recipe that takes less memory, and what it costs."""

    change: dict[str, Any]  # settings by their names in the recipe, such as {"training.gradient_checkpointing": True}
    peak_memory_bytes: int
    fits: bool
    words: str


FITS, TIGHT, TOO_LARGE, UNKNOWN = "fits", "tight", "does not fit", "unknown"
EXCHANGED = 4  # bytes for each number that learns, as torch's DDP holds them in its buckets
ROOM = 0.9  # of the device's memory: a run that takes more is tight, since others use the device too


@dataclass(frozen=True)
class Seconds:
    """How long something will take: most likely, and between what."""

    likely: float
    least: float
    most: float


@dataclass(frozen=True)
class Forecast:
    """What a run will take. Bytes are of one device's memory, as the run itself will count them."""

    device: str                    # cpu or cuda
    peak_memory_bytes: int
    parts: dict[str, int]          # by PARTS, at the moment of the peak; their sum is the peak
    when: str                      # in which part of a step the peak is
    trainable_parameters: int
    total_parameters: int
    checkpoint_bytes: int          # of the adapter's weights, or the model's
    disk_bytes: int                # that the run needs free, its checkpoints included
    evaluation_bytes: int = 0      # the peak while it evaluates
    beside_bytes: int = 0          # that the device must have beyond the peak, which no run counts
    device_memory_bytes: int = 0   # 0: not known
    fits: bool | None = None       # None: the device's memory is not known
    suggestions: list[Suggestion] = field(default_factory=list)
    step_operations: float = 0.0   # floating-point ones, forth and back, of one batch in which all rows have the longest length
    step_tokens: int = 0           # of such a batch; with accumulation a step of the optimizer takes several
    device_name: str = ""          # whose own runs were asked; empty: not known
    basis: str = ""                # which fitted terms it was made with
    correction: float = 1.0        # what runs of this device have taught; `parts` has it in already
    learnt_from: int = 0           # how many runs taught it
    step_seconds: Seconds | None = None  # None: this device has run nothing yet that tells
    run_seconds: Seconds | None = None
    devices: int = 1               # side by side, each with the whole model and the recipe's batch; bytes are of each of them

    @property
    def verdict(self) -> str:
        """Whether it fits the device: one of FITS, TIGHT, TOO_LARGE and UNKNOWN."""
        if self.fits is None:
            return UNKNOWN
        taken = self.peak_memory_bytes + self.beside_bytes
        return TOO_LARGE if not self.fits else TIGHT if taken > ROOM * self.device_memory_bytes else FITS

    def on_devices(self, count: int) -> "Forecast":
        """The same where several devices train one copy each: each also holds all gradients once more, to exchange them."""
        if count == self.devices == 1:
            return self
        exchanged = EXCHANGED * self.trainable_parameters
        peak = self.peak_memory_bytes + exchanged
        fits = None if self.fits is None else peak + self.beside_bytes <= self.device_memory_bytes
        return replace(self, devices=count, peak_memory_bytes=peak, fits=fits, suggestions=[],
                       parts={**self.parts, "gradients": self.parts["gradients"] + exchanged})

    def record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Forecast":
        seconds = {name: Seconds(**record[name]) for name in ("step_seconds", "run_seconds") if record.get(name)}
        return cls(**{**record, **seconds, "suggestions": [Suggestion(**suggestion) for suggestion in record["suggestions"]]})
