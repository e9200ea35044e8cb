"""One tiny pipeline of each family, with random weights: it runs in milliseconds and downloads nothing.

Everything that decides whether an image is right is real: diffusers' pipeline, its text encoders and tokenizers (of a
few words), the transformer's own layers, the VAE. Only the sizes are small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

WORDS = tuple(
    "a red blue green small large cat dog house tree on under the sea by night blurry ugly user assistant".split()  # noqa: SIM905
)
CHAT = "{% for message in messages %}user {{ message['content'] }} {% endfor %}assistant"


def word_tokenizer(*, longest: int = 77, begins: bool = True, side: str = "right") -> PreTrainedTokenizerFast:
    """Return a tokenizer of one token a word, with a start token where `begins`, an end token and padding."""
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate((*special, *WORDS))}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if begins else "$A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        padding_side=side,
    )
    fast.chat_template = CHAT
    return fast


VOCABULARY = len(WORDS) + 4


def randomized(model: Any, seed: int = 1) -> Any:
    """Return the model with seeded random weights, of a scale that keeps its numbers finite and far from zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if weight.ndim >= 2:
                weight.copy_(noise * min(0.3, 1 / math.sqrt(weight.shape[-1])))
            else:
                weight.copy_(1 + 0.1 * noise if "norm" in name and name.endswith("weight") else 0.05 * noise)
    return model.eval()


def _clip(kind: Any) -> Any:
    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        projection_dim=12,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return randomized(kind(config))


def _t5(width: int) -> Any:
    return randomized(
        T5EncoderModel(T5Config(vocab_size=VOCABULARY, d_model=width, d_kv=4, d_ff=16, num_layers=1, num_heads=2))
    )


def _vae(**fields: Any) -> Any:
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.06,
        scaling_factor=1.5,
        **fields,
    )
    return randomized(vae)


def _sd3() -> Any:
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pooled_projection_dim=24,
        pos_embed_max_size=16,
        qk_norm="rms_norm",
        dual_attention_layers=(0,),
    )
    return StableDiffusion3Pipeline(
        transformer=randomized(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(),
        text_encoder=_clip(CLIPTextModelWithProjection),
        tokenizer=word_tokenizer(),
        text_encoder_2=_clip(CLIPTextModelWithProjection),
        tokenizer_2=word_tokenizer(),
        text_encoder_3=_t5(32),
        tokenizer_3=word_tokenizer(longest=512, begins=False),
    )


def _flux(*, is_dev: bool) -> Any:
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=is_dev,
    )
    return FluxPipeline(
        transformer=randomized(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=is_dev, shift=3.0 if is_dev else 1.0),
        vae=_vae(),
        text_encoder=_clip(CLIPTextModel),
        tokenizer=word_tokenizer(),
        text_encoder_2=_t5(32),
        tokenizer_2=word_tokenizer(longest=512, begins=False),
    )


PIPELINES: Mapping[str, Callable[[], Any]] = {
    "sd3": _sd3,
    "flux-dev": lambda: _flux(is_dev=True),
    "flux-schnell": lambda: _flux(is_dev=False),
}
