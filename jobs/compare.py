"""The answers of a base model and its adapters to one prompt or a list of them, without a page."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from jobs.checksums import check_adapter
from jobs.judging.export import FORMULA
from jobs.playground.request import GenerateRequest, Pane, read_settings
from jobs.recipe import PEFT_TASKS
from jobs.services import Services
from jobs.whole_models import is_whole_model
from storage.problems import NotFound

CONFIG = "adapter_config.json"


def task_of(folder: Path) -> str | None:
    """The task that an adapter's config tells; None where it tells none that the studio has."""
    try:
        kind = json.loads((folder / CONFIG).read_bytes()).get("task_type")
    except (OSError, ValueError):  # told in full once the adapter is loaded
        return None
    return next((task for task, name in PEFT_TASKS.items() if name == kind), None)


def generate_answers(services: Services, base: str, adapters: list[str], prompt: str, settings: dict) -> list[dict]:
    """`name`, `text`, `tokens` and `seconds` of each answer, the base model's first, computed in this process.

    An adapter is a run's id or a PEFT folder. Raises NotFound, RequestInvalid or a problem of loading.
    """
    return next(answer_prompts(services, base, adapters, [prompt], settings))["answers"]


def answer_prompts(services: Services, base: str, adapters: list[str], prompts: Iterable[str], settings: dict) -> Iterator[dict]:
    """`prompt` and `answers`, as generate_answers gives them, for one prompt after the other; the models are loaded once."""
    request = None
    for prompt in prompts:
        if request is None:
            request = request_for(services, base, adapters, prompt, settings)
            from jobs.playground.bench import Bench  # imports torch

            bench = Bench()
        yield {"prompt": prompt, "answers": bench.answers(request.model_copy(update={"prompt": prompt}))}


def request_for(services: Services, base: str, adapters: list[str], prompt: str, settings: dict) -> GenerateRequest:
    """What is asked of the base model and of adapters on it, once all of them are found."""
    resolved = services.shelf.resolve(base)
    panes, tasks = [Pane(name=resolved.name)], set()
    for wanted in adapters:
        known = services.adapters.find(wanted)
        folder = check_adapter(services.settings.adapters_dir, known) if known else Path(wanted).expanduser()
        if not (folder / CONFIG).is_file() and not is_whole_model(folder):
            raise NotFound(f"'{wanted}' is neither the id of a run with an adapter nor a folder with adapter_config.json or a "
                           "model. python app.py runs lists the runs.")
        if known:
            tasks.add(known.task)
        elif task := task_of(folder):
            tasks.add(task)
        name = known.name if known else folder.name
        taken = {pane.name for pane in panes}
        panes.append(Pane(name=name if name not in taken else f"{name} ({wanted})", adapter_folder=folder))
    return GenerateRequest(base_path=resolved.path, base_name=resolved.name, panes=panes, prompt=prompt,
                           task=tasks.pop() if len(tasks) == 1 else "text-generation", settings=read_settings(settings))


def write_table(rows: Iterable[dict], path: Path) -> int:
    """Write what answer_prompts gives to a .jsonl or a .csv file, a row for each prompt; returns their number.

    In CSV, a text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    count, csv_writer = 0, None
    with path.open("w", encoding="utf-8", newline="") as stream:
        for row in rows:
            texts = {answer["name"]: answer.get("problem") or answer["text"] for answer in row["answers"]}
            if path.suffix.lower() != ".csv":
                stream.write(json.dumps({"prompt": row["prompt"], "answers": texts}, ensure_ascii=False) + "\n")
            else:
                if csv_writer is None:
                    csv_writer = csv.writer(stream)
                    csv_writer.writerow(["prompt", *texts])
                csv_writer.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in (row["prompt"], *texts.values())])
            stream.flush()  # what is there stays, should the next one fail
            count += 1
    return count
