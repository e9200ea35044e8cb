"""A real Stable Diffusion pipeline with seeded random weights, small enough to make images in milliseconds."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

SIZE = 64


@functools.lru_cache(maxsize=2)
def folder(channels: int = 12) -> Path:
    """Return the folder of the pipeline with latents of so many channels, made once a process."""
    import torch
    from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    # One thread: on a busy machine, threads that wait for each other are a hundred times slower.
    torch.set_num_threads(1)
    torch.manual_seed(0)
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    vocab = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    tokenizer = CLIPTokenizer(vocab={word: at for at, word in enumerate(vocab)}, merges=[], model_max_length=77)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocab),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    vae = AutoencoderTiny(
        latent_channels=channels, encoder_block_out_channels=(16,) * 4, decoder_block_out_channels=(16,) * 4
    )
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    path = Path(tempfile.mkdtemp(prefix="sparkle-tiny-"))
    pipe.save_pretrained(path)
    return path
