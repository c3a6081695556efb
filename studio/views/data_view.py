"""Uploaded data as the Train page shows it."""

import json
from dataclasses import dataclass
from itertools import islice

from jobs.data import FORMATS, LoadedData, Recognition, read_rows
from jobs.data.tables import column_names
from jobs.imports import first_look, read_again, read_dataset
from jobs.services import Services
from jobs.uploads import dataset_paths, find_dataset
from storage.problems import StudioError
from storage.records import Dataset
from studio.problems import sentences
from studio.render import render
from studio.text import ENGLISH

PREVIEW_ROWS = 5
NAMED_ROWS = 20  # that are left out, one by one
LONGEST_VALUE = 240  # characters of a cell
READ_AT_ONCE = 8_000_000  # bytes that are read within a second; larger data is looked at, and read in the background


@dataclass(frozen=True)
class DataView:
    """A dataset that was read, or that could not be used and why; `column_names` are there in both cases, if it has any.

    Where only a first look was taken, there is no `data` yet; `found` is there in both cases.
    """

    dataset: Dataset | None = None
    found: Recognition | None = None
    data: LoadedData | None = None
    preview: tuple[dict, ...] = ()
    column_names: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def html(self) -> str:
        parts = (
            {column: ENGLISH[f"part.{self.found.format}.{part}.title"] for part, column in self.found.columns.items()}
            if self.found
            else {}
        )
        # dotted names are parts of a column: the table shows the column itself
        columns = list(dict.fromkeys(key for row in self.preview for key in row))
        return render(
            "data.html",
            dataset=self.dataset,
            found=self.found,
            data=self.data,
            columns=columns,
            parts=parts,
            left_out=list(islice(self.data.left_out, NAMED_ROWS)) if self.data else [],
            rows=[[_cell(row.get(column)) for column in columns] for row in self.preview],
        )


def read_data(
    services: Services,
    dataset_id: str,
    format: str = "auto",
    columns: dict[str, str] | None = None,
    task: str | None = None,
) -> DataView:
    """Read a kept dataset as a recipe would; of a large one that was not read yet, take a first look.

    What is wrong with it is part of the view, so that it can be put right.
    """
    try:
        dataset = find_dataset(services, dataset_id)
    except StudioError as problem:
        return DataView(problems=tuple(sentences(problem)))
    if dataset is None:
        return DataView()
    try:
        seen = first_look(services, dataset, format, columns, task)
        data = read_again(services, dataset, seen)
        if data is None and dataset.bytes <= READ_AT_ONCE:
            data = read_dataset(services, dataset, format, columns, task)
    except StudioError as problem:
        preview, names = _peek(services, dataset)
        return DataView(dataset, preview=preview, column_names=names, problems=tuple(sentences(problem)))
    return DataView(dataset, seen.found, data, tuple(seen.preview[:PREVIEW_ROWS]), tuple((data or seen.found).column_names))


def parts_of(format: str) -> list[tuple[str, bool]]:
    """The parts of a format, each with whether it is required; none while the format is not settled."""
    return [(part.name, part.required) for part in FORMATS[format].parts] if format in FORMATS else []


def _peek(services: Services, dataset: Dataset) -> tuple[tuple[dict, ...], tuple[str, ...]]:
    """The first rows of a file that cannot be used as it is, as far as it can be read at all."""
    try:
        rows = [row.values for row in islice(read_rows(dataset_paths(services, dataset)[0]), 100) if row.values is not None]
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
