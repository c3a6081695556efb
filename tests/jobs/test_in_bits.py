"""A base model in few bits: what of it is made fp32 for a training, and that it answers as PEFT's own way has it."""

import pytest
import torch
from peft import prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM

from jobs.training.base import keep_layout, quantization_config
from jobs.training.weights import freeze_in_bits


@pytest.mark.parametrize("bits", ["nf4", "int8"])
def test_tables_and_the_output_layer_stay_as_they_are_held_and_no_answer_changes(tiny_llama, bits):
    ours, theirs = (AutoModelForCausalLM.from_pretrained(
        tiny_llama, dtype=torch.bfloat16, quantization_config=quantization_config(bits, torch.bfloat16, "")) for _ in range(2))
    freeze_in_bits(ours, checkpointing=False)
    theirs = prepare_model_for_kbit_training(theirs, use_gradient_checkpointing=False)
    assert ours.get_input_embeddings().weight.dtype == ours.get_output_embeddings().weight.dtype == torch.bfloat16
    assert ours.model.norm.weight.dtype == torch.float32
    assert not any(weight.requires_grad for weight in ours.parameters())
    assert ours.get_memory_footprint() < theirs.get_memory_footprint()
    ids = torch.arange(5, 21)[None]
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert torch.equal(ours(ids).logits, theirs(ids).logits)
    assert ours.generate(ids, max_new_tokens=3, do_sample=False).shape == (1, 19), "it answers without mixed precision too"


def test_gradients_pass_through_a_base_in_four_bits_after_an_evaluation_as_before(tiny_llama):
    model = AutoModelForCausalLM.from_pretrained(
        tiny_llama, quantization_config=quantization_config("nf4", torch.float32, ""), device_map={"": "cpu"})
    keep_layout(model)

    def gradient():
        rows = model.get_input_embeddings()(torch.arange(5, 21)[None]).detach().requires_grad_()
        model.train()(inputs_embeds=rows, labels=torch.arange(5, 21)[None]).loss.backward()
        return rows.grad

    before = gradient()
    with torch.no_grad():
        model.eval()(torch.arange(5, 21)[None])
    assert before.abs().sum() > 0 and torch.equal(gradient(), before)
