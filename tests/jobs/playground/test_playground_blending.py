"""Several LoRA adapters as one, and an adapter in the base model's weights."""

import pytest
import torch
from peft import LoraConfig, PeftModel
from transformers import LlamaForCausalLM

from jobs.playground.blending import merge_into_base, save_blend
from jobs.playground.models import LoadedBase
from jobs.playground.problems import BlendRefused, MergeRefused
from jobs.playground.request import BaseChoice, Blend
from tests.jobs.playground.conftest import events_of, finals, made_adapter

SHAPES = {"poet": {"r": 4}, "pirate": {"r": 4, "use_rslora": True}, "wide": {"r": 8, "target_modules": ["q_proj", "v_proj"]},
          "dora": {"r": 4, "use_dora": True}}


@pytest.fixture(scope="module")
def loras(base_folder, tmp_path_factory):
    folders = {}
    for seed, (name, shape) in enumerate(SHAPES.items()):
        config = LoraConfig(task_type="CAUSAL_LM", **{"target_modules": "all-linear", **shape})
        folders[name] = made_adapter(base_folder, tmp_path_factory.mktemp("loras") / name, config, seed)
    return folders


@pytest.fixture(scope="module")
def loaded(base_folder):
    return LoadedBase(BaseChoice(base_path=base_folder, base_name="tiny"), "cpu")


def mixture(loras, combination, **weights):
    parts = [{"adapter_folder": loras[name], "weight": weight} for name, weight in weights.items()]
    return Blend(combination=combination, parts=parts)


def logits(model):
    with torch.inference_mode():
        return model(input_ids=torch.arange(20, 60).view(2, 20)).logits


def deltas(answerer):
    return {name: part.up @ part.down * part.scaling for name, part in answerer.parts.items()}


@pytest.mark.parametrize("weights", [{"poet": 0.7, "pirate": 0.5}, {"poet": 1, "wide": -0.5}, {"pirate": 2, "poet": 0}])
def test_cat_is_the_weighted_sum_of_what_the_adapters_add(loaded, loras, weights):
    found = deltas(loaded.blend(mixture(loras, "cat", **weights)))
    expected = {}
    for name, weight in weights.items():
        for layer, delta in deltas(loaded.answerer(loras[name])).items():
            expected[layer] = expected.get(layer, 0) + weight * delta
    assert found.keys() == expected.keys()
    assert all(torch.allclose(found[layer], expected[layer], atol=1e-4) for layer in expected)


@pytest.mark.parametrize("combination", ["cat", "svd", "linear", "ties", "dare_linear", "dare_ties", "magnitude_prune"])
def test_every_combination_is_heard_and_kept_as_an_adapter_that_plain_peft_opens(loaded, loras, base_folder, tmp_path, combination):
    before = logits(loaded.model)
    blend = mixture(loras, combination, poet=0.6, pirate=0.6)
    answerer = loaded.blend(blend)
    heard = logits(answerer.model)
    assert loaded.blend(blend) is answerer and torch.equal(logits(loaded.model), before)
    assert answerer.parts and not torch.equal(heard, before)
    folder = save_blend(loaded, blend, tmp_path / "mixed")
    assert {path.name for path in folder.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"}
    plain = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base_folder), folder).eval()
    assert torch.equal(logits(plain), heard)
    with pytest.raises(BlendRefused, match="exists already"):
        save_blend(loaded, blend, folder)


def test_what_cannot_be_added_up_is_refused_with_what_to_do(loaded, loras, adapter_folders):
    for combination, parts, words in [
            ("linear", {"poet": loras["poet"], "wide": loras["wide"]}, "4 .* 8 .* Choose cat or svd"),
            ("cat", {"poet": loras["poet"], "ia3": adapter_folders["ia3"]}, "is IA3, and only LoRA"),
            ("cat", {"poet": loras["poet"], "dora": loras["dora"]}, "more than a LoRA's two matrices")]:
        with pytest.raises(BlendRefused, match=words):
            loaded.blend(Blend(combination=combination, parts=[{"adapter_folder": folder} for folder in parts.values()]))
    with pytest.raises(BlendRefused, match="twice"):
        loaded.blend(Blend(parts=[{"adapter_folder": loras["poet"]}] * 2))


@pytest.mark.parametrize("name", ["poet", "dora"])
def test_merged_it_is_a_whole_model_that_answers_the_same(loaded, loras, tmp_path, name):
    before = logits(loaded.model)
    folder = merge_into_base(loaded, loras[name], None, tmp_path / "whole")
    whole = LlamaForCausalLM.from_pretrained(folder).eval()
    assert torch.allclose(logits(whole), logits(loaded.answerer(loras[name]).model), atol=1e-3)
    assert torch.equal(logits(loaded.model), before)
    assert torch.allclose(logits(loaded.answerer(folder).model), logits(whole))


def test_a_blend_is_merged_too_and_what_cannot_be_merged_says_why(loaded, loras, adapter_folders, tmp_path):
    blend = mixture(loras, "cat", poet=0.6, pirate=0.6)
    folder = merge_into_base(loaded, None, blend, tmp_path / "whole")
    assert torch.allclose(logits(LlamaForCausalLM.from_pretrained(folder).eval()), logits(loaded.blend(blend).model), atol=1e-3)
    with pytest.raises(MergeRefused, match="PROMPT_TUNING cannot be merged. It leaves the base model's weights as they are"):
        merge_into_base(loaded, adapter_folders["prompt"], None, tmp_path / "no")


def test_a_blend_is_a_pane_beside_its_parents_and_shares_their_batch(loras, ask):
    from jobs.playground.bench import Bench

    request = ask({"base": None, "poet": loras["poet"]}, max_new_tokens=8)
    mixed = {"name": "mixed", "blend": mixture(loras, "cat", poet=1, pirate=-1)}
    request = type(request).model_validate({**request.model_dump(), "panes": [*request.model_dump()["panes"], mixed]})
    ends = finals(events_of(Bench("cpu"), request))
    assert {end["together"] for end in ends.values()} == {3}
    assert len({end["text"] for end in ends.values()}) == 3
