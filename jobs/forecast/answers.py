"""What operations say that need the values of tensors, where tensors have none: the likely answer, or one of the right shape."""

import torch

aten = torch.ops.aten


def answered(function, args: tuple, kwargs: dict):
    """Run an operation, or give the answer to one that asks for values."""
    known = ANSWERS.get(function) or BY_NAME.get(function.name())
    out = NotImplemented if known is None else known(*args, **kwargs)
    if out is NotImplemented:
        out = function(*args, **kwargs)
    if function.overloadpacket is aten.any:
        out.said = False  # of questions such as whether any number is infinite
    return out


def number(tensor):
    """`item()`: a real value where the tensor has one; else the first of all things counted, and yes."""
    known = getattr(tensor, "constant", None)
    if known is not None:
        return known.item()
    return getattr(tensor, "said", {torch.bool: True}.get(tensor.dtype, 1.0 if tensor.is_floating_point() else 0))


def places(tensor):
    """`nonzero()`: as if all were."""
    return tensor.new_empty((tensor.numel(), tensor.dim()), dtype=torch.long)


def chosen(tensor, mask):
    return tensor.new_empty((tensor.numel(),))


def chosen_at(tensor, indices):
    """`tensor[indices]`: a mask chooses all, every other index is torch's business."""
    if not any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices):
        return NotImplemented
    masked, shape = 0, []
    for index in indices:
        if index is None:
            shape.append(tensor.shape[masked])
            masked += 1
        else:
            shape.append(index.numel())
            masked += index.dim()
    return tensor.new_empty((*shape, *tensor.shape[masked:]))


def unique(tensor, dim=None, sort=True, return_inverse=False, return_counts=False):
    size = tensor.shape[dim] if dim is not None else tensor.numel()
    found = tensor if dim is not None else tensor.new_empty((size,))
    whole = torch.long
    return found.clone(), tensor.new_empty((size,), dtype=whole), tensor.new_empty((size if return_counts else 0,), dtype=whole)


def unique2(tensor, sort=True, return_inverse=False, return_counts=False):
    return unique(tensor.flatten(), None, sort, return_inverse, return_counts)


def alike(tensor, return_inverse=False, return_counts=False, dim=None):
    """`unique_consecutive()`: rows have as many of something as each other."""
    if dim is not None:
        return NotImplemented
    return tensor.new_empty((1,)), tensor.new_empty(tensor.shape, dtype=torch.long), tensor.new_empty((1,), dtype=torch.long)


def counts(tensor, weights=None, minlength=0):
    return tensor.new_empty((max(minlength, 1),), dtype=torch.long if weights is None else weights.dtype)


def repeated(repeats, output_size=None):
    return repeats.new_empty((output_size if output_size is not None else repeats.numel(),))


ANSWERS = {
    aten._local_scalar_dense.default: number, aten.nonzero.default: places, aten.masked_select.default: chosen,
    aten.index.Tensor: chosen_at, aten.equal.default: lambda one, other: True, aten.unique_dim.default: unique,
    aten._unique2.default: unique2, aten.unique_consecutive.default: alike, aten.bincount.default: counts,
    aten.repeat_interleave.Tensor: repeated,
}


def in_8_bits(tensor, threshold=0.0):
    """bitsandbytes looks for columns that lie outside: none."""
    rows = tensor.new_empty(tensor.shape[:-1].numel(), dtype=torch.float32)
    return tensor.new_empty(tensor.shape, dtype=torch.int8), rows, tensor.new_empty(0, dtype=torch.long) if threshold else None


def product_in_8_bits(numbers, in_8, weights, scales, weight_scales, columns=None, bias=None):
    return numbers.new_empty((*in_8.shape[:-1], len(weights))), numbers.new_empty((*in_8.shape[:-1], 0))


BY_NAME = {"bitsandbytes::int8_vectorwise_quant": in_8_bits, "bitsandbytes::int8_mixed_scaled_mm": product_in_8_bits}
