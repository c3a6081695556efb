"""Number formats are chosen by what the device can do, and the reason is said."""

import subprocess

import pytest

from jobs.devices import DeviceFacts, cpu_facts, gpu_facts, local_facts
from jobs.machine import facts_of
from jobs.precision import WIDE, as_begun, numbers_of, precision_choice, precision_problems, precision_words
from jobs.recipe_reader import read_recipe

CPU, OLD_CPU = DeviceFacts("cpu"), DeviceFacts("cpu", bf16=False)
GPU, OLD_GPU, UNKNOWN = DeviceFacts("cuda", bf16=True), DeviceFacts("cuda", bf16=False), DeviceFacts("cuda")


def recipe(**changes):
    return read_recipe({"base_model": "b", "dataset": {"source": "x"}, **changes})


@pytest.mark.parametrize("wanted, facts, precision, why", [
    ("auto", CPU, "fp32", "a CPU is seldom faster with less"), ("auto", GPU, "bf16", "this GPU has it"),
    ("auto", OLD_GPU, "fp16", "no bf16"), ("auto", UNKNOWN, "bf16", "if the GPU has it, else fp16"),
    ("fp16", CPU, "fp32", "it needs a GPU"), ("bf16", OLD_GPU, "fp16", "this GPU has none"), ("bf16", GPU, "bf16", "as chosen"),
    ("bf16", OLD_CPU, "bf16", "only imitates it"), ("fp16", GPU, "fp16", "as chosen"), ("fp32", GPU, "fp32", "as chosen")])
def test_what_a_device_cannot_do_gives_way_and_the_reason_is_told(wanted, facts, precision, why):
    chosen, said = precision_choice(wanted, facts)
    assert chosen == precision and why in said


@pytest.mark.parametrize("changes, width, computed, held", [
    ({}, WIDE, "bf16", "bf16"), ({}, WIDE - 1, "fp32", "fp32"), ({}, 0, "fp32", "fp32"), ({"method": "full"}, WIDE, "bf16", "fp32"),
    ({"training": {"precision": "fp32"}}, WIDE, "fp32", "fp32"), ({"training": {"base_precision": "fp32"}}, WIDE, "bf16", "fp32"),
    ({"quantization": "nf4"}, WIDE, "fp32", "fp32"), ({"training": {"precision": "bf16"}}, WIDE, "bf16", "fp32")])
def test_a_cpu_with_instructions_for_bf16_computes_wide_models_in_it(changes, width, computed, held):
    numbers = numbers_of(recipe(**changes), DeviceFacts("cpu", bf16=True), width)
    assert (numbers.precision, numbers.base_precision) == (computed, held)
    assert numbers_of(recipe(), OLD_CPU, WIDE).precision == "fp32"


@pytest.mark.parametrize("changes, facts, computed, held", [
    ({}, CPU, "fp32", "fp32"), ({}, GPU, "bf16", "bf16"), ({"method": "full"}, GPU, "bf16", "fp32"),
    ({"training": {"base_precision": "bf16"}}, CPU, "bf16", "bf16"),
    ({"training": {"base_precision": "fp32"}}, GPU, "bf16", "fp32"),
    ({"training": {"base_precision": "fp16"}}, CPU, "fp32", "fp32"), ({"training": {"precision": "bf16"}}, CPU, "bf16", "fp32"),
    ({"method": "full", "training": {"base_precision": "bf16"}}, GPU, "bf16", "bf16"),
    ({"method": "full", "training": {"base_precision": "bf16"}}, OLD_GPU, "fp16", "fp32"),
    ({"quantization": "nf4"}, GPU, "bf16", "bf16"), ({"quantization": "nf4"}, CPU, "fp32", "fp32")])
def test_the_weights_are_held_in_what_is_computed_in_or_in_fp32(changes, facts, computed, held):
    numbers = numbers_of(recipe(**changes), facts)
    assert (numbers.precision, numbers.base_precision) == (computed, held)
    assert f"Precision {computed}: " in numbers.sentence() and (f"held in {held}" in numbers.sentence()) == (computed != held)


def test_an_attempt_goes_on_in_what_those_before_computed_in_where_its_device_can():
    begun = {"device_name": "CPU, 2 cores", "precision": "bf16", "base_precision": "bf16", "precision_why": "so"}
    now = numbers_of(recipe(), CPU)
    assert as_begun(now, begun, "CPU, 2 cores", CPU).sentence() == "Precision bf16: so."
    assert as_begun(now, {}, "CPU, 2 cores", CPU) is as_begun(now, begun, "CPU, 8 cores", CPU) is now
    assert as_begun(now, begun, "CPU, 2 cores", OLD_CPU) is now
    assert as_begun(now, {"device_name": "CPU, 2 cores", "precision": "bf16"}, "CPU, 2 cores", CPU) is now  # by an older studio


@pytest.mark.parametrize("changes, said", [
    ({"quantization": "nf4", "training": {"base_precision": "bf16"}}, "the base model is held in nf4. Leave it at auto."),
    ({"method": "full", "training": {"base_precision": "fp16"}}, "weights in fp16 cannot be trained"),
    ({"training": {"base_precision": "bf16", "precision": "fp32"}}, "set training.precision to bf16 or auto")])
def test_formats_that_do_not_go_together_are_refused(changes, said):
    assert said in precision_problems(recipe(**changes))[0]


def test_a_gpu_is_asked_through_its_driver_and_by_the_number_that_cuda_gives_it(monkeypatch):
    asked = []

    def answer(command, **options):
        asked.append(command[1])
        return subprocess.CompletedProcess(command, 0, "NVIDIA H200, 143771, 9.0\n" if len(asked) < 3 else "no such device\n", "")

    monkeypatch.setattr(subprocess, "run", answer)
    assert gpu_facts(1) == DeviceFacts("cuda", "NVIDIA H200", 143771 * 2**20, True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5c")
    assert gpu_facts(1).bf16
    assert asked == ["--id=1", "--id=GPU-5c"] and gpu_facts(0) == DeviceFacts("cuda")

    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, 10)

    monkeypatch.setattr(subprocess, "run", hang)
    assert local_facts("cuda:0") == DeviceFacts("cuda")


def test_a_cpu_tells_whether_it_has_instructions_for_bf16(tmp_path):
    (tmp_path / "new").write_text("model name\t: Some CPU\nflags\t\t: fpu avx512_bf16 amx_bf16\n")
    (tmp_path / "old").write_text("model name\t: Some CPU\nflags\t\t: fpu avx2\n")
    assert cpu_facts(tmp_path / "new") == DeviceFacts("cpu", "Some CPU", bf16=True)
    assert cpu_facts(tmp_path / "old").bf16 is False and cpu_facts(tmp_path / "none") == DeviceFacts("cpu")


def test_the_page_says_it_by_what_the_workers_told_of_their_devices(services):
    assert "Precision fp32: " in precision_words(services, recipe()), "no worker: as this machine looks"
    services.workers.beat("one", "there", 1, ["cuda:0", "cuda:1"],
                          facts={"cuda:0": GPU.record(), "cuda:1": GPU.record(), "cpu": CPU.record()})
    assert facts_of(services) == [GPU]
    assert precision_words(services, recipe()) == "Precision bf16: this GPU has it."
    assert precision_words(services, recipe(), "cpu").startswith("Precision fp32: ")
