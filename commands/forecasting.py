"""What a recipe will take, said before it starts."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from commands.console import AsJson, err, open_studio, out, print_json

app = typer.Typer()


def time_range(seconds) -> str:
    from jobs import units

    return f"about {units.duration(seconds.likely)} ({units.duration(seconds.least)} to {units.duration(seconds.most)})"


@app.command()
def forecast(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file. Of its base model a config.json is enough.")],
    device: Annotated[str, typer.Option(help="cpu or cuda. Empty: what this machine has.")] = "",
    device_memory: Annotated[int, typer.Option(min=0, help="The device's memory in bytes. 0: this machine's.")] = 0,
    devices: Annotated[int, typer.Option(min=1, help="So many devices with a copy of the model each; figures are of one.")] = 1,
    as_json: AsJson = False,
) -> None:
    """What a run by a recipe will take: peak memory part by part, sizes, whether it fits, and what to change where it does not."""
    from jobs import units
    from jobs.forecast.asking import device_asked, folder_of, forecast_for
    from jobs.recipe_reader import read_recipe, read_values_file
    from storage.problems import RecipeInvalid

    if device not in ("", "cpu", "cuda"):
        raise RecipeInvalid([f"--device is '{device}'. Choose cpu or cuda."])
    services, wanted = open_studio(), read_recipe(read_values_file(recipe))
    facts = device_asked(device, device_memory)
    folder_of(services, wanted)  # says what is wrong with it before torch is imported
    with err.status("Making a step without numbers."):
        from jobs.forecast.forecast import forecast_with_suggestions  # torch is imported here

        found = forecast_for(services, wanted, device=facts, ask=forecast_with_suggestions).on_devices(devices)
    table = Table(show_header=False, box=None)
    for part, size in found.parts.items():
        table.add_row(part, units.size(size))
    table.add_row("peak memory", f"{units.size(found.peak_memory_bytes)} of {units.size(found.device_memory_bytes)}"
                  if found.device_memory_bytes else units.size(found.peak_memory_bytes))
    table.add_row("fits", {True: "yes", False: "no", None: "the device's memory is not known"}[found.fits])
    table.add_row("learns", f"{found.trainable_parameters:,} of {found.total_parameters:,} parameters")
    table.add_row("file of weights", units.size(found.checkpoint_bytes))
    if found.step_seconds:
        table.add_row("a step", time_range(found.step_seconds))
    if found.run_seconds:
        table.add_row("the whole run", time_range(found.run_seconds))
    out.print(table)
    for suggestion in found.suggestions:
        out.print(f"It would fit: {suggestion.words}", markup=False, highlight=False)
    if as_json:
        print_json(found.record())


@app.command()
def fit(
    memory: Annotated[float, typer.Option(min=0, help="The device's memory in GB. 0: this machine's.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda. Empty: what this machine has.")] = "",
    as_json: AsJson = False,
) -> None:
    """What can be tuned on a device: the largest batch and the longest rows that fit, of well-known models and methods."""
    from dataclasses import asdict

    from jobs import units
    from jobs.forecast.asking import device_asked
    from jobs.forecast.capacity import rooms
    from jobs.methods import METHODS
    from storage.problems import RecipeInvalid

    if device not in ("", "cpu", "cuda"):
        raise RecipeInvalid([f"--device is '{device}'. Choose cpu or cuda."])
    facts = device_asked(device, round(memory * 1e9))
    found = rooms(facts.kind, facts.memory_bytes)
    table = Table(Column("model", no_wrap=True), "method", "fits", "batch", "one row up to", "at least")
    for room in found:
        method = METHODS[room.variant.method].title + (", gradient checkpointing" if room.variant.gradient_checkpointing else "")
        batches = ", ".join(f"{rows} at {length:,}" for length, rows in room.batches.items() if rows)
        table.add_row(room.model.name, method, room.verdict, batches, f"{room.longest:,}" if room.longest else "",
                      units.size(room.least_bytes))
    out.print(table)
    out.print(f"On {facts.kind} with {units.size(facts.memory_bytes)}." if facts.memory_bytes else
              "How much memory this machine's GPU has is not known. Say it with --memory.", markup=False, highlight=False)
    if as_json:
        print_json({"device": facts.kind, "memory_bytes": facts.memory_bytes, "rooms": [asdict(room) for room in found]})
