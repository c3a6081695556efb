"""Keys and values are written behind those before, and come out as transformers' own cache gives them."""

import pytest
import torch
from peft import PrefixTuningConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaForCausalLM, MistralConfig, MistralForCausalLM
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from jobs.playground.cache import STEP, RoomyLayer, behind, roomy_cache


@torch.no_grad()
def test_it_holds_what_the_plain_layer_holds_through_all_that_can_be_done_to_it():
    torch.manual_seed(0)
    plain, roomy = DynamicLayer(), RoomyLayer()

    def add(rows: int, tokens: int) -> None:
        keys, values = torch.randn(rows, 2, tokens, 4), torch.randn(rows, 2, tokens, 6)
        for mine, expected in zip(roomy.update(keys, values), plain.update(keys, values), strict=True):
            assert torch.equal(mine, expected)
        assert roomy.get_seq_length() == plain.get_seq_length()

    add(3, 5)
    for _ in range(STEP + 3):
        add(3, 1)
    for change in (lambda layer: layer.crop(-2), lambda layer: layer.reorder_cache(torch.tensor([2, 0, 0])),
                   lambda layer: layer.batch_repeat_interleave(2)):
        change(roomy), change(plain)
        add(len(plain.keys), 1)
    roomy.reset(), plain.reset()
    add(1, 2)


@torch.no_grad()
def test_a_token_is_written_in_place_until_there_is_no_room():
    held = behind(torch.tensor([]), torch.ones(1, 1, 2, 4))
    places = set()
    for _ in range(STEP):
        held = behind(held, torch.ones(1, 1, 1, 4))
        places.add(held.data_ptr())
    assert len(places) == 1
    assert behind(held, torch.ones(1, 1, 1, 4)).data_ptr() not in places and held.shape[-2] == STEP + 2


@pytest.fixture
def model(base_folder):
    return LlamaForCausalLM.from_pretrained(base_folder).eval()


def test_generate_says_the_same_with_it_for_longer_than_its_first_room(model):
    tokens = torch.arange(5, 25)[None].repeat(2, 1)
    options = {"attention_mask": torch.ones_like(tokens), "max_new_tokens": STEP + 20, "do_sample": False, "pad_token_id": 0,
               "eos_token_id": None}
    cache = roomy_cache(model)
    assert torch.equal(model.generate(tokens, **options, **cache), model.generate(tokens, **options))
    assert cache["past_key_values"].get_seq_length() == tokens.shape[1] + STEP + 19
    assert {type(layer) for layer in cache["past_key_values"].layers} == {RoomyLayer}


def test_layers_that_look_back_a_little_only_keep_theirs():
    config = MistralConfig(vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
                           num_key_value_heads=1, sliding_window=8)
    model = MistralForCausalLM(config).eval()
    assert {type(layer) for layer in roomy_cache(model)["past_key_values"].layers} == {DynamicSlidingWindowLayer}


def test_models_that_answer_otherwise_get_none(model, base_folder):
    assert isinstance(roomy_cache(model)["past_key_values"], DynamicCache)
    prefix = get_peft_model(AutoModelForCausalLM.from_pretrained(base_folder),
                            PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    assert roomy_cache(prefix) == {}  # its keys and values are there before the prompt
    model.config.use_cache = False
    assert roomy_cache(model) == {}
    model.config.use_cache, model.generation_config.cache_implementation = True, "static"
    assert roomy_cache(model) == {}
