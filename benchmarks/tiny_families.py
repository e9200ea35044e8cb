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
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    ChromaPipeline,
    ChromaTransformer2DModel,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
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


def _language_model(model: Any, config: Any, *, width: int, layers: int) -> Any:
    """Return a tiny language model whose hidden states are the embeddings of a prompt."""
    return randomized(
        model(
            config(
                vocab_size=VOCABULARY,
                hidden_size=width,
                intermediate_size=8,
                num_hidden_layers=layers,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=4,
                max_position_embeddings=2048,
                bos_token_id=1,
                eos_token_id=2,
                pad_token_id=0,
            )
        )
    )


def _klein() -> Any:
    transformer = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    vae = AutoencoderKLFlux2(
        in_channels=3,
        out_channels=3,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=32,
    )
    vae = randomized(vae)
    vae.bn.running_mean.normal_(std=0.2, generator=torch.Generator().manual_seed(5))
    vae.bn.running_var.uniform_(0.5, 2.0, generator=torch.Generator().manual_seed(6))
    return Flux2KleinPipeline(
        transformer=randomized(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        vae=vae,
        # The embeddings are the hidden states of its layers 9, 18 and 27.
        text_encoder=_language_model(Qwen3ForCausalLM, Qwen3Config, width=8, layers=27),
        tokenizer=word_tokenizer(longest=512, begins=False),
        is_distilled=False,
    )


def _z_image() -> Any:
    transformer = ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=24,
        axes_dims=[8, 4, 4],
        axes_lens=[256, 32, 32],
    )
    return ZImagePipeline(
        transformer=randomized(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(),
        text_encoder=_language_model(Qwen3ForCausalLM, Qwen3Config, width=24, layers=2),
        tokenizer=word_tokenizer(longest=512, begins=False),
    )


def _qwen_image() -> Any:
    transformer = QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=64,
        out_channels=16,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        axes_dims_rope=(8, 4, 4),
    )
    vae = AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )
    return QwenImagePipeline(
        transformer=randomized(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.02),
        vae=randomized(vae),
        text_encoder=_language_model(Qwen2ForCausalLM, Qwen2Config, width=24, layers=1),
        tokenizer=word_tokenizer(longest=1058, begins=False),
    )


def _sana() -> Any:
    transformer = SanaTransformer2DModel(
        patch_size=1,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        num_attention_heads=2,
        attention_head_dim=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=4,
        cross_attention_dim=8,
        caption_channels=16,
        sample_size=16,
    )
    vae = AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock",) * 6,
        decoder_block_types=("ResBlock",) * 6,
        encoder_block_out_channels=(4,) * 6,
        decoder_block_out_channels=(4,) * 6,
        encoder_qkv_multiscales=((),) * 6,
        decoder_qkv_multiscales=((),) * 6,
        encoder_layers_per_block=(1,) * 6,
        decoder_layers_per_block=[1] * 6,
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41,
    )
    return SanaPipeline(
        transformer=randomized(transformer),
        scheduler=DPMSolverMultistepScheduler(
            algorithm_type="dpmsolver++",
            solver_order=2,
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            flow_shift=3.0,
        ),
        vae=randomized(vae),
        text_encoder=_language_model(Gemma2Model, Gemma2Config, width=16, layers=1),
        tokenizer=word_tokenizer(longest=1024),
    )


def _pixart_sigma() -> Any:
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        cross_attention_dim=8,
        sample_size=8,
        patch_size=2,
        caption_channels=16,
        use_additional_conditions=False,
    )
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        scaling_factor=0.13025,
    )
    randomized(transformer)
    # Noise that is no noise is amplified at each step: a small prediction keeps the latents near those of real models.
    with torch.no_grad():
        transformer.proj_out.weight.mul_(0.05)
    return PixArtSigmaPipeline(
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(use_karras_sigmas=True),
        vae=randomized(vae),
        text_encoder=_t5(16),
        tokenizer=word_tokenizer(longest=300, begins=False),
    )


def _chroma() -> Any:
    transformer = ChromaTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=(4, 4, 8),
        approximator_num_channels=8,
        approximator_hidden_dim=32,
        approximator_layers=1,
    )
    return ChromaPipeline(
        transformer=randomized(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_vae(),
        text_encoder=_t5(32),
        tokenizer=word_tokenizer(longest=512, begins=False),
    )


def _lumina2() -> Any:
    transformer = Lumina2Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        hidden_size=24,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=3,
        num_kv_heads=1,
        multiple_of=2,
        axes_dim_rope=(4, 2, 2),
        axes_lens=(512, 64, 64),
        cap_feat_dim=16,
    )
    return Lumina2Pipeline(
        transformer=randomized(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_vae(),
        text_encoder=_language_model(Gemma2Model, Gemma2Config, width=16, layers=2),
        tokenizer=word_tokenizer(longest=256),
    )


PIPELINES: Mapping[str, Callable[[], Any]] = {
    "sd3": _sd3,
    "flux-dev": lambda: _flux(is_dev=True),
    "flux-schnell": lambda: _flux(is_dev=False),
    "flux2-klein": _klein,
    "z-image": _z_image,
    "qwen-image": _qwen_image,
    "sana": _sana,
    "pixart-sigma": _pixart_sigma,
    "chroma": _chroma,
    "lumina2": _lumina2,
}
