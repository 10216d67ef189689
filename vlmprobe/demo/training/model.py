"""The genuine Qwen2.5-VL in miniature, and one fast forward over its own modules for many questions at once.

Training asks several questions about each image, and all prompts have one layout. So the vision part runs once per
image, there is nothing to mask or to look up, and the whole step becomes one CUDA graph. `FastForward` yields
what `Qwen2_5_VLForConditionalGeneration` yields (`check_forward`), so `from_pretrained` loads what was
trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from vlmprobe.demo.training.tokenizer import token_id
from vlmprobe.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from vlmprobe.demo.training.config import ModelSize
    from vlmprobe.demo.training.lessons import Prompts

__all__ = [
    "IMAGE_MEAN",
    "IMAGE_STD",
    "MERGE",
    "PATCH",
    "FastForward",
    "check_forward",
    "make_model",
    "patches",
]

#: Pixels of a patch's side, and patches that are merged to one token in each direction.
PATCH, MERGE = 14, 2
#: Qwen2.5-VL's own, per channel.
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)
_ROPE_THETA = 10000.0
_TEMPORAL_PATCH = 2
#: Largest absolute difference allowed between two float32 computations of the same logits.
_TOLERANCE = 2e-3


def make_model(size: ModelSize, tokenizer: Tokenizer, seed: int) -> Any:
    """Create a model in float32 on the CPU, with random weights that depend on the seed."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    def token(text: str) -> int:
        return token_id(tokenizer, text)

    half_head = size.text_hidden // size.text_heads // 2
    temporal = half_head // 4
    spatial = (half_head - temporal) // 2
    config = Qwen2_5_VLConfig(
        text_config={
            # A multiple of eight keeps the matrix products of mixed precision fast.
            "vocab_size": -(-tokenizer.get_vocab_size() // 8) * 8,
            "hidden_size": size.text_hidden,
            "intermediate_size": size.text_mlp,
            "num_hidden_layers": size.text_layers,
            "num_attention_heads": size.text_heads,
            "num_key_value_heads": size.text_kv_heads,
            "max_position_embeddings": 512,
            "use_sliding_window": False,
            "max_window_layers": size.text_layers,
            "tie_word_embeddings": True,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [half_head - 2 * spatial, spatial, spatial],
                "rope_theta": _ROPE_THETA,
            },
            "bos_token_id": token("<|endoftext|>"),
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
        },
        vision_config={
            "depth": size.vision_layers,
            "hidden_size": size.vision_hidden,
            "intermediate_size": size.vision_mlp,
            "num_heads": size.vision_heads,
            "out_hidden_size": size.text_hidden,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "window_size": 112,
            # No layer attends within windows, since the image is hardly larger than one.
            "fullatt_block_indexes": list(range(size.vision_layers)),
            "temporal_patch_size": _TEMPORAL_PATCH,
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen2_5_VLForConditionalGeneration(config).float()


def patches(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Normalize images and cut them into patches, in the image processor's order: merged blocks together.

    Args:
        images: (n, 3, S, S) in [0, 1], S a multiple of 28.
        mean: (1, 3, 1, 1) per channel.
        std: likewise.

    Returns:
        (n, (S / 14)^2, 3, 14, 14).
    """
    n, side = images.shape[0], images.shape[-1] // PATCH
    blocks = side // MERGE
    cut = ((images - mean) / std).view(n, 3, blocks, MERGE, PATCH, blocks, MERGE, PATCH)
    return cut.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(n, side * side, 3, PATCH, PATCH)


class FastForward:
    """The model's forward for n images of one size and k questions about each.

    Attention is causal and padding stands at the end, where nothing attends to it: no masks. Positions of the text are
    those of Qwen2.5-VL's multimodal rotary embedding: an image moves them on by its side in merged patches.
    """

    def __init__(self, model: Any, prompts: Prompts, image_size: int) -> None:
        self.model = model
        self._vision, self._text = model.model.visual, model.model.language_model
        device = next(model.parameters()).device
        vision, text = model.config.vision_config, model.config.text_config
        self.side = image_size // PATCH // MERGE
        #: Tokens before the image, and of it.
        self.n_before, self.n_image = len(prompts.before), self.side**2
        self._before = torch.tensor(prompts.before, device=device)
        self._colours = tuple(
            torch.tensor(each, device=device).view(1, 3, 1, 1) for each in (IMAGE_MEAN, IMAGE_STD)
        )
        self._vision_heads = vision.num_heads
        self._heads, self._kv_heads = text.num_attention_heads, text.num_key_value_heads
        self._vision_rotation = self._vision_angles(vision.hidden_size // vision.num_heads, device)
        length = self.n_before + self.n_image + prompts.ids.shape[1]
        sections = list(text.rope_parameters["mrope_section"])
        self._text_rotation = self._text_angles(
            text.hidden_size // text.num_attention_heads, sections, length, device
        )

    def patches(self, pixels: Tensor) -> Tensor:
        """Return images (n, 3, S, S) in [0, 1] as normalized patches (n, patches, 3, 14, 14)."""
        mean, std = self._colours
        return patches(pixels, mean, std)

    def images(self, pixels: Tensor) -> Tensor:
        """Encode images.

        Args:
            pixels: (n, 3, S, S) in [0, 1].

        Returns:
            (n, image tokens, hidden size of the text).
        """
        vision = self._vision
        # The kernel spans two frames; of a still image both are the same, so their weights add up.
        kernel = vision.patch_embed.proj.weight.sum(2).flatten(1)
        x = functional.linear(self.patches(pixels).flatten(2), kernel).float()
        n = x.shape[0]
        cos, sin = self._vision_rotation
        for block in vision.blocks:
            qkv = block.attn.qkv(block.norm1(x)).view(n, x.shape[1], 3, self._vision_heads, -1)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
            mixed = functional.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v)
            x = x + block.attn.proj(mixed.transpose(1, 2).reshape(n, x.shape[1], -1))
            x = x + block.mlp(block.norm2(x))
        merger = vision.merger
        merged: Tensor = merger.mlp(merger.ln_q(x).view(n, self.n_image, -1))
        return merged

    def images_in_parts(self, pixels: Tensor, size: int) -> Tensor:
        """Encode images a few at a time, since intermediate results are larger than the output."""
        return torch.cat([self.images(part) for part in torch.split(pixels, size)])

    def text(self, images: Tensor, ids: Tensor) -> list[Tensor]:
        """Run the decoder over whole prompts.

        Args:
            images: (n, image tokens, hidden), from `images`.
            ids: (n * k, L) tokens after the image; k questions about each image stand together.

        Returns:
            The (n * k, tokens, hidden) output of each decoder layer.
        """
        embed = self._text.embed_tokens
        n = ids.shape[0]
        seen = images.repeat_interleave(n // images.shape[0], 0).float()
        x = torch.cat([embed(self._before)[None].expand(n, -1, -1), seen, embed(ids)], 1)
        length = x.shape[1]
        cos, sin = (table[:length] for table in self._text_rotation)
        outputs = []
        for layer in self._text.layers:
            attention, y = layer.self_attn, layer.input_layernorm(x)

            def split(projected: Tensor, heads: int) -> Tensor:
                return projected.view(n, length, heads, -1).transpose(1, 2)

            q = split(attention.q_proj(y), self._heads)
            k, v = split(attention.k_proj(y), self._kv_heads), split(attention.v_proj(y), self._kv_heads)
            q, k = _rotate(q, cos, sin).to(v.dtype), _rotate(k, cos, sin).to(v.dtype)
            repeats = self._heads // self._kv_heads
            k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + attention.o_proj(mixed.transpose(1, 2).reshape(n, length, -1))
            x = x + layer.mlp(layer.post_attention_layernorm(x))
            outputs.append(x)
        return outputs

    def logits(self, states: Tensor) -> Tensor:
        """Turn outputs of the last decoder layer (..., hidden) into logits (..., vocabulary)."""
        scored: Tensor = self.model.lm_head(self._text.norm(states))
        return scored

    def _vision_angles(self, head: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return cosines and sines (patches, head): half of a head turns with the row, half with the column."""
        index = torch.arange(self.side * MERGE).view(self.side, MERGE)
        shape = (self.side, self.side, MERGE, MERGE)
        rows = index[:, None, :, None].expand(shape).reshape(-1)
        columns = index[None, :, None, :].expand(shape).reshape(-1)
        speeds = _speeds(head // 2)
        angles = torch.cat([rows[:, None] * speeds, columns[:, None] * speeds], -1)
        angles = torch.cat([angles, angles], -1)
        return angles.cos().to(device), angles.sin().to(device)

    def _text_angles(
        self, head: int, sections: list[int], length: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return cosines and sines (tokens, head): sections of a head turn with time, row and column."""
        start, end = self.n_before, self.n_before + self.n_image
        places = torch.zeros(3, length)
        places[:, :start] = torch.arange(start)
        places[0, start:end] = start
        places[1, start:end] = start + torch.arange(self.side).repeat_interleave(self.side)
        places[2, start:end] = start + torch.arange(self.side).repeat(self.side)
        places[:, end:] = start + self.side + torch.arange(length - end)
        angles = places[..., None] * _speeds(head)
        parts = [part[i % 3] for i, part in enumerate(torch.split(angles, sections, -1))]
        angles = torch.cat([*parts, *parts], -1)
        return angles.cos().to(device), angles.sin().to(device)


def _speeds(dim: int) -> Tensor:
    """Return the angle per position of each pair of a rotary embedding's dimensions; (dim / 2,)."""
    return 1.0 / (_ROPE_THETA ** (torch.arange(0, dim, 2).float() / dim))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


@torch.no_grad()
def check_forward(model: Any, prompts: Prompts, image_size: int) -> float:
    """Compare the fast forward with the model's own on noise and two prompts; return the largest difference.

    Raises:
        ModelError: they differ: this version of transformers computes something else, and what was trained here would
            not be what it loads.
    """
    fast = FastForward(model, prompts, image_size)
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(1, 3, image_size, image_size, generator=generator).to(device)
    cut = fast.patches(pixels)[0]
    flat = cut[:, :, None].expand(-1, -1, _TEMPORAL_PATCH, -1, -1).reshape(len(cut), -1)
    side = image_size // PATCH
    worst = 0.0
    for row in (0, len(prompts.texts) - 1):
        after = torch.tensor(prompts.ids[row, : prompts.lengths[row]], device=device)
        ours = fast.logits(fast.text(fast.images(pixels), after[None])[-1])[0, -1]
        image = torch.full((fast.n_image,), model.config.image_token_id, device=device)
        ids = torch.cat([torch.tensor(prompts.before, device=device), image, after])[None]
        theirs = model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=flat,
            image_grid_thw=torch.tensor([[1, side, side]], device=device),
            # Without it positions silently fall back to one dimension.
            mm_token_type_ids=(ids == model.config.image_token_id).int(),
        ).logits[0, -1]
        worst = max(worst, float((ours - theirs).abs().max()))
    if not worst <= _TOLERANCE:
        import transformers

        raise ModelError(
            f"transformers {transformers.__version__} computes Qwen2.5-VL differently from the training code (logits "
            f"differ by {worst:.2g}); use one of the versions in constraints.txt"
        )
    return worst
