"""One step of a training on fake tensors: forward, loss, backward and the optimizer, with all that is held meanwhile."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch

from jobs.forecast.ledger import Ledger
from jobs.forecast.optimizers import States
from jobs.forecast.place import on
from jobs.forecast.result import PARTS
from jobs.forecast.stacks import stacks_of

BASE, ADAPTER, GRADIENTS, OPTIMIZER, ACTIVATIONS, HEAD, _ = PARTS
EVALUATION = "evaluation"
REFERENCE = "reference"  # of a model that is trained whole: a list with the second copy, which preferences are compared with


@dataclass(frozen=True)
class Step:
    """What a step held: the most in each of its phases, and of what it consisted then; and how much it worked out."""

    peaks: dict[str, int]
    made_of: dict[str, Counter]
    operations: int  # floating-point ones, without an evaluation's


@dataclass(frozen=True)
class Way:
    """How a step is made."""

    loss: Callable               # (model) -> a tensor to go back from
    states: States               # what the optimizer keeps
    device: str = "cpu"          # or cuda
    autocast: torch.dtype | None = None
    accumulation: int = 1
    grain: int = 512
    evaluate: Callable | None = None  # (model) -> the loss over a batch of an evaluation


def step_of(model, layers: int, way: Way) -> Step:
    """Make a step with a model of fake tensors whose stacks are so many layers high; call it while pretending."""
    ledger = Ledger(way.grain)
    weights = dict(model.named_parameters())
    own = own_weights(model)
    for name, weight in weights.items():
        ledger.add(weight, ADAPTER if name in own else BASE)
    for name, buffer in model.named_buffers():
        ledger.add(buffer, ADAPTER if any(part in name for part in ADAPTER_BUFFERS) else BASE)
    for layer in model.modules():
        for tensor in getattr(layer, "beside", ()):
            ledger.add(tensor, BASE)
    for weight in (weight for other in getattr(model, REFERENCE, ()) for weight in other.parameters()):
        ledger.add(weight, BASE)
    trained = [weight for weight in weights.values() if weight.requires_grad]
    ledger.held[OPTIMIZER] += way.states.kept(trained)
    ledger.total += way.states.kept(trained)
    if way.accumulation > 1:
        for weight in trained:
            weight.grad = torch.empty_like(weight)
            ledger.add(weight.grad, GRADIENTS)
    for weight in trained:
        weight.register_post_accumulate_grad_hook(lambda weight: ledger.add(weight.grad, GRADIENTS))
    follow(model, layers, ledger)
    with on(way.device, way.autocast), ledger:
        ledger.in_phase("forward, before the layers")
        loss = way.loss(model)
        ledger.in_phase("loss head, back")
        with torch.autocast("cpu", enabled=False):  # as trainers go back
            loss.backward()
        del loss
        ledger.in_phase("optimizer")
        ledger.peaks["optimizer"] += (room := way.states.while_stepping(trained))
        ledger.made_of["optimizer"][OPTIMIZER] += room
        for weight in trained:
            weight.grad = None
        operations = ledger.operations
        if way.evaluate:
            ledger.label = ACTIVATIONS
            ledger.in_phase(EVALUATION)
            with torch.no_grad():
                way.evaluate(model.eval())
    return Step(ledger.peaks, ledger.made_of, operations)


ADAPTER_BUFFERS = ("lora_", "vera_", "prompt", "boft_", "shira_", "fourierft", "randlora", "vblora", "unilora", "tinylora",
                   "adamss", "waveft", "osf_", "psoft", "pvera", "hra_", "oft_")
MIXTURE = "lora_model."  # a part of all names in an X-LoRA


def own_weights(model) -> set[str]:
    """Names of the weights that a method has added to a base model."""
    if not hasattr(model, "peft_config"):
        return set()
    prefix = getattr(model.base_model, "prefix", None) or "prompt_encoder"
    return {name for name, weight in model.named_parameters() if weight.requires_grad or prefix in name.replace(MIXTURE, "")}


def follow(model, layers: int, ledger: Ledger) -> None:
    """Tell the ledger in which part of the step it is: before, in and behind the first and the last layer, forth and back."""
    going_back = False

    def forth(phase: str):
        def enter(module, inputs):
            if not going_back and ledger.phase != EVALUATION:
                ledger.in_phase(phase)
        return enter

    def back(phase: str, label: str = ACTIVATIONS):
        def hook(gradient):
            nonlocal going_back
            going_back, ledger.label = True, label
            ledger.in_phase(phase)
        return hook

    def leave(first: bool, last: bool):
        def left(module, inputs, output):
            if ledger.phase == EVALUATION:
                ledger.label = HEAD if last else ACTIVATIONS
            if going_back or ledger.phase == EVALUATION:
                return
            ledger.in_phase("forward, the layers")
            hidden = output[0] if isinstance(output, tuple) else output
            if last:
                ledger.label = HEAD
                ledger.in_phase("loss head")
            if isinstance(hidden, torch.Tensor) and hidden.requires_grad and not hidden.is_leaf:
                place = "the last layer" if last else "the first layer" if first else "the layers"
                hidden.register_hook(back(f"back, {place}"))
        return left

    def into_first(module, inputs, options):
        hidden = next((value for value in (*inputs, *options.values()) if isinstance(value, torch.Tensor) and
                       value.is_floating_point()), None)
        if not going_back and hidden is not None and hidden.requires_grad and not hidden.is_leaf:
            hidden.register_hook(back("back, before the layers"))

    stacks = stacks_of(model, layers)
    for place, stack in enumerate(stacks):
        for number, layer in enumerate(stack):
            first, last = number == 0, place == len(stacks) - 1 and number == len(stack) - 1
            if first and place == 0:
                layer.register_forward_pre_hook(into_first, with_kwargs=True)
            layer.register_forward_pre_hook(forth("forward, the first layer" if first else "forward, the layers"))
            layer.register_forward_hook(leave(first, last))
