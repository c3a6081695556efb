"""Linear layers that multiply faster give what they give otherwise."""

import copy

import pytest
import torch

from jobs.playground import products
from jobs.playground.products import LARGE, Joint, fast_for_one_row, fast_for_several_rows


class Attention(torch.nn.Module):
    """Three layers that are given the same tensor, and one more."""

    def __init__(self, biases: tuple[bool, bool, bool]):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (torch.nn.Linear(80, width, bias=bias)
                                                 for width, bias in zip((60, 40, 20), biases, strict=True))
        self.o_proj = torch.nn.Linear(60, 80)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        query, key, value = self.q_proj(given), self.k_proj(given), self.v_proj(given)
        return self.o_proj(query * torch.cat([key, value], -1))


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


@pytest.mark.parametrize("biases", [(False, False, False), (True, True, True), (True, False, True)])
@torch.no_grad()
def test_layers_given_the_same_tensor_share_one_product(biases):
    torch.manual_seed(0)
    plain = torch.nn.Sequential(Attention(biases), Attention(biases))
    fast = fast_for_several_rows(copy.deepcopy(plain))
    made = []
    for layer in fast:
        joint = layer.q_proj.joint
        assert isinstance(joint, Joint) and joint is layer.k_proj.joint is layer.v_proj.joint
        assert not hasattr(layer.o_proj, "joint")
        joint.forward = lambda given, forward=joint.forward: made.append(given) or forward(given)
    for shape in [(5, 1, 80), (1, 3, 80), (2, 80)]:
        given = torch.randn(*shape)
        assert torch.allclose(fast(given), plain(given), atol=1e-5)
    assert len(made) == 3 * len(fast)


@torch.no_grad()
def test_layers_of_one_product_may_be_given_different_tensors():
    torch.manual_seed(0)
    plain = Attention((True, True, True))
    fast = fast_for_several_rows(copy.deepcopy(plain))
    given, other = torch.randn(5, 1, 80), torch.randn(2, 3, 80)
    for name, tensor in [("v_proj", given), ("q_proj", other), ("k_proj", given), ("k_proj", other), ("v_proj", other)]:
        assert torch.allclose(fast.get_submodule(name)(tensor), plain.get_submodule(name)(tensor), atol=1e-5)
