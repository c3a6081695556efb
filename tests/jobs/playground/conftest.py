"""Tiny models with random weights, and adapters of three PEFT types that change what they say."""

import json
from pathlib import Path

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftConfig, PromptTuningConfig, get_peft_model
from transformers import BertForSequenceClassification, LlamaForCausalLM

from jobs.playground.limits import Stop
from jobs.playground.request import GenerateRequest
from tests.tiny_models import make_tiny_bert, make_tiny_llama, make_tokenizer

LABELS = ["greeting", "question", "complaint", "thanks", "order", "farewell", "small talk"]

PEFT_CONFIGS = {
    "lora": LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"),
    "ia3": IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj", "v_proj", "down_proj"],
                     feedforward_modules=["down_proj"]),
    "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
}


def randomise(model) -> None:
    """Stands in for training: trainable weights that are not zero."""
    for weight in model.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.5)


def events_of(bench, request: GenerateRequest) -> list[dict]:
    events = []
    bench.answer(request, Stop(), events.append)
    return events


def finals(events: list[dict]) -> dict[str, dict]:
    """The last event of every pane."""
    return {event["pane"]: event for event in events if "done" in event or "problem" in event}


def made_adapter(base_folder: Path, folder: Path, config: PeftConfig, seed: int) -> Path:
    """The folder of an adapter of the tiny Llama that changes what it says, with its tokenizer."""
    torch.manual_seed(seed)
    model = get_peft_model(LlamaForCausalLM.from_pretrained(base_folder), config)
    randomise(model)
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Tiny models gain nothing by more, and wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory) -> Path:
    folder = make_tiny_llama(tmp_path_factory.mktemp("models") / "tiny-llama")
    model = LlamaForCausalLM.from_pretrained(folder)
    torch.manual_seed(3)
    for weight in model.parameters():
        if weight.dim() > 1:  # weights this large decide for one token; fresh ones repeat the prompt's last
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory) -> Path:
    """A BERT without a classification head."""
    return make_tiny_bert(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="session")
def adapter_folders(base_folder, tmp_path_factory) -> dict[str, Path]:
    folders = {}
    for seed, (name, config) in enumerate(PEFT_CONFIGS.items()):
        folders[name] = made_adapter(base_folder, tmp_path_factory.mktemp("adapters") / name, config, seed)
    return folders


@pytest.fixture(scope="session")
def classifier_folder(encoder_folder, tmp_path_factory) -> Path:
    """A LoRA adapter with a head for seven labels."""
    folder = tmp_path_factory.mktemp("adapters") / "classifier"
    torch.manual_seed(1)
    model = get_peft_model(
        BertForSequenceClassification.from_pretrained(encoder_folder, num_labels=len(LABELS)),
        LoraConfig(task_type="SEQ_CLS", r=4, target_modules=["query", "value"]))
    randomise(model)
    model.save_pretrained(folder)
    make_tokenizer(None).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"id2label": dict(enumerate(LABELS))}))
    return folder


@pytest.fixture
def ask(base_folder):
    """Make a request to the tiny Llama: ask({pane: adapter folder or None}, prompt, **settings)."""
    def make(panes: dict[str, Path | None], prompt: str = "Where is the harbour?", **settings) -> GenerateRequest:
        return GenerateRequest(
            base_path=base_folder, base_name="tiny", prompt=prompt, settings=settings,
            panes=[{"name": name, "adapter_folder": folder} for name, folder in panes.items()])
    return make
