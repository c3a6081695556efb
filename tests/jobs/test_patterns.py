"""Patterns for layers, tried before PEFT matches them."""

from types import SimpleNamespace

import pytest

from jobs.patterns import pattern_problem

NAMES = [f"model.layers.{layer}.self_attn.{kind}_proj" for layer in range(40) for kind in "qkvo"]


@pytest.mark.parametrize("config", [
    {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"layers.3.self_attn.q_proj": 8}},
    {"target_modules": r".*\.layers\.(1|2|3)\.self_attn\.(q|v)_proj", "exclude_modules": r".*\.k_proj"},
    {"target_modules": ["q_proj"], "rank_pattern": {r"^model\.layers\.\d+\..*q_proj": 8}, "layers_pattern": ["layers"]},
    {"target_modules": "all-linear", "modules_to_save": None},
])
def test_usual_settings_are_let_through(config):
    assert pattern_problem(SimpleNamespace(**config), NAMES) == ""


@pytest.mark.parametrize("config", [
    {"target_modules": [], "exclude_modules": r"([\w.]+)*!"}, {"target_modules": ["q_proj"], "layers_pattern": [r"(\w+\.?)+!"]},
])
def test_one_that_never_ends_is_ended_with_what_to_do(config):
    problem = pattern_problem(SimpleNamespace(**config), NAMES)
    assert "takes too long to match with the base model's layers. Name the layers" in problem
