"""A blend is kept as an adapter of the library, and a merged model as a whole one, with their parents recorded."""

import dataclasses
import json
import zipfile

import pytest
from peft import PeftConfig

from jobs.blends import blend_of, save_blend
from jobs.checksums import check_adapter
from jobs.merges import merge, merged_bytes
from jobs.playground.bench import Bench
from jobs.playground.client import PlaygroundClient
from jobs.playground.problems import BlendRefused, MergeRefused
from jobs.playground.request import BaseChoice
from storage.problems import DiskFull, NotFound
from storage.records import Adapter, RunState
from studio.views import run_view
from tests.jobs.playground.conftest import *  # noqa: F403, the tiny base model and its adapters


class InThisProcess(PlaygroundClient):
    """The playground without its process."""

    def __init__(self):
        self.bench = Bench("cpu")

    def save_blend(self, request):
        self.bench.save_blend(request)

    def merge(self, request):
        self.bench.merge(request)


@pytest.fixture
def weights(services, base_folder, adapter_folders):
    """Two LoRA adapters of the library, with their weights."""
    adapters = services.settings.adapters_dir
    services.settings.make_folders()
    records = []
    for name in ("one", "two"):
        (adapters / name).symlink_to(adapter_folders["lora"] if name == "one" else _second(base_folder, adapters / "second"))
        records.append(Adapter(name, name, name, "", 1, 0, [], "text-generation", "lora", "tiny", str(base_folder), "0", 0.0))
    return list(zip(records, (0.7, -0.2), strict=True))


def test_a_blend_is_in_the_library_with_its_parents(services, base_folder, weights):
    adapters = services.settings.adapters_dir
    base = BaseChoice(base_path=base_folder, base_name="tiny")
    blend = blend_of(services, weights, "cat", 0.5)
    with pytest.raises(NotFound, match="no name"):
        save_blend(services, InThisProcess(), base, " ", weights, blend)
    run = save_blend(services, InThisProcess(), base, "both <b>", weights, blend)
    made = services.adapters.get(run.id)
    assert run.state == RunState.FINISHED and made.name == "both <b>" and services.queue.count() == 0
    assert [(parent["run_id"], parent["weight"]) for parent in made.blend["parents"]] == [("one", 0.7), ("two", -0.2)]
    folder = check_adapter(adapters, made)
    assert PeftConfig.from_pretrained(folder).base_model_name_or_path == "tiny"
    with zipfile.ZipFile(adapters / made.zip_name) as archive:
        assert {"adapter_model.safetensors", "README.md", "blend.json", "SHA256SUMS"} <= set(archive.namelist())
        assert json.loads(archive.read("blend.json"))["combination"] == "cat" and b"<b>" not in archive.read("README.md")
    assert "both" in run_view.title(run) and run_view.recipe(run) is not None
    with pytest.raises(BlendRefused):
        save_blend(services, InThisProcess(), base, "again", weights, blend_of(services, [weights[0], weights[0]], "cat", 0.5))
    assert [adapter.run_id for adapter in services.adapters.all()] == [run.id], "a blend that was refused leaves nothing"


def test_a_merged_model_is_in_the_library_and_on_the_shelf_and_takes_its_room_once(services, base_folder, weights):
    client, base = InThisProcess(), BaseChoice(base_path=base_folder, base_name="tiny")
    run = merge(services, client, base, "both in one", weights, blend_of(services, weights, "cat", 0.5))
    made, shelf = services.adapters.get(run.id), services.shelf.resolve("both in one")
    folder = check_adapter(services.settings.adapters_dir, made)
    assert made.method == "full" and made.bytes == pytest.approx(merged_bytes(base_folder), rel=0.02)
    assert [parent["weight"] for parent in made.blend["parents"]] == [0.7, -0.2] and made.blend["combination"] == "cat"
    assert shelf.source == "shelf" and (shelf.path / "model.safetensors").samefile(folder / "model.safetensors")
    assert "model.safetensors" in zipfile.ZipFile(services.settings.adapters_dir / made.zip_name).namelist()
    assert json.loads((folder / "merge.json").read_text())["merged"] and "0.7 × one (run one)" in (folder / "README.md").read_text()
    assert run_view.recipe(run) is not None and client.bench.loaded.answerer(folder).tokenizer

    with pytest.raises(NotFound, match="There is a base model called 'both in one' already"):
        merge(services, client, base, "both in one", weights[:1])
    with pytest.raises(NotFound, match="no name"):
        merge(services, client, base, " ", weights[:1])
    with pytest.raises(MergeRefused, match="'one': It leaves the base model's weights as they are"):
        merge(services, client, base, "x", [(dataclasses.replace(weights[0][0], method="prompt-tuning"), 1)])
    with pytest.raises(MergeRefused, match="whole model already"):
        merge(services, client, base, "x", [(made, 1)])
    full = dataclasses.replace(services, settings=dataclasses.replace(services.settings, free_space_floor=10**18))
    with pytest.raises(DiskFull, match="are needed"):
        merge(full, client, base, "x", weights[:1])
    assert [adapter.run_id for adapter in services.adapters.all()] == [run.id] and not (services.settings.models_dir / "x").exists()


def _second(base_folder, folder):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(9)
    model = get_peft_model(LlamaForCausalLM.from_pretrained(base_folder),
                           LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"))
    randomise(model)  # noqa: F405
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)  # noqa: F405
    return folder
