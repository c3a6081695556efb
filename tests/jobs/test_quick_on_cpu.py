"""What makes training quick on a processor, and must change nothing that is learnt: widths, order, attention, memory."""

import json
import subprocess
import sys

import pytest
import torch
from transformers import LlamaForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from jobs.preparing.collating import IGNORED, TextCollator
from jobs.preparing.widths import padded, step_of
from jobs.training.allocating import _functions
from jobs.training.attention import NAME, SHORT, attending_in_fp32_where_short, short_in_fp32
from jobs.training.watch import AMONG_FIRST, short_first

MEMORY = """
import json, torch
from jobs.training.allocating import Resident, give_back, keep_heap
def grown(): return (resident.bytes() - resident.model) / 1e6
def tensors(): return [torch.ones(200_000) for _ in range(250)]  # 200 MB
torch.ones(10) @ torch.ones(10)
keep_heap()
resident, said = Resident(), {}
held = tensors(); resident.look(); said["held"] = grown()
del held; said["freed"] = grown(); resident.look(); said["looked at"] = grown()
held = [*tensors(), *tensors()]; del held; said["more, freed"] = grown(); resident.look(); said["more than ever"] = grown()
held = tensors(); del held; give_back(); said["given back"] = grown()
print(json.dumps(said))
"""


@pytest.mark.parametrize(("longest", "step", "most", "width"), [
    (1, 16, 512, 16), (16, 16, 512, 16), (17, 16, 512, 32), (500, 16, 505, 505), (505, 16, 505, 505), (17, 1, 512, 17),
    (17, 1, 0, 17)])
def test_a_width_is_the_next_multiple_that_rows_may_have(longest, step, most, width):
    assert padded(longest, step, most) == width


def test_only_bf16_on_a_processor_is_padded_to_multiples():
    assert step_of("cpu", "bf16") > 1
    assert step_of("cpu", "fp32") == step_of("cuda:0", "bf16") == 1


def test_what_a_batch_is_padded_with_is_neither_seen_nor_learnt():
    rows = [{"input_ids": [5, 6, 7], "trained": [1, 3]}, {"input_ids": [5] * 17, "trained": [3, 17]}]
    plain, wide = TextCollator(0)(rows), TextCollator(0, 16, 512)(rows)
    assert wide["input_ids"].shape == (2, 32) and plain["input_ids"].shape == (2, 17)
    assert all(torch.equal(wide[name][:, :17], plain[name]) for name in plain)
    assert not wide["attention_mask"][:, 17:].any() and (wide["labels"][:, 17:] == IGNORED).all()


def test_a_short_batch_comes_first_and_then_all_others_as_they_were():
    lengths = [100 - number % 60 for number in range(200)]
    order, batch = sorted(range(200), key=lambda number: -lengths[number]), 8
    changed = short_first(order, lengths, batch)
    first = AMONG_FIRST * batch
    assert changed[:batch] == order[first - batch:first]
    assert changed[batch:first] == order[:first - batch] and changed[first:] == order[first:]


@pytest.mark.parametrize("rows", [0, 3, 8, 11])
def test_few_rows_all_stay(rows):
    order = list(range(rows))
    assert sorted(short_first(order, [number + 1 for number in range(rows)], 8)) == order


@pytest.mark.parametrize("mask", [None, torch.ones(1, 1, 20, 20).tril().bool(), torch.zeros(1, 1, 20, 20).bfloat16()])
def test_attention_over_short_rows_is_nearer_to_the_exact_one(mask):
    torch.manual_seed(0)
    module = torch.nn.Module()
    exact = [torch.randn(2, 4, 20, 16).bfloat16().float() for _ in range(3)]
    expected = sdpa_attention_forward(module, *exact, mask if mask is None or mask.dtype == torch.bool else mask.float())[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = short_in_fp32(module, *(each.bfloat16() for each in exact), mask)[0]
    assert found.dtype == torch.bfloat16 and torch.equal(found, expected.bfloat16())


def test_attention_over_longer_rows_stays_torch_s_own():
    torch.manual_seed(0)
    module, inputs = torch.nn.Module(), [torch.randn(1, 2, SHORT + 1, 8).bfloat16() for _ in range(3)]
    assert torch.equal(short_in_fp32(module, *inputs, None)[0], sdpa_attention_forward(module, *inputs, None)[0])


def test_models_attend_so_for_a_while(tiny_llama):
    model = LlamaForCausalLM.from_pretrained(tiny_llama, dtype=torch.bfloat16).eval()
    ids = torch.arange(40).view(2, 20)
    with torch.no_grad():
        before = model(ids).logits
        with attending_in_fp32_where_short():
            assert ALL_ATTENTION_FUNCTIONS[NAME] is short_in_fp32
            meanwhile = model(ids).logits
    assert ALL_ATTENTION_FUNCTIONS[NAME] is sdpa_attention_forward
    assert torch.allclose(before.float(), meanwhile.float(), atol=0.05)


@pytest.mark.skipif(_functions is None, reason="only glibc can be told to keep or give back memory")
def test_memory_is_given_back_only_beyond_what_was_ever_needed():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["held"] > 180
    assert said["freed"] > 180 and said["looked at"] > 180, "as much as was needed is kept"
    assert said["more, freed"] > 360 and said["more than ever"] < 60
    assert said["given back"] < 60
