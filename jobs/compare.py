"""The answers of a base model and its adapters to one prompt, without a page."""

from pathlib import Path

from jobs.playground.request import GenerateRequest, Pane, read_settings
from jobs.services import Services
from storage.problems import NotFound


def generate_answers(services: Services, base: str, adapters: list[str], prompt: str, settings: dict) -> list[dict]:
    """`name`, `text`, `tokens` and `seconds` of each answer, the base model's first, computed in this process.

    An adapter is a run's id or a PEFT folder. Raises NotFound, RequestInvalid or a problem of loading.
    """
    resolved = services.shelf.resolve(base)
    panes, tasks = [Pane(name=resolved.name)], set()
    for wanted in adapters:
        known = services.adapters.find(wanted)
        folder = services.settings.adapters_dir / known.folder if known else Path(wanted).expanduser()
        if not (folder / "adapter_config.json").is_file():
            raise NotFound(f"'{wanted}' is neither the id of a run with an adapter nor a folder with adapter_config.json. "
                           "python app.py runs lists the runs.")
        if known:
            tasks.add(known.task)
        elif (folder / "config.json").is_file():
            tasks.add("text-classification")  # only these adapters carry a config, for its label names
        name = known.name if known else folder.name
        taken = {pane.name for pane in panes}
        panes.append(Pane(name=name if name not in taken else f"{name} ({wanted})", adapter_folder=folder))
    request = GenerateRequest(base_path=resolved.path, base_name=resolved.name, panes=panes, prompt=prompt,
                              task=tasks.pop() if len(tasks) == 1 else "text-generation", settings=read_settings(settings))
    from jobs.playground.bench import generate_here  # imports torch

    return generate_here(request)
