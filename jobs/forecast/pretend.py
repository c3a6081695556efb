"""A model with the shapes and number formats of a real one and no values: built from its config alone, in no memory."""

import contextlib
import copy

import torch
import transformers
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode

from jobs.forecast.answers import answered
from jobs.forecast.bits import exchange_layers, pack_layers
from jobs.forecast.ledger import opened
from jobs.forecast.shortcuts import shortcuts

DEVICE = torch.ops.prim.device.default  # which half of all questions is
PLACE = "cpu"  # where fake tensors say they are; a build of torch without CUDA has no other


@contextlib.contextmanager
def pretending():
    """Everything that is made inside is a fake tensor; random states stay as they were. For processes that do nothing else."""
    before = torch.nn.Module._apply
    torch.nn.Module._apply = _apply
    try:
        with torch.random.fork_rng(devices=[]), Shapes(allow_non_fake_inputs=True) as mode, \
                Answering(), shortcuts():
            yield mode
    finally:
        torch.nn.Module._apply = before


def _apply(module: torch.nn.Module, change, recurse: bool = True) -> torch.nn.Module:
    """Module._apply, which cannot exchange fake tensors that something else knows of."""
    if recurse:
        for child in module.children():
            child._apply(change)
    for name, weight in module._parameters.items():
        if weight is not None:
            with torch.no_grad():
                changed = change(weight)
            if changed is not weight:
                module._parameters[name] = torch.nn.Parameter(changed, requires_grad=weight.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = change(buffer)
    return module


class Plain:
    """Modes without what torch's compiler, which is not used here, puts around each operation: it takes longer than most do."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class Shapes(Plain, FakeTensorMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return self.dispatch(function, types, args, kwargs or {})


class Answering(Plain, TorchDispatchMode):
    """Answers what needs the values of tensors, as while a method is set up, and tells the ledger of every operation."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is DEVICE:
            return args[0].fake_device if isinstance(args[0], FakeTensor) else args[0].device
        kwargs = kwargs or {}
        out = answered(function, args, kwargs)
        if ledger := opened():
            ledger.see(function, args, kwargs, out)
        return out


def shape_of(config, auto_class: str, dtype: torch.dtype) -> torch.nn.Module:
    """The model of a config on torch's meta device: layers and shapes, no numbers."""
    # tables of positions and the like are worked out while a model is built, and nobody looks at them here
    with torch.device("meta"), quiet():
        model = getattr(transformers, auto_class).from_config(copy.deepcopy(config), dtype=dtype)
    return model.train()


def base_model(config, auto_class: str, dtype: torch.dtype, quantization: str, whole: list[str] | None) -> torch.nn.Module:
    """The model as a training loads it, of fake tensors; call it while pretending. `whole` names layers never held in few bits."""
    with unset_fake_temporarily():
        model = shape_of(config, auto_class, dtype)
        if quantization != "none":
            exchange_layers(model, quantization, dtype, whole)
    filled(model)
    if quantization != "none":
        pack_layers(model, quantization, dtype)
    model.tie_weights()
    return model


def filled(model: torch.nn.Module) -> torch.nn.Module:
    """Fake tensors in place of those on the meta device, each weight once where it stands in two places."""
    made: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, weight in list(module._parameters.items()):
            if weight is not None and weight.is_meta:
                if id(weight) not in made:
                    fake = torch.empty(weight.shape, dtype=weight.dtype, device=PLACE)
                    made[id(weight)] = torch.nn.Parameter(fake, requires_grad=weight.requires_grad)
                module._parameters[name] = made[id(weight)]
        for name, buffer in list(module._buffers.items()):
            if buffer is not None and buffer.is_meta:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=PLACE)
    return model


@contextlib.contextmanager
def quiet():
    """Without what transformers has to say about a model that nobody will use."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
