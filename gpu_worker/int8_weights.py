"""int8 weight-only quantization of linear layers: half the memory of 16 bits, on any card and on a CPU.

Each row of a weight has its own scale (absolute maximum / 127), and is multiplied out when the layer runs. The rounding
changes images a little. Own code: torchao would be imported by diffusers at each start, also where nothing is quantized
(docs/decisions).
"""

from __future__ import annotations

import torch
from torch import nn

SMALLEST_WEIGHT = 64 * 64  # elements: below that a scale a row saves nothing worth rounding for


class Int8Linear(nn.Module):
    """A linear layer with int8 weights (out, in) and a scale (out, 1) for each of their rows."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
        self.register_buffer("weight", (weight / scale).round().to(torch.int8))
        self.register_buffer("scale", scale.to(linear.weight.dtype))
        self.bias = linear.bias

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(states, self.weight.to(states.dtype) * self.scale.to(states.dtype), self.bias)


def quantize(module: nn.Module) -> int:
    """Replace the large linear layers inside `module` in place, and return how many bytes that saved."""
    saved = 0
    for name, child in list(module.named_children()):
        # A subclass has a forward of its own.
        if type(child) is nn.Linear:
            if child.weight.numel() >= SMALLEST_WEIGHT:
                saved += child.weight.numel() * (child.weight.element_size() - 1)
                setattr(module, name, Int8Linear(child))
        else:
            saved += quantize(child)
    return saved
