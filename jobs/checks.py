"""Health reports: asking for one, and reading what was found."""

import hashlib
import json
from array import array
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jobs.data.health.report import Report
from jobs.services import Services
from storage.records import DataCheck, Dataset
from storage.settings import StudioSettings

CHECKING = 1  # counted up where the same data would get another report than before
ROW_BYTES = 8


@dataclass(frozen=True)
class ReadAs:
    """How the rows of a dataset are read; what is empty is recognised."""

    task: str = ""
    format: str = "auto"
    columns: dict[str, str] = field(default_factory=dict)  # from part to column


def ask_check(services: Services, dataset: Dataset, read_as: ReadAs, base_path: str = "", chat_template: str = "",
              validation_id: str = "", max_length: int = 0) -> DataCheck:
    """Ask for the health report of a dataset read in one way; the same question again gives the same record.

    With `base_path`, rows are counted in that base model's tokens, with `chat_template` in place of its own; rows longer
    than `max_length` are a finding then (0: than the base model can read). `validation_id` is the dataset to measure with.
    """
    wanted = {**asdict(read_as), "base_path": str(base_path), "chat_template": chat_template, "validation_id": validation_id,
              "max_length": max_length}
    key = [CHECKING, dataset.id, wanted, _stamps(base_path)]
    check_id = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    known = services.checks.find(check_id)
    is_lost = known is not None and known.state == "finished" and not (services.settings.checks_dir / check_id).is_dir()
    check = services.checks.ask(check_id, dataset.id, wanted, again=is_lost)
    if check.state == "queued":
        services.bell.ring_for_check(check.id)
    return check


def report_of(check: DataCheck) -> Report | None:
    """The report of a check that has finished."""
    return Report.model_validate(check.report) if check.report else None


def rows_of(settings: StudioSettings, check_id: str, kind: str) -> array:
    """The numbers of all examples that a finding is about, in ascending order; none where it is about no examples."""
    rows = array("Q")
    path = settings.checks_dir / Path(check_id).name / f"{Path(kind).name}.bin"
    if path.is_file():
        with path.open("rb") as stream:
            rows.fromfile(stream, path.stat().st_size // ROW_BYTES)
    return rows


def _stamps(base_path: str) -> list:
    """What changes with the tokenizer and the chat template of a folder."""
    if not base_path:
        return []
    files = [path for pattern in ("*token*", "*.json", "*.jinja", "*.model") for path in Path(base_path).glob(pattern)]
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(set(files)) if path.is_file()]
