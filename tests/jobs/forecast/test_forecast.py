"""The forecast: counts to the number and the byte, published measurements, and the direction of every change."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, LlamaConfig
from typer.testing import CliRunner

from app import app
from bench import forecast as bench
from jobs.devices import DeviceFacts
from jobs.forecast import trace as tracing
from jobs.forecast.adapter import context_of, whole, with_adapter
from jobs.forecast.experts import config_of
from jobs.forecast.files import Stored, file_bytes
from jobs.forecast.forecast import CPU, forecast, forecast_with_suggestions
from jobs.forecast.process import Forecaster
from jobs.forecast.result import PARTS, Known
from jobs.forecast.stacks import Repetition, repetition
from jobs.methods import METHODS
from jobs.methods.special.xlora import MixtureOfExperts
from jobs.recipe import Recipe
from jobs.training.weights import is_whole, parameter_counts, train_in_fp32
from storage.problems import TrainingStopped

GPU = DeviceFacts("cuda", bf16=True)
LAYERS = 6  # more than are looked at, so that the others are extended
FOUND_IN_WEIGHTS = 1024  # bytes by which a header differs that tells the sizes of groups found by looking at the weights


def config(layers: int = LAYERS, **changes) -> LlamaConfig:
    return LlamaConfig(**{"vocab_size": 261, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": layers,
                          "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 512, "pad_token_id": 0,
                          "tie_word_embeddings": True, **changes})


def recipe(method: str = "lora", **changes) -> Recipe:
    training = {"batch_size": 2, "max_length": 64, **changes.pop("training", {})}
    data = {"source": ["one", "two"], "format": "messages"}
    return Recipe(base_model="x", method=method, dataset=data, training=training, **changes)


def real_model(wanted: Recipe, known: Known, folder: Path):
    """The model that a training makes of a recipe."""
    if wanted.task == "text-generation":
        base = AutoModelForCausalLM.from_config(config())
    else:
        base = AutoModelForTokenClassification.from_config(config(num_labels=known.labels))
    context = context_of(wanted, known, None)
    if wanted.method == "full":
        return whole(base, wanted, context)
    if wanted.method == "xlora":
        context.attempt_dir, context.report.services = folder / "run" / "checkpoints" / "attempt", None
        with mock.patch.object(MixtureOfExperts, "find", staticmethod(lambda _, found: SimpleNamespace(folder=Path(found)))):
            return with_adapter(base, wanted, context)
    return with_adapter(base, wanted, context)


def expert(folder: Path, rank: int) -> str:
    adapted = get_peft_model(AutoModelForCausalLM.from_config(config()), LoraConfig(r=rank, target_modules=["q_proj"]))
    adapted.save_pretrained(folder)
    return str(folder)


def test_experts_that_nobody_knows_yet_are_taken_to_be_as_lora_is_by_default():
    assert config_of("a run to come", "llama").r == METHODS["lora"].read_settings({}).r


@pytest.mark.parametrize("name", METHODS)
def test_parameters_and_the_file_of_every_method_are_forecast_exactly(name, tmp_path):
    """QLoRA is built here on a base model that is held in full: bits change none of the counts."""
    settings = {"experts": [expert(tmp_path / "one", 2), expert(tmp_path / "other", 4)]} if name == "xlora" else {}
    wanted, known = METHODS[name].complete(recipe(name, method_settings=settings)), Known(format="messages")
    found = forecast(wanted, config(), known=known)
    assert sum(found.parts.values()) == found.peak_memory_bytes and list(found.parts) == list(PARTS)
    real = real_model(wanted.model_copy(update={"quantization": "none"}), known, tmp_path)
    train_in_fp32(real)
    assert (found.trainable_parameters, found.total_parameters) == tuple(parameter_counts(real).values())
    if is_whole(real):
        real.save_pretrained(tmp_path / "saved")
    else:
        (tmp_path / "saved").mkdir()
        save_file({key: value.detach().clone().contiguous() for key, value in get_peft_model_state_dict(real).items()},
                  tmp_path / "saved" / "adapter_model.safetensors", metadata={"format": "pt"})
    off = found.checkpoint_bytes - sum(file.stat().st_size for file in (tmp_path / "saved").glob("*.safetensors"))
    assert off == 0 or name == "adamss" and abs(off) < FOUND_IN_WEIGHTS


@pytest.mark.parametrize("number", [21, 22, 40])
def test_published_fine_tunings_are_forecast_within_two_percent(shared_data, number):
    row = bench.published(bench.read_table()[number])
    assert abs(row["error_percent"]) < 2
    assert row["trainable_off"] == row["checkpoint_off"] == 0


def test_what_takes_less_is_forecast_lower_part_by_part():
    def peak(device="cpu", **changes):
        wide = config(hidden_size=256, intermediate_size=1024)
        return forecast(recipe(**changes), wide, DeviceFacts(device, bf16=True), known=Known(format="messages"))

    plain = peak(training={"batch_size": 8, "max_length": 256})
    checkpointed = peak(training={"batch_size": 8, "max_length": 256, "gradient_checkpointing": True})
    assert checkpointed.parts["activations"] < 0.5 * plain.parts["activations"]
    assert peak(training={"batch_size": 4, "max_length": 256}).parts["activations"] < 0.6 * plain.parts["activations"]
    assert peak(quantization="nf4").parts["base weights"] < peak().parts["base weights"]
    full = peak("cuda", method="full")
    in_8_bits = peak("cuda", method="full", training={"optimizer": "adamw_8bit"})
    assert in_8_bits.parts["optimizer states"] < 0.3 * full.parts["optimizer states"]
    assert full.trainable_parameters == full.total_parameters


@pytest.mark.parametrize("width", [128, 144])
def test_an_evaluation_in_4_bits_is_forecast_whatever_the_widths(width):
    """bitsandbytes' kernels for processors that compute in bf16 take multiples of 32 alone."""
    found = forecast(recipe(quantization="nf4"), config(intermediate_size=width), known=Known(format="messages"))
    assert found.evaluation_bytes > 0


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_operations_of_a_step_are_those_of_its_products(device):
    found = forecast(recipe("full"), config(), DeviceFacts(device, bf16=True), known=Known(format="messages"))
    tokens, guessed, in_layers, in_head = 2 * 64, 2 * 63, LAYERS * (4 * 64 * 64 + 3 * 64 * 128), 261 * 64
    pairs = LAYERS * 2 * 4 * 64 * 64 * 16  # rows, heads, queries, keys, numbers of a head
    assert found.step_tokens == tokens
    # a product forth and two back; on a GPU the head works out its logits anew; attention has two products forth and five back
    of_head = 4 if device == "cuda" else 3
    assert found.step_operations == 2 * (3 * in_layers * tokens + of_head * in_head * guessed) + 2 * 7 * pairs


