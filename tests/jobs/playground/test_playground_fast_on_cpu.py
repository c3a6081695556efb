"""Linear layers that multiply faster give what they give otherwise."""

import pytest
import torch

from jobs.playground import together
from jobs.playground.together import LARGE, fast_on_cpu


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_it_is_the_same_product(bias, small, monkeypatch):
    torch.manual_seed(0)
    layer = torch.nn.Linear(800, 600, bias=bias)
    weight = layer.weight.clone()
    assert layer.weight.numel() < LARGE < 100 * layer.weight.numel()
    monkeypatch.setattr(together, "SMALL", weight.numel() * 2 if small else 0)
    model = fast_on_cpu(torch.nn.Sequential(layer))
    for shape in [(1, 1), (5, 1), (5,), (1, 3), (9, 1), (5, 20)]:
        given = torch.randn(*shape, 800)
        expected = given @ weight.T + (layer.bias if bias else 0)
        found = model(given)
        assert found.shape == expected.shape and found.is_contiguous() and torch.allclose(found, expected, atol=1e-5)


def test_trees_that_share_a_weight_share_its_layout():
    layer, other = torch.nn.Linear(80, 60), torch.nn.Linear(80, 60)
    other.weight = layer.weight
    fast_on_cpu(torch.nn.Sequential(layer))
    place = layer.weight.data_ptr()
    fast_on_cpu(torch.nn.Sequential(other))
    assert other.weight is layer.weight and layer.weight.data_ptr() == place
    assert layer.weight.shape == (60, 80) and layer.weight.stride() == (1, 60)
