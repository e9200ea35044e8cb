"""DeepCache: between full calls of the UNet, only its outermost blocks run, on the deep features of the last full call.

Lossy, and a profile's choice (ModelProfile.step_cache). After https://arxiv.org/abs/2312.00858, with the cut at the
outermost level: on SD 1.5 a shallow call costs somewhat less than half of a full one.
"""

from __future__ import annotations

from typing import Any

import torch

EVERY = 3  # every third evaluation is a full one


class DeepCache:
    """Calls one UNet2DConditionModel either whole, keeping its deep features, or shallowly, given them."""

    def __init__(self, unet: Any) -> None:
        self._unet = unet
        self._deep: torch.Tensor | None = None
        unet.up_blocks[-2].register_forward_hook(self._keep)

    def _keep(self, _module: Any, _inputs: Any, output: torch.Tensor) -> None:
        self._deep = output

    def full(self, sample: torch.Tensor, times: torch.Tensor, **given: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the prediction and the deep features, each a row for a row of `sample`."""
        noise: torch.Tensor = self._unet(sample, times, return_dict=False, **given)[0]
        deep, self._deep = self._deep, None
        if deep is None:
            raise RuntimeError("the UNet kept no deep features")
        return noise, deep

    def shallow(
        self,
        sample: torch.Tensor,
        times: torch.Tensor,
        deep: torch.Tensor,
        *,
        encoder_hidden_states: torch.Tensor,
        timestep_cond: torch.Tensor | None = None,
        added_cond_kwargs: dict[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return the prediction with `deep` in the place of all inner blocks."""
        unet = self._unet
        temb = unet.time_embedding(unet.get_time_embed(sample=sample, timestep=times), timestep_cond)
        more = unet.get_aug_embed(
            emb=temb, encoder_hidden_states=encoder_hidden_states, added_cond_kwargs=added_cond_kwargs
        )
        temb = temb if more is None else temb + more
        if unet.time_embed_act is not None:
            temb = unet.time_embed_act(temb)
        states = unet.process_encoder_hidden_states(
            encoder_hidden_states=encoder_hidden_states, added_cond_kwargs=added_cond_kwargs
        )
        first, last = unet.down_blocks[0], unet.up_blocks[-1]
        begun = unet.conv_in(sample)
        _, skips = first(begun, temb, **_text(first, states))
        # The last skip of the first block is its downsampled output, which goes to the inner blocks.
        skips = (begun, *skips)[: len(last.resnets)]
        hidden = last(hidden_states=deep, temb=temb, res_hidden_states_tuple=skips, **_text(last, states))
        if unet.conv_norm_out is not None:
            hidden = unet.conv_act(unet.conv_norm_out(hidden))
        noise: torch.Tensor = unet.conv_out(hidden)
        return noise


def _text(block: Any, states: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"encoder_hidden_states": states} if getattr(block, "has_cross_attention", False) else {}
