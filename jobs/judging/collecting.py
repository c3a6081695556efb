"""Answers put into data: as a new dataset, or as the next version of one that has rows of that kind."""

import json
import shutil
import uuid

from jobs.data.cells import is_empty
from jobs.data.exporting import json_line
from jobs.data.reading import rows_of
from jobs.data.tables import cell_reader
from jobs.imports import first_look, read_dataset
from jobs.services import Services
from jobs.uploads import checked_paths, keep_files
from jobs.versions import NewVersion
from storage.problems import StudioError
from storage.records import Dataset

EXAMPLES, PREFERENCES = "examples", "preferences"
TAKES = {"messages": EXAMPLES, "instruction": EXAMPLES, "prompt-completion": EXAMPLES, "preference": PREFERENCES}
NEW = {EXAMPLES: ("messages", {"messages": "messages"}),
       PREFERENCES: ("preference", {part: part for part in ("prompt", "chosen", "rejected")})}
TASK = "text-generation"


class CannotCollect(StudioError):
    """An answer that a dataset has no place for."""


def fitting(services: Services) -> list[Dataset]:
    """The newest version of every dataset that answers can be added to."""
    newest = {}
    for dataset in services.datasets.all():
        if dataset.family not in newest or newest[dataset.family].version < dataset.version:
            newest[dataset.family] = dataset
    return [dataset for dataset in newest.values() if dataset.format in TAKES and dataset.task == TASK]


def collect(services: Services, rows: list[dict], kind: str, name: str = "", dataset: Dataset | None = None) -> Dataset:
    """Rows as jobs.judging.export makes them, of that kind, as a new dataset of that name or added to `dataset`.

    Returns the new version. Raises CannotCollect where there are no rows, or they do not fit, and what reading the data raises.
    """
    if not rows:
        raise CannotCollect("There is nothing to add: preferences need an answer that is best, and another one that differs.")
    if dataset is None:
        return _new(services, rows, kind, name)
    if TAKES.get(dataset.format or "") != kind:
        raise CannotCollect(f"'{dataset.name}' has rows of another kind ({dataset.format}) than {kind}. Choose other data, or new "
                            "data.")
    checked_paths(services, dataset)
    reading = (dataset.format, dataset.columns or None, dataset.task)
    data = read_dataset(services, dataset, *reading)
    with NewVersion(services, dataset) as version:
        first, unreadable = None, 0
        for source in first_look(services, dataset, *reading).sources:
            for row in rows_of(source):
                if row.values is None:
                    unreadable += 1
                    continue
                first = first or row.values
                version.add(row.values)
        before = version.rows + unreadable
        for row in rows:
            version.add(_as_in(dataset, data.columns, first or {}, row))
        origin = {"kind": "answers", "added": len(rows), "rows_before": before, "rows_after": version.rows,
                  "unreadable": unreadable}
        return version.keep(origin, data, dataset.validation_id)


def _new(services: Services, rows: list[dict], kind: str, name: str) -> Dataset:
    folder = services.settings.temporary_dir / f"answers-{uuid.uuid4().hex}"
    folder.mkdir(parents=True)
    try:
        path = folder / f"{kind}.jsonl"
        path.write_bytes(b"".join(json_line(row) for row in rows))
        format, columns = NEW[kind]
        return keep_files(services, [path], name, {"kind": "answers", "added": len(rows)}, own=True,
                          notes={"task": TASK, "format": format, "columns": columns, "rows": len(rows)})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_in(dataset: Dataset, columns: dict[str, str], first: dict, row: dict) -> dict:
    """A row with the columns of that dataset, and texts where its first row has texts."""
    if any("." in column and column not in first for column in columns.values()):
        raise CannotCollect(f"The columns of '{dataset.name}' stand inside others, where no answer can be added. Choose new data.")
    if dataset.format == "messages":
        texts = isinstance(cell_reader(columns["messages"])(first), str)
        return {columns["messages"]: json.dumps(row["messages"], ensure_ascii=False) if texts else row["messages"]}
    if dataset.format == "preference":
        return _preference(dataset, columns, first, row)
    messages = row["messages"]
    asked, output = ("instruction", "output") if dataset.format == "instruction" else ("prompt", "completion")
    system = messages[0]["content"] if messages[0]["role"] == "system" else ""
    if len(messages) > (3 if system else 2) or system and "system" not in columns:
        raise CannotCollect(f"'{dataset.name}' has a question and an answer in each row, and this answer stands in a longer "
                            "conversation. Choose data with chat messages, or new data.")
    told = {columns["system"]: system} if system else {}
    return {**told, columns[asked]: messages[-2]["content"], columns[output]: messages[-1]["content"]}


def _preference(dataset: Dataset, columns: dict[str, str], first: dict, row: dict) -> dict:
    if "prompt" not in columns:  # both answers are whole conversations
        row = {"chosen": [*row["prompt"], *row["chosen"]], "rejected": [*row["prompt"], *row["rejected"]]}
    found = {}
    for part in columns.keys() & row.keys():
        value, before = row[part], cell_reader(columns[part])(first)
        if isinstance(before, str) and not is_empty(before):
            if len(value) > 1:
                raise CannotCollect(f"'{dataset.name}' has texts, and this comparison has several turns. Choose new data.")
            value = value[0]["content"]
        found[columns[part]] = value
    return found
