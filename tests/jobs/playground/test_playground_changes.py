"""What an adapter changes, token by token and layer by layer, on the demo model."""

import math

import pytest
import torch
from peft import IA3Config, LoraConfig, OFTConfig, PrefixTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM

from jobs.playground.changes import change_map, pieces, tokens_changed
from jobs.playground.models import LoadedBase
from jobs.playground.request import BaseChoice, ChangesRequest
from tests.conftest import ROOT
from tests.tiny_models import make_tokenizer

DEMO = ROOT / "assets" / "demo-base"
TEXT = "The moss fox lives under the roots."
CONFIGS = {
    "lora": LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "down_proj"], layers_to_transform=[1, 2]),
    "ia3": IA3Config(task_type="CAUSAL_LM", target_modules=["v_proj"], feedforward_modules=[]),
    "oft": OFTConfig(task_type="CAUSAL_LM", oft_block_size=32, target_modules=["q_proj"]),
    "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)}


@pytest.fixture(scope="module")
def loaded():
    return LoadedBase(BaseChoice(base_path=DEMO, base_name="demo"), "cpu")


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    folders = {}
    for name, config in CONFIGS.items():
        folders[name] = tmp_path_factory.mktemp("demo adapters") / name
        torch.manual_seed(5)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(DEMO), config)
        for weight in model.parameters():
            if weight.requires_grad:
                torch.nn.init.normal_(weight, mean=float(name == "ia3"), std=0.05)
        model.save_pretrained(folders[name])
    return folders


def question(**values):
    return ChangesRequest(base_path=DEMO, base_name="demo", **values)


def test_each_token_is_told_with_its_probability_under_both(loaded, adapters):
    base, adapter = loaded.answerer(None), loaded.answerer(adapters["lora"])
    told = tokens_changed(base, adapter, question(prompt="Where? ", text=TEXT))
    assert "".join(token["text"] for token in told).strip() == f"Where? {TEXT}"
    assert "".join(token["text"] for token in told if token["answer"]).strip() == TEXT
    ids = torch.tensor([[token["id"] for token in told]])
    for name, answerer in (("base", base), ("adapter", adapter)):
        with torch.no_grad():
            shares = torch.log_softmax(answerer.model(input_ids=ids).logits[0], dim=-1)
        for number, token in enumerate(told[1:], 1):
            assert token[name] == pytest.approx(float(shares[number - 1, ids[0, number]]), abs=1e-4)
            best = token[f"top_{name}"]
            assert len(best) == 5 and best[0]["logprob"] == pytest.approx(float(shares[number - 1].max()), abs=1e-4)
            assert token["change"] == pytest.approx(token["adapter"] - token["base"])
    assert told[0]["base"] is told[0]["change"] is None
    assert any(abs(token["change"]) > 0.01 for token in told[1:])


@pytest.mark.parametrize("name", ["base", "prefix"])
def test_a_conversation_goes_through_the_template_and_learned_vectors_come_before_it(loaded, adapters, name):
    asked = question(messages=[{"role": "user", "content": "Where does it live?"}], text=TEXT)
    adapter = loaded.answerer(adapters.get(name))
    told = tokens_changed(loaded.answerer(None), adapter, asked)
    assert "".join(token["text"] for token in told if token["answer"]).strip() == TEXT
    assert not told[0]["answer"] and all(math.isfinite(token["change"]) for token in told[1:])
    assert all(token["change"] == 0 for token in told[1:]) == (name == "base")


def test_the_pieces_of_a_text_make_the_text():
    said = "Ahoy 🏴‍☠️ zum Ölschiff, 船"
    tokenizer = make_tokenizer()
    assert "".join(pieces(tokenizer, tokenizer(said, add_special_tokens=False)["input_ids"])) == said


def test_the_map_of_a_lora_shows_where_it_is_and_how_large(loaded, adapters):
    answerer = loaded.answerer(adapters["lora"])
    found = change_map(loaded.answerer(None), answerer, TEXT)
    assert found["by"] == "weights"
    assert {(cell["layer"], cell["module"]) for cell in found["cells"]} == {
        (layer, module) for layer in (1, 2) for module in ("self_attn.q_proj", "mlp.down_proj")}
    weights = dict(loaded.model.named_modules())
    for cell in found["cells"]:
        name = f"model.layers.{cell['layer']}.{cell['module']}"
        part = answerer.parts[name]
        delta = part.up @ part.down * part.scaling
        assert cell["change"] == pytest.approx(float(delta.norm() / weights[name].weight.norm()), rel=1e-3)


@pytest.mark.parametrize(("name", "by"), [("ia3", "weights"), ("oft", "weights"), ("prefix", "outputs")])
def test_methods_that_merge_are_told_by_weights_and_others_by_their_outputs(loaded, adapters, name, by):
    before = {key: value.clone() for key, value in loaded.model.state_dict().items()}
    found = change_map(loaded.answerer(None), loaded.answerer(adapters[name]), TEXT)
    assert found["by"] == by and {cell["layer"] for cell in found["cells"]} >= {0, 1, 2, 3}
    changes = [cell["change"] for cell in found["cells"]]
    assert all(math.isfinite(change) and change >= 0 for change in changes) and max(changes) > 1e-3
    assert all(torch.equal(value, before[key]) for key, value in loaded.model.state_dict().items()), "the base model is as it was"
