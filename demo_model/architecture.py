"""The demo model's parts, with untrained weights, and how they are saved as a pipeline folder.

Latents are 12x16x16: a 32x32 image with each 2x2 block of pixels put into channels. The UNet generates them. The
decoder makes 512x512 images with crisp edges of them, and the encoder does the opposite for image to image.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from . import captions, scenes
from .captions import write_caption

PIPELINE = Path(__file__).parent / "pipeline"
TOKENS = 32
TEXT_WIDTH = 192
LATENT_CHANNELS = 12
SMALL = 32  # the side of the image that the latents hold
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def list_words() -> list[str]:
    """Return every word of the captions. Each becomes one token."""
    rng = random.Random(0)
    vocabulary: set[str] = set()
    for _ in range(20_000):
        scene = scenes.random_scene(rng)
        vocabulary.update(write_caption(scene, rng, plain=True).replace(",", " ").split())
    for names in (*scenes.SYNONYMS.values(), *scenes.SIZE_WORDS.values(), captions.PREFIXES, captions.SUFFIXES):
        for name in names:
            vocabulary.update(name.replace(",", " ").split())
    for texts in captions.VIEW_CAPTIONS.values():
        for text in texts:
            vocabulary.update(text.split())
    vocabulary.update(
        [
            "corner",
            "middle",
            "to",
            "over",
            "on",
            "top",
            "of",
            "under",
            "beneath",
            "in",
            "front",
            "with",
            "next",
            "and",
            "the",
            "at",
            "from",
            "chess",
            "board",
            "background",
            "gradient",
            "vertical",
            "horizontal",
            "diagonal",
            "stripes",
            "checkerboard",
            "dots",
            "landscape",
            "animal",
        ]
    )
    return sorted(vocabulary)


def load_tokenizer() -> CLIPTokenizer:
    """Return the saved tokenizer, or a new one where there is none. Checkpoints depend on its token ids."""
    folder = PIPELINE / "tokenizer"
    return CLIPTokenizer.from_pretrained(folder) if folder.exists() else make_tokenizer()


def make_tokenizer() -> CLIPTokenizer:
    """Return a byte-level BPE that makes each known word one token. An unknown word becomes several.

    Merges of equal frequency have no fixed order, so two new tokenizers differ.
    """
    known = list_words()
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(
        known,
        trainers.BpeTrainer(
            vocab_size=20_000,
            min_frequency=1,
            initial_alphabet=alphabet,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    trained = json.loads(bpe.to_str())["model"]
    # In CLIP's order: letters, letters that end a word, merges, the two special tokens.
    vocab: dict[str, int] = {}
    for token in (*alphabet, *(letter + "</w>" for letter in alphabet)):
        vocab.setdefault(token, len(vocab))
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in trained["merges"]]
    for merge in merges:
        vocab.setdefault("".join(merge), len(vocab))
    for special in (BEGIN, END):
        vocab.setdefault(special, len(vocab))
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=TOKENS, pad_token=END, unk_token=END)


def make_text_encoder(tokens: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            hidden_act="gelu",
            bos_token_id=tokens.bos_token_id,
            eos_token_id=tokens.eos_token_id,
            pad_token_id=tokens.pad_token_id,
        )
    )


def make_unet() -> UNet2DConditionModel:
    """Return a UNet of three levels, 16 down to 4. Pooled text shifts and scales every block, which learns fast."""
    return UNet2DConditionModel(
        sample_size=SMALL // 2,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(64, 96, 144),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "SimpleCrossAttnDownBlock2D", "SimpleCrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=("SimpleCrossAttnUpBlock2D", "SimpleCrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=48,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=8,
    )


def make_autoencoder() -> AutoencoderTiny:
    """Return an autoencoder that halves five times: 512 pixels to 16 latents and back."""
    return AutoencoderTiny(
        in_channels=3,
        out_channels=3,
        latent_channels=LATENT_CHANNELS,
        encoder_block_out_channels=(16,) * 6,
        decoder_block_out_channels=(24,) * 6,
        num_encoder_blocks=(0, 0, 1, 1, 1, 1),
        num_decoder_blocks=(3, 2, 2, 1, 1, 0),
        upsampling_scaling_factor=2,
        scaling_factor=1.0,
    )


def make_scheduler() -> DDIMScheduler:
    """Return DDIM, with the settings that other samplers read when they are made from it."""
    return DDIMScheduler.from_config(
        {
            "num_train_timesteps": 1000,
            "beta_start": 0.00085,
            "beta_end": 0.016,
            "beta_schedule": "scaled_linear",
            "prediction_type": "v_prediction",
            # With clipping, guided v-prediction would invert colours.
            "clip_sample": False,
            "set_alpha_to_one": False,
            "steps_offset": 1,
            "skip_prk_steps": True,
            # Without it, k_lms diverges at 16 steps.
            "use_karras_sigmas": True,
        }
    )


def make_components(seed: int = 0) -> dict[str, Any]:
    """Return all parts, with random weights from the seed."""
    torch.manual_seed(seed)
    tokens = load_tokenizer()
    return {
        "tokenizer": tokens,
        "text_encoder": make_text_encoder(tokens),
        "unet": make_unet(),
        "vae": make_autoencoder(),
    }


def make_pipeline(parts: dict[str, Any]) -> StableDiffusionPipeline:
    """Return a Stable Diffusion pipeline of the parts."""
    return StableDiffusionPipeline(
        **parts,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save(parts: dict[str, Any], folder: Path = PIPELINE) -> None:
    """Write the folder that `from_pretrained` loads, with weights in half precision."""
    halves = {name: part.to(torch.float16) if hasattr(part, "parameters") else part for name, part in parts.items()}
    make_pipeline(halves).save_pretrained(folder, safe_serialization=True)
    # Without it, transformers loads halves and diffusers floats by default, which do not fit together.
    _set_json_keys(folder / "text_encoder" / "config.json", dtype="float32")
    # AutoencoderTiny adds this key itself, and warns when the file contains it.
    _set_json_keys(folder / "vae" / "config.json", block_out_channels=None)


def _set_json_keys(path: Path, **settings: str | None) -> None:
    """Set these keys of a JSON file; None removes a key."""
    content = json.loads(path.read_text()) | settings
    path.write_text(
        json.dumps({key: value for key, value in content.items() if settings.get(key, 0) is not None}, indent=2) + "\n"
    )


if __name__ == "__main__":
    save(make_components())
