"""LoRA's merged products are PEFT's, forth and back, and only plain layers have them."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

from jobs.training.lora.products import forward, merge_products

SMALL = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


def tuned(**settings):
    torch.manual_seed(0)
    model = get_peft_model(LlamaForCausalLM(LlamaConfig(**SMALL)), LoraConfig(
        task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear", **settings))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model


def merged(model) -> list:
    return [layer for layer in model.modules() if getattr(vars(layer).get("forward"), "__func__", None) is forward]


@pytest.mark.parametrize("autocast", [False, True])
def test_products_and_gradients_are_pefts(autocast):
    own = tuned()
    model = copy.deepcopy(own)
    merge_products(model)
    assert len(merged(model)) == 14
    ids = torch.randint(0, 97, (3, 11))
    for each in (own, model):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = each(input_ids=ids, labels=ids).loss
        loss.backward()
    near = {"rtol": 0.1, "atol": 2e-3} if autocast else {"rtol": 1e-4, "atol": 1e-6}
    for (name, expected), found in zip(own.named_parameters(), model.parameters(), strict=True):
        assert (expected.grad is None) == (found.grad is None), name
        if expected.grad is not None:
            assert found.grad.dtype == torch.float32 and torch.allclose(found.grad, expected.grad, **near), name


def test_biases_and_other_shapes_of_input_are_taken():
    torch.manual_seed(0)
    base = BertForSequenceClassification(BertConfig(**SMALL)).eval()
    config = LoraConfig(task_type="SEQ_CLS", r=4, target_modules=["query", "dense"], init_lora_weights=False)
    own = get_peft_model(base, config).eval()
    model = copy.deepcopy(own)
    merge_products(model)
    assert len(merged(model)) > 0
    ids = torch.randint(0, 97, (3, 11))
    found, expected = model(input_ids=ids).logits, own(input_ids=ids).logits
    assert found.requires_grad and torch.allclose(found, expected, atol=1e-5)


def test_switched_off_or_merged_it_is_the_base_or_the_merged_layer():
    own = tuned()
    model = copy.deepcopy(own)
    merge_products(model)
    ids = torch.randint(0, 97, (2, 5))
    with model.disable_adapter(), own.disable_adapter():
        assert torch.equal(model(input_ids=ids).logits, own(input_ids=ids).logits)
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, own(input_ids=ids).logits)
    model.merge_adapter()
    assert torch.allclose(model(input_ids=ids).logits, own(input_ids=ids).logits, atol=1e-5)


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"lora_dropout": 0.1}])
def test_layers_that_do_more_stay_as_they_are(settings):
    model = tuned(**settings)
    merge_products(model)
    assert merged(model) == []
