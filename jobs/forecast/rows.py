"""What is known of a recipe's rows before it runs: from the health report of its data, else from earlier runs on them."""

from dataclasses import dataclass
from pathlib import Path

from jobs.checks import report_of
from jobs.recipe import Recipe
from jobs.services import Services
from jobs.sources import keep_source
from storage.problems import StudioError
from storage.records import Dataset, Run

TEXTS = {"preference": 2, "pairs": 2, "triplets": 3}  # in a row, by format: each is read


@dataclass(frozen=True)
class Rows:
    """0: not known."""

    training: int = 0         # rows that an epoch learns from
    mean_tokens: float = 0.0  # of one of them, all its texts together, cut at the recipe's longest row
    longest: int = 0          # in tokens, perhaps uncut


def rows_of(services: Services, recipe: Recipe, folder: Path) -> Rows:
    """Of the dataset or the file that a recipe names, as the base model in `folder` reads it; nothing of mixed or unread data."""
    chosen = recipe.dataset
    dataset = dataset_of(services, chosen.source)
    if dataset is None:
        return Rows()
    runs = [run for run in services.runs.of_group(services.shelf.resolve(recipe.base_model).name, recipe.task, dataset.id)
            if is_read_alike(run, recipe)]
    training = next((run.data["train_rows"] for run in runs if run.recipe["dataset"].get("validation") == chosen.validation),
                    0) or training_rows(dataset, chosen.validation)
    lengths = counted(services, dataset, recipe, folder)
    if lengths:
        most, rows = recipe.training.max_length, sum(count for _, count in lengths)
        mean = sum(min(length, most) * count for length, count in lengths) / rows
        return Rows(training, mean * texts_of(chosen.format if chosen.format != "auto" else dataset.format),
                    max(length for length, _ in lengths))
    return Rows(training, next((mean for run in runs if (mean := mean_tokens(run, recipe.training.max_length))), 0.0),
                next((longest for run in runs if (longest := longest_row(run, recipe.training.max_length))), 0))


def texts_of(format: str) -> int:
    return TEXTS.get(format, 1)


def dataset_of(services: Services, source: str | list[str]) -> Dataset | None:
    """The dataset of that id, or of a file's content; None of anything that would have to be fetched or mixed first."""
    if not isinstance(source, str):
        return None
    if (found := services.datasets.find(source)) or not Path(source).expanduser().is_file():
        return found
    try:
        return keep_source(services, source)
    except StudioError:
        return None  # a forecast needs no data; submitting will say what is wrong with them


def counted(services: Services, dataset: Dataset, recipe: Recipe, folder: Path) -> list[tuple[int, int]]:
    """How many examples have each length, where a health report has counted them for this base model."""
    for check in services.checks.of_dataset(dataset.id):
        wanted = check.wanted
        if (check.state == "finished" and wanted.get("base_path") == str(folder) and wanted.get("task") in ("", recipe.task)
                and wanted.get("chat_template", "") == recipe.chat_template):
            report = report_of(check)
            if report and report.tokens and report.tokens.examples:
                return report.tokens.lengths
    return []


def is_read_alike(run: Run, recipe: Recipe) -> bool:
    """Whether a run made the same tokens of the same rows."""
    theirs, format = run.recipe, recipe.dataset.format
    return (theirs.get("chat_template", "") == recipe.chat_template and not theirs["training"].get("packing")
            and format in ("auto", theirs["dataset"].get("format")))


def training_rows(dataset: Dataset, validation: float | int | str) -> int:
    """About how many rows are learnt from once some are kept aside."""
    rows = dataset.rows or 0
    if isinstance(validation, str):
        return rows
    return max(0, rows - (round(rows * validation) if 0 < validation < 1 else int(validation)))


def longest_row(run: Run, most: int) -> int:
    """Of an earlier run's rows, as far as it tells how long they are when cut at `most` tokens."""
    longest, cut_at = run.data.get("longest_row") or 0, run.recipe["training"]["max_length"]
    return longest if longest and (longest < cut_at or cut_at >= most) else 0


def mean_tokens(run: Run, most: int) -> float:
    """Tokens of a row on average, from what an earlier run read in all; 0 where rows would be cut elsewhere."""
    training = run.recipe["training"]
    rows = rows_read(run)
    is_cut_alike = training["max_length"] == most or 0 < (run.data.get("longest_row") or 0) < min(training["max_length"], most)
    if not (rows and is_cut_alike and run.tokens_per_second and run.train_seconds):
        return 0.0
    return run.tokens_per_second * run.train_seconds / rows


def rows_read(run: Run) -> float:
    """Rows that a run has learnt from, those of every epoch counted."""
    training = run.recipe["training"]
    if training.get("max_steps"):
        return run.step * training["batch_size"] * training["accumulation"]
    return run.data.get("train_rows", 0) * training["epochs"] * run.step / run.total_steps if run.total_steps else 0.0