def test_what_does_not_fit_comes_with_changes_that_do():
    wanted, shape = recipe(training={"batch_size": 8, "max_length": 256}), config(hidden_size=256, intermediate_size=1024)
    enough = forecast(wanted, shape, GPU, known=Known(format="messages"))
    memory = enough.beside_bytes + enough.peak_memory_bytes * 3 // 4
    shape = config(hidden_size=256, intermediate_size=1024)
    found = forecast_with_suggestions(wanted, shape, replace(GPU, memory_bytes=memory), Known(format="messages"))
    assert found.fits is False
    assert 1 <= len(found.suggestions) <= 3
    for suggestion in found.suggestions:
        assert suggestion.fits and suggestion.peak_memory_bytes + found.beside_bytes <= memory
        assert suggestion.words and suggestion.change


def test_layers_that_differ_repeat_after_a_period():
    assert repetition(list("aaaaaaaa")) == Repetition(8, 0, 1)
    assert repetition(list("dmmmmmmm")) == Repetition(8, 1, 1)
    assert repetition(list("sssfsssfsssf")) == Repetition(12, 0, 4)
    sliding = repetition(list("sssssf" * 4 + "ss"))
    assert sliding.short == (8, 14)
    assert sliding.extended(8, 14) == 26


def test_the_size_of_a_file_is_that_of_the_file(tmp_path):
    tensors = {"layers.10.a": torch.zeros(3, 5), "layers.9.b": torch.zeros(7, dtype=torch.bfloat16),
               "c": torch.zeros(2, dtype=torch.long)}
    save_file(tensors, tmp_path / "some.safetensors", metadata={"format": "pt"})
    names = {torch.float32: "F32", torch.bfloat16: "BF16", torch.long: "I64"}
    stored = [Stored(name, names[tensor.dtype], tuple(tensor.shape)) for name, tensor in tensors.items()]
    assert file_bytes(stored) == (tmp_path / "some.safetensors").stat().st_size


