"""Uploaded data as the Train page shows it."""

import json
from dataclasses import dataclass
from itertools import islice

from jobs.data import FORMATS, LoadedData, load_dataset, read_rows
from jobs.data.tables import column_names
from jobs.services import Services
from jobs.uploads import dataset_paths
from storage.problems import StudioError
from storage.records import Dataset
from studio.problems import sentences
from studio.render import render
from studio.text import ENGLISH

PREVIEW_ROWS = 5
LONGEST_VALUE = 240  # characters of a cell


@dataclass(frozen=True)
class DataView:
    """A dataset that was read, or that could not be used and why; `column_names` are there in both cases, if it has any."""

    dataset: Dataset | None = None
    data: LoadedData | None = None
    preview: tuple[dict, ...] = ()
    column_names: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def html(self) -> str:
        parts = (
            {column: ENGLISH[f"part.{self.data.format}.{part}.title"] for part, column in self.data.columns.items()}
            if self.data
            else {}
        )
        # dotted names are parts of a column: the table shows the column itself
        columns = list(dict.fromkeys(key for row in self.preview for key in row))
        return render(
            "data.html",
            dataset=self.dataset,
            data=self.data,
            columns=columns,
            parts=parts,
            rows=[[_cell(row.get(column)) for column in columns] for row in self.preview],
        )


def read_data(
    services: Services,
    dataset_id: str,
    format: str = "auto",
    columns: dict[str, str] | None = None,
    task: str | None = None,
) -> DataView:
    """Read a kept dataset as a recipe would. What is wrong with it is part of the view, so that it can be put right."""
    dataset = services.datasets.find(dataset_id)
    if dataset is None:
        return DataView()
    try:
        data = load_dataset(dataset_paths(services, dataset), format=format, columns=columns or None, task=task)
    except StudioError as problem:
        preview, names = _peek(services, dataset)
        return DataView(dataset, None, preview, names, tuple(sentences(problem)))
    return DataView(dataset, data, tuple(data.preview[:PREVIEW_ROWS]), tuple(data.column_names))


def parts_of(format: str) -> list[tuple[str, bool]]:
    """The parts of a format, each with whether it is required; none while the format is not settled."""
    return [(part.name, part.required) for part in FORMATS[format].parts] if format in FORMATS else []


def _peek(services: Services, dataset: Dataset) -> tuple[tuple[dict, ...], tuple[str, ...]]:
    """The first rows of a file that cannot be used as it is, as far as it can be read at all."""
    try:
        rows = [row.values for row in islice(read_rows(dataset_paths(services, dataset)[0]), 100)]
    except StudioError:
        return (), ()  # the problem that led here says more
    return tuple(rows[:PREVIEW_ROWS]), tuple(column_names(rows))


def _cell(value) -> str:
    """A value as text: turns of a conversation one under the other, anything else as it would stand in the file."""
    if isinstance(value, list) and value and all(isinstance(turn, dict) and "content" in turn for turn in value):
        text = "\n".join(f"{turn.get('role', '')}: {turn['content']}" for turn in value)
    else:
        text = (
            "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        )
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE].rstrip() + "…"
