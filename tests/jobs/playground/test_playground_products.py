"""Linear layers that multiply faster give what they give otherwise."""

import pytest
import torch

from jobs.playground import products
from jobs.playground.products import LARGE, fast_for_one_row, fast_for_several_rows


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@torch.no_grad()
def test_it_is_the_same_product(bias, small, monkeypatch):
    torch.manual_seed(0)
    layer = torch.nn.Linear(800, 600, bias=bias)
    weight = layer.weight.clone()
    assert layer.weight.numel() < LARGE < 100 * layer.weight.numel()
    monkeypatch.setattr(products, "SMALL", weight.numel() * 2 if small else 0)
    model = torch.nn.Sequential(layer)
    fast_for_one_row(model)
    fast_for_several_rows(model)
    for shape in [(1, 1), (5, 1), (5,), (1, 3), (9, 1), (5, 20)]:
        given = torch.randn(*shape, 800)
        expected = given @ weight.T + (layer.bias if bias else 0)
        found = model(given)
        assert found.shape == expected.shape and found.is_contiguous() and torch.allclose(found, expected, atol=1e-5)


def test_a_small_models_weight_lies_by_columns_for_all_that_share_it():
    layer, other = torch.nn.Linear(80, 60), torch.nn.Linear(80, 60)
    weight, other.weight = layer.weight.clone(), layer.weight
    fast_for_one_row(torch.nn.Sequential(layer))
    assert other.weight is layer.weight and torch.equal(layer.weight, weight)
    assert layer.weight.shape == (60, 80) and layer.weight.stride() == (1, 60)
