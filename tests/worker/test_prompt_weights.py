"""Weights of words in what CLIP's encoders give the model, and that other encoders never read their signs."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from gpu_worker.engine import GenerationRequest
from guilds import prompt_weights

from . import tiny_models

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@functools.cache
def encoder() -> Any:
    from diffusers import StableDiffusionPipeline

    from gpu_worker.families.clip_prompts import PromptEncoder

    torch.set_num_threads(1)
    return PromptEncoder(StableDiffusionPipeline.from_pretrained(tiny_models.folder(), safety_checker=None))


def embed(prompt: str) -> Any:
    with torch.inference_mode():
        return encoder().encode(prompt)


# In the tiny tokenizer each letter is a token, and a part that ends a word has tokens of its own.
def test_a_weight_scales_its_tokens_against_all_others() -> None:
    plain, weighted = embed("a b").tokens[0], embed("a (b:1.5)").tokens[0]
    scale = (weighted / plain).nanmean(dim=-1)
    assert scale[2] / scale[1] == pytest.approx(1.5, abs=1e-3)
    assert scale[3] / scale[1] == pytest.approx(1, abs=1e-3)
    assert weighted.norm().item() == pytest.approx(plain.norm().item(), rel=1e-4)


@pytest.mark.parametrize("prompt", ["a (b:1)", r"a \b", "a [b", ":) a"])
def test_without_weights_nothing_is_scaled(prompt: str) -> None:
    text = prompt_weights.plain(prompt)
    assert "(" not in text
    assert torch.equal(embed(prompt).tokens, embed(text).tokens)


def test_extreme_weights_stay_finite_also_over_several_chunks() -> None:
    for prompt in ("(a:1e9)", "(a:0)", "((((a:9):9):9):9)", "(a:2) " * 100, "(" * 3000 + "a" + ")" * 3000):
        embedding = embed(prompt)
        assert torch.isfinite(embedding.tokens).all()
    assert embed("(a:2) " * 100).truncated_tokens == 0


def test_a_language_model_encoder_reads_plain_words() -> None:
    from benchmarks import families

    family = families.load("flux-schnell")
    request = GenerationRequest(
        id=1, prompt="a (cat:1.4) [dog]", seed=1, count=1, steps=2, guidance=1.0,
        sampler=next(iter(family.info.samplers)), width=family.native_side, height=family.native_side,
    )  # fmt: skip
    with torch.inference_mode():
        embedding = family.begin(request).prompts[0].tokens
        assert torch.equal(embedding, family.encode_prompt("a cat dog", is_negative=False).tokens)
        assert not torch.equal(embedding, family.encode_prompt(request.prompt, is_negative=False).tokens)
