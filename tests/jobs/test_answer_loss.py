"""The loss on answers only is the model's own loss, with its gradients, for models that work out their logits in several ways."""

import copy

import pytest
import torch
from transformers import (
    BertConfig,
    BertLMHeadModel,
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from jobs.training import answer_loss
from jobs.training.answer_loss import OWN, add_answer_loss

SMALL = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
MODELS = {
    "plain": lambda: LlamaForCausalLM(LlamaConfig(**SMALL)),
    "bent": lambda: Gemma2ForCausalLM(Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=8, final_logit_softcapping=2.0)),
    "scaled": lambda: CohereForCausalLM(CohereConfig(**SMALL, **ENDS)),
    "divided": lambda: GraniteForCausalLM(GraniteConfig(**SMALL, logits_scaling=3.0)),
    "tied": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=1)),
}


@pytest.fixture(autouse=True)
def some_turns(monkeypatch):
    monkeypatch.setattr(answer_loss, "AT_ONCE", 97 * 5)


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(0, 97, (3, 11))
    return {"input_ids": ids, "labels": ids.clone().masked_fill(torch.arange(11) < 4, -100)}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("items", [None, 7])
def test_loss_and_gradients_are_the_models_own(kind, items):
    torch.manual_seed(0)
    own = MODELS[kind]().eval()
    model = copy.deepcopy(own)
    add_answer_loss(model)
    assert OWN in vars(model)
    rows = batch()
    losses = [each(**rows, num_items_in_batch=items).loss for each in (own, model)]
    for loss in losses:
        loss.backward()
    assert torch.allclose(*losses, rtol=1e-5)
    for (name, expected), found in zip(own.named_parameters(), model.parameters(), strict=True):
        assert (expected.grad is None) == (found.grad is None), name
        if expected.grad is not None:
            assert torch.allclose(found.grad, expected.grad, rtol=1e-4, atol=1e-6), name


def test_a_frozen_head_has_no_gradient_and_what_is_below_has_one():
    torch.manual_seed(0)
    own = MODELS["plain"]().eval()
    own.lm_head.requires_grad_(False)
    model = copy.deepcopy(own)
    add_answer_loss(model)
    rows = batch()
    for each in (own, model):
        each(**rows).loss.backward()
    assert model.lm_head.weight.grad is None
    assert torch.allclose(model.model.layers[0].mlp.up_proj.weight.grad, own.model.layers[0].mlp.up_proj.weight.grad, atol=1e-6)


def test_a_model_that_does_more_to_its_logits_keeps_its_own_loss():
    torch.manual_seed(0)
    model = BertLMHeadModel(BertConfig(**SMALL, is_decoder=True)).eval()
    rows = batch()
    before = model(**rows).loss
    add_answer_loss(model)
    assert OWN not in vars(model) and model(**rows).loss == before


def test_a_batch_without_an_answer_has_no_loss_and_no_gradient():
    model = MODELS["plain"]()
    add_answer_loss(model)
    rows = batch()
    loss = model(input_ids=rows["input_ids"], labels=torch.full_like(rows["labels"], -100)).loss
    loss.backward()
    assert loss == 0 and not model.model.layers[0].mlp.up_proj.weight.grad.any()


def test_without_labels_the_model_answers_as_before():
    own = MODELS["plain"]().eval()
    model = copy.deepcopy(own)
    add_answer_loss(model)
    ids = batch()["input_ids"]
    assert torch.equal(model(input_ids=ids).logits, own(input_ids=ids).logits)
    assert torch.equal(model.generate(ids, max_new_tokens=3, do_sample=False), own.generate(ids, max_new_tokens=3, do_sample=False))
