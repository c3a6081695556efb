"""Whether a processor trains quicker in bf16 is measured once, and what was measured decides."""

import pytest
import torch

from jobs import beside, devices
from jobs.devices import DeviceFacts, cpu_facts, keep_narrowest, measure_once
from jobs.precision import WIDE, precision_choice
from jobs.training.number_formats import layers, narrowest, seconds, shares


@pytest.mark.parametrize("found, width", [
    ({384: 0.7, 512: 0.6, 768: 0.5}, 384), ({384: 1.1, 512: 0.8, 768: 0.5}, 512), ({384: 0.8, 512: 1.0, 768: 0.6}, 768),
    ({384: 0.7, 512: 0.7, 768: 0.95}, 0), ({384: 2.0, 512: 2.0, 768: 2.0}, 0)])
def test_models_are_wide_from_where_on_all_widths_gain(found, width):
    assert narrowest(found) == width


@pytest.mark.parametrize("measured, width, precision", [
    (None, WIDE, "bf16"), (None, WIDE - 1, "fp32"), (768, 767, "fp32"), (768, 768, "bf16"), (0, 4096, "fp32")])
def test_what_was_measured_decides_between_the_number_formats(measured, width, precision):
    assert precision_choice("auto", DeviceFacts("cpu", bf16=True, bf16_from=measured), width)[0] == precision


def test_a_step_is_made_in_both_formats_and_adapters_learn_in_fp32():
    for dtype in (torch.float32, torch.bfloat16):
        model = layers(64, dtype)
        assert seconds(model, dtype) > 0
        learnt = [weight for weight in model.parameters() if weight.requires_grad]
        assert learnt and all(weight.dtype == torch.float32 and weight.grad is not None for weight in learnt)
        assert {weight.dtype for weight in model.parameters() if not weight.requires_grad} == {dtype}


def test_what_one_process_measured_the_others_find(tmp_path, monkeypatch):
    monkeypatch.setattr(beside, "FOLDERS", (tmp_path / "no" / "folder", tmp_path / "kept"))
    (tmp_path / "no").write_text("a file")  # a folder that cannot be made
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(devices, "CPUINFO", cpuinfo)
    cpuinfo.write_text("model name\t: Some CPU\nflags\t\t: fpu avx512_bf16\n")
    assert cpu_facts(cpuinfo).bf16_from is None
    keep_narrowest(512)
    assert cpu_facts(cpuinfo).bf16_from == 512
    cpuinfo.write_text("model name\t: Another CPU\nflags\t\t: fpu avx512_bf16\n")
    assert cpu_facts(cpuinfo).bf16_from is None, "another processor"
    cpuinfo.write_text("model name\t: Some CPU\nflags\t\t: fpu\n")
    assert cpu_facts(cpuinfo).bf16_from is None


def test_the_setup_has_measured_this_processor():
    measure_once()  # nothing to do after make setup
    facts = cpu_facts()
    assert (facts.bf16_from is not None) == bool(facts.bf16)


def test_a_measurement_takes_all_widths(monkeypatch):
    from jobs.training import number_formats

    monkeypatch.setattr(number_formats, "WIDTHS", (64, 128))
    found = shares()
    assert set(found) == {64, 128} and all(share > 0 for share in found.values())
