"""LoRA adapters routed token by token on the shared base model, as PEFT's Arrow does on one of its own."""

import pytest
import torch
from peft import ArrowConfig, LoraConfig, create_arrow_model
from pydantic import ValidationError
from transformers import LlamaForCausalLM

from jobs.playground.bench import Bench
from jobs.playground.models import LoadedBase
from jobs.playground.problems import ArrowRefused
from jobs.playground.request import Arrow, BaseChoice, GenerateRequest
from tests.jobs.playground.conftest import events_of, finals, made_adapter
from tests.tiny_models import make_tokenizer

LAYERS = ["q_proj", "v_proj", "down_proj"]


@pytest.fixture(scope="module")
def roles(base_folder, tmp_path_factory):
    made = {"poet": LoraConfig(r=4, target_modules=LAYERS), "pirate": LoraConfig(r=4, target_modules=LAYERS),
            "sage": LoraConfig(r=4, target_modules=LAYERS), "wide": LoraConfig(r=8, target_modules=LAYERS),
            "few": LoraConfig(r=4, target_modules=["q_proj"])}
    folders = {}
    for seed, (name, config) in enumerate(made.items()):
        config.task_type = "CAUSAL_LM"
        folders[name] = made_adapter(base_folder, tmp_path_factory.mktemp("roles") / name, config, seed)
    return folders


@pytest.fixture(scope="module")
def loaded(base_folder):
    return LoadedBase(BaseChoice(base_path=base_folder, base_name="tiny"), "cpu")


def logits(model):
    with torch.no_grad():
        return model(input_ids=make_tokenizer()("The keeper knows", return_tensors="pt")["input_ids"]).logits


@pytest.mark.parametrize("top_k", [1, 3])
def test_it_says_what_pefts_own_arrow_model_says_on_the_memory_of_the_base(loaded, roles, base_folder, top_k):
    before = logits(loaded.model)
    three = tuple(roles[name] for name in ("poet", "pirate", "sage"))
    answerer = loaded.arrow(Arrow(adapter_folders=three, top_k=top_k))
    plain = create_arrow_model(LlamaForCausalLM.from_pretrained(base_folder), [str(folder) for folder in three],
                               ArrowConfig(top_k=top_k, rng_seed=42)).eval()
    assert torch.allclose(logits(answerer.model), logits(plain), atol=1e-4)
    assert not torch.allclose(logits(answerer.model), before, atol=1e-2) and torch.equal(logits(loaded.model), before)
    shared = {tensor.data_ptr() for tensor in loaded.model.parameters()}
    assert shared <= {tensor.data_ptr() for tensor in answerer.model.parameters()}
    assert loaded.arrow(Arrow(adapter_folders=three, top_k=top_k)) is answerer


def test_what_it_picked_is_what_its_layers_used(loaded, roles):
    answerer = loaded.arrow(Arrow(adapter_folders=(roles["poet"], roles["pirate"]), top_k=1))
    logits(answerer.model)  # the directions of the adapters are looked for with the first text
    layers = [module for module in answerer.model.modules() if hasattr(module, "prototypes")]
    kept = [layer.prototypes.clone() for layer in layers]
    for layer in layers:
        layer.prototypes[0], layer.prototypes[1] = 1e-6, 1.0
    answerer.routing.clear()
    logits(answerer.model)
    assert answerer.routing.shares() == [0, 1]
    for layer, before in zip(layers, kept, strict=True):
        layer.prototypes.copy_(before)


def test_a_routed_pane_answers_beside_the_others_and_tells_its_shares(ask, roles):
    request = ask({"base": None, "poet": roles["poet"]}, max_new_tokens=6)
    routed = {"name": "routed", "arrow": {"adapter_folders": [roles["poet"], roles["pirate"]]}}
    request = GenerateRequest.model_validate({**request.model_dump(), "panes": [*request.model_dump()["panes"], routed]})
    bench = Bench("cpu")
    first, again = (finals(events_of(bench, request)) for _ in range(2))
    assert len(first) == 3 and first["routed"]["tokens"] == 6 and sum(first["routed"]["routed"]) == pytest.approx(1)
    assert first["routed"]["routed"] == again["routed"]["routed"], "each answer is counted by itself"
    assert "routed" not in first["poet"] and first["routed"]["text"] not in {first["base"]["text"]}


@pytest.mark.parametrize(("names", "words"), [
    (("poet", "wide"), "ranks of 4 and 8, and Arrow needs one"), (("poet", "few"), "they change different layers"),
    (("prompt", "poet"), "is no plain LoRA adapter"),
])
def test_what_cannot_be_routed_says_why(loaded, roles, adapter_folders, names, words):
    with pytest.raises(ArrowRefused, match=words):
        loaded.arrow(Arrow(adapter_folders=tuple({**adapter_folders, **roles}[name] for name in names)))


def test_one_adapter_needs_no_router(roles):
    with pytest.raises(ValidationError):
        Arrow(adapter_folders=(roles["poet"],))
