"""DeepCache: between full calls of the UNet only its outermost blocks run, on the deep features of the last full call.

It is lossy, so a profile chooses it (ModelProfile.step_cache). From https://arxiv.org/abs/2312.00858, split at the
outermost level: on SD 1.5 a shallow call costs a little less than half of a full one.
"""

from __future__ import annotations

from typing import Any

import torch

FULL_CALL_INTERVAL = 3  # every third call is a full one


class DeepCache:
    """Calls one UNet2DConditionModel: either in full, which returns its deep features, or shallowly with them."""

    def __init__(self, unet: Any) -> None:
        self._unet = unet
        self._deep: torch.Tensor | None = None
        unet.up_blocks[-2].register_forward_hook(self._store_features)

    def _store_features(self, _module: Any, _inputs: Any, output: torch.Tensor) -> None:
        self._deep = output

    def __call__(
        self,
        *,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        deep_features: torch.Tensor | None = None,
        return_dict: bool = False,
        **given: Any,
    ) -> tuple[torch.Tensor, ...]:
        """Return the prediction; without `deep_features` it comes from a full call, whose deep features follow it."""
        if deep_features is not None:
            return (self.shallow(sample, timestep, deep_features, **given),)
        return self.full(sample, timestep, **given)

    def full(self, sample: torch.Tensor, times: torch.Tensor, **given: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the prediction and the deep features, each with as many rows as `sample`."""
        noise: torch.Tensor = self._unet(sample, times, return_dict=False, **given)[0]
        deep, self._deep = self._deep, None
        if deep is None:
            raise RuntimeError("the UNet returned no deep features")
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
        """Return the prediction with `deep` instead of the output of all inner blocks."""
        unet = self._unet
        temb = unet.time_embedding(unet.get_time_embed(sample=sample, timestep=times), timestep_cond)
        aug_emb = unet.get_aug_embed(
            emb=temb, encoder_hidden_states=encoder_hidden_states, added_cond_kwargs=added_cond_kwargs
        )
        temb = temb if aug_emb is None else temb + aug_emb
        if unet.time_embed_act is not None:
            temb = unet.time_embed_act(temb)
        states = unet.process_encoder_hidden_states(
            encoder_hidden_states=encoder_hidden_states, added_cond_kwargs=added_cond_kwargs
        )
        first, last = unet.down_blocks[0], unet.up_blocks[-1]
        hidden_in = unet.conv_in(sample)
        _, skips = first(hidden_in, temb, **_text_kwargs(first, states))
        # The last skip of the first block is its downsampled output, which goes to the inner blocks.
        skips = (hidden_in, *skips)[: len(last.resnets)]
        hidden = last(hidden_states=deep, temb=temb, res_hidden_states_tuple=skips, **_text_kwargs(last, states))
        if unet.conv_norm_out is not None:
            hidden = unet.conv_act(unet.conv_norm_out(hidden))
        noise: torch.Tensor = unet.conv_out(hidden)
        return noise


def _text_kwargs(block: Any, states: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"encoder_hidden_states": states} if getattr(block, "has_cross_attention", False) else {}