def test_a_config_alone_is_enough_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    config().save_pretrained(tmp_path / "base")
    written = tmp_path / "recipe.yaml"
    written.write_text(recipe().model_copy(update={"base_model": str(tmp_path / "base")}).to_yaml())
    ran = CliRunner().invoke(app, ["forecast", str(written), "--device", "cuda", "--device-memory", "80000000000", "--json"])
    assert ran.exit_code == 0, ran.output
    said = json.loads(ran.stdout.splitlines()[-1])
    assert said["fits"] is True and said["suggestions"] == []
    assert {"peak_memory_bytes", "parts", "trainable_parameters", "total_parameters", "checkpoint_bytes"} <= said.keys()


SMALL = {"vocab_size": 261, "hidden_size": 32, "num_hidden_layers": 7, "num_attention_heads": 4, "pad_token_id": 0}
FAMILIES = {  # by transformers' config classes: a number of layers under other names, experts, layers that share weights
    "GPT2Config": ("text-generation", {"vocab_size": 261, "n_embd": 32, "n_layer": 7, "n_head": 4}),
    "Gemma2Config": ("text-generation", SMALL | {"num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 64}),
    "MixtralConfig": ("text-generation", SMALL | {"num_key_value_heads": 2, "intermediate_size": 64, "num_local_experts": 4}),
    "DistilBertConfig": ("text-classification", {"vocab_size": 261, "dim": 32, "hidden_dim": 64, "n_layers": 7, "n_heads": 4}),
    "AlbertConfig": ("text-classification", SMALL | {"embedding_size": 16, "intermediate_size": 64}),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_two_short_models_of_a_family_say_what_the_whole_one_takes(family, monkeypatch):
    task, sizes = FAMILIES[family]
    known, wanted = Known(format="messages" if task == "text-generation" else "", labels=3), recipe(task=task)

    def made():
        return getattr(transformers, family)(**sizes)

    extended = forecast(wanted, made(), GPU, known=known)
    monkeypatch.setattr(tracing, "MOST_WHOLE", 7)
    whole = forecast(wanted, made(), GPU, known=known)
    for name in ("trainable_parameters", "total_parameters", "checkpoint_bytes", "step_operations"):
        assert getattr(extended, name) == getattr(whole, name), name
    assert extended.peak_memory_bytes == pytest.approx(whole.peak_memory_bytes, rel=0.01)


def test_each_of_several_devices_holds_the_gradients_once_more():
    one = forecast(recipe(), config(), replace(GPU, memory_bytes=10**12), Known(format="messages"))
    several = one.on_devices(4)
    assert several.devices == 4 and several.fits is True and sum(several.parts.values()) == several.peak_memory_bytes
    assert several.peak_memory_bytes == one.peak_memory_bytes + 4 * one.trainable_parameters
    assert one.on_devices(1) is one


def test_another_process_answers_and_remembers(tmp_path):
    config().save_pretrained(tmp_path)
    forecaster = Forecaster()
    try:
        found = forecaster.ask(recipe(), tmp_path, CPU, known=Known(format="messages"))
        assert found is forecaster.ask(recipe(), tmp_path, CPU, known=Known(format="messages"))
        with pytest.raises(TrainingStopped, match="method_settings"):
            forecaster.ask(recipe(method_settings={"target_modules": ["nowhere"]}), tmp_path, CPU, known=Known(format="messages"))
    finally:
        forecaster.close()
