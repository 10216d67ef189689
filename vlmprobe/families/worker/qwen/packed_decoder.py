"""Runs the prefixes and questions of a batch in one pass through a Qwen2-style decoder.

    tokens        prefix of image 0 | prefix of image 1 | ... | rest of question 0 | rest of question 1 | ...
    attention     a prefix sees itself; the rest of a question sees its image's prefix and itself

Every matrix product runs over all of them at once. Only attention takes two calls per layer: the prefixes,
causally, and the questions on the prefixes' keys and values, which are copied once per question into the
cache that decoding continues with. Queries that share keys (grouped-query attention) are laid side by side as
if they were more tokens, so keys are never repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from vlmprobe.families.worker.qwen.fused_layers import Layers, LayerWeights, rms_norm, stack_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from vlmprobe.families.worker.qwen.fused_layers import Operations
    from vlmprobe.families.worker.qwen.packing import Pack

__all__ = ["PackedDecoder"]

#: Caches that are kept for batches of the same shape: one takes a gigabyte or two.
_KEPT_CACHES = 2
#: Steps to run kernel by kernel before one is recorded as a whole; many batches end before that.
_STEPS_BEFORE_RECORDING = 2


class PackedDecoder:
    """The decoder of one loaded model, sharing its weights."""

    def __init__(self, text_model: Any, head: Any, layers: Sequence[int], operations: Operations) -> None:
        """Take over the modules' weights; see :meth:`fits`.

        Args:
            text_model: embedding, layers, final norm and rotary embedding; its weights become views of fused ones.
            head: hidden state -> logits.
            layers: the numbers of those whose states are kept, ascending.
            operations: what is done between matrix products.
        """
        config = text_model.config
        self._model, self._head = text_model, head
        self._kept = {layer: place for place, layer in enumerate(layers)}
        self.n_heads: int = config.num_attention_heads
        self.n_kv: int = config.num_key_value_heads
        self._eps: float = text_model.norm.variance_epsilon
        self._weights = [_weights(layer) for layer in text_model.layers]
        self._layers = Layers(self._eps, self.n_heads, self.n_kv, operations)
        like = self._weights[0].out
        self.head_dim: int = like.shape[1] // self.n_heads
        self._frequencies: Tensor = text_model.rotary_emb.inv_freq.to(like.device)
        self._scaling: float = text_model.rotary_emb.attention_scaling
        self._sections: list[int] = _sections(config) or []
        #: A kernel that reads grouped keys as they are exists only for half precision on a GPU.
        self._grouped = like.is_cuda and like.dtype != torch.float32
        self._caches: dict[tuple[int, int], _Cache] = {}

    def forget(self) -> None:
        """Release the memory that is kept for the next batch."""
        self._caches.clear()

    @staticmethod
    def fits(text_model: Any) -> bool:
        """Return whether this file supports the modules."""
        try:
            config, layer = text_model.config, text_model.layers[0]
            linears = (layer.self_attn.o_proj, layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj)
            heads = (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
            return (
                all(type(linear) is torch.nn.Linear and linear.bias is None for linear in linears)
                and all(type(linear) is torch.nn.Linear and linear.bias is not None for linear in heads)
                and not hasattr(layer.self_attn, "q_norm")
                and config.hidden_act == "silu"
                and not getattr(config, "use_sliding_window", False)
                and len({norm.variance_epsilon for norm in (layer.input_layernorm, text_model.norm)}) == 1
                and text_model.rotary_emb.inv_freq.dtype == torch.float32
                and text_model.rotary_emb.rope_type == "default"
                and _sections(config) is not None
            )
        except (AttributeError, KeyError, TypeError):
            return False

    def read(self, batch: Pack, features: Tensor) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Run a batch's prompts.

        Args:
            batch: on the model's device.
            features: the images', (image tokens, dim).

        Returns:
            The logits after each question, (questions, vocabulary); the states of its last token after each kept
            layer, (layers, questions, dim); and a function that reads one more token per question, (questions, 1),
            and returns the logits after it.
        """
        x = self._model.embed_tokens(batch.ids)
        x[batch.image_tokens] = features.to(x.dtype)
        n, n_rows = batch.n_prefix, len(batch.last)
        states = x.new_empty((len(self._kept), n_rows, x.shape[-1]))
        turn = self._rotation(batch.positions)
        mask = _additive(batch.seen, x.dtype)[:, None].repeat(1, 1, self.n_heads // self.n_kv, 1)
        cache = self._cache(n_rows, batch.seen.shape[-1], x)
        query, key, value = self._layers.before(x, self._weights[0], *turn)
        for place, weights in enumerate(self._weights):
            blocks = [_block(part[:n], batch.prefix_gather, batch.n_images) for part in (query, key, value)]
            of_rests = self._rests(batch, blocks, (query[n:], key[n:], value[n:]), cache.slots[place], mask)
            if place + 1 == len(self._weights):
                # Only the head reads the last layer's output, and only that of last tokens.
                last = self._layers.after(x[batch.last], of_rests[batch.last - n], weights)
            else:
                attention = torch.cat([self._prefixes(batch, blocks), of_rests])
                following = self._weights[place + 1]
                x, query, key, value = self._layers.between(x, attention, weights, following, *turn)
                last = x[batch.last]
            if place in self._kept:
                states[self._kept[place]] = last
        cache.begin(batch)
        return self._logits(last), states, cache.step

    def step(self, tokens: Tensor, positions: Tensor, slots: Tensor, slot: Tensor, mask: Tensor) -> Tensor:
        """Read one more token per question; return the logits after it.

        Args:
            tokens: (questions,).
            positions: (axes, questions).
            slots: (layers, 2, questions, heads, capacity, head_dim); the tokens' keys and values are written into it.
            slot: (1,) where.
            mask: (questions, 1, 1, capacity), 0 or -inf.
        """
        x = self._model.embed_tokens(tokens)
        turn = self._rotation(positions)
        query, key, value = self._layers.before(x, self._weights[0], *turn)
        for place, weights in enumerate(self._weights):
            keys, values = slots[place]
            keys.index_copy_(2, slot, key[:, :, None])
            values.index_copy_(2, slot, value[:, :, None])
            grouped = query.view(len(x), self.n_kv, -1, self.head_dim)
            found = functional.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)
            attention = found.reshape(len(x), -1)
            if place + 1 == len(self._weights):
                x = self._layers.after(x, attention, weights)
            else:
                following = self._weights[place + 1]
                x, query, key, value = self._layers.between(x, attention, weights, following, *turn)
        return self._logits(x)

    def _logits(self, x: Tensor) -> Tensor:
        logits: Tensor = self._head(rms_norm(x, self._model.norm.weight, self._eps))
        return logits

    def _cache(self, rows: int, capacity: int, like: Tensor) -> _Cache:
        key = (rows, capacity)
        cache = self._caches.pop(key, None)
        if cache is None:
            while len(self._caches) >= _KEPT_CACHES:
                del self._caches[next(iter(self._caches))]
            shape = (len(self._weights), 2, rows, self.n_kv, capacity, self.head_dim)
            # Slots that nothing was written to are masked, but a NaN there would still spread.
            cache = _Cache(self.step, like.new_zeros(shape), len(self._sections))
        self._caches[key] = cache
        return cache

    def _prefixes(self, batch: Pack, blocks: Sequence[Tensor]) -> Tensor:
        """Return the prefixes' attention, (tokens, heads * head_dim)."""
        query, key, value = blocks
        more: dict[str, Any] = {"enable_gqa": True} if self._grouped else {}
        if not self._grouped:
            each = self.n_heads // self.n_kv
            key, value = key.repeat_interleave(each, dim=1), value.repeat_interleave(each, dim=1)
        # Padding stands on the right, where a causal mask hides it.
        found = functional.scaled_dot_product_attention(query, key, value, is_causal=True, **more)
        return _unblock(found, batch.prefix_scatter)

    def _rests(
        self, batch: Pack, blocks: Sequence[Tensor], rests: Sequence[Tensor], cache: Tensor, mask: Tensor
    ) -> Tensor:
        """Fill a layer's cache; return the attention of the rests, (tokens, heads * head_dim)."""
        rows, length = len(batch.last), batch.longest_prefix
        query, *own = (_block(part, batch.rest_gather, rows) for part in rests)
        for kind, (prefix, rest) in enumerate(zip(blocks[1:], own, strict=True)):
            cache[kind, :, :, :length] = prefix[batch.image_of_row]
            cache[kind, :, :, length : length + batch.longest_rest] = rest
        grouped = query.reshape(rows, self.n_kv, -1, self.head_dim)
        found = functional.scaled_dot_product_attention(grouped, cache[0], cache[1], attn_mask=mask)
        return _unblock(found.reshape(rows, self.n_heads, -1, self.head_dim), batch.rest_scatter)

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosines and sines, (tokens, head_dim), of positions on several axes (M-RoPE)."""
        angles = positions[:, :, None].float() * self._frequencies
        parts = torch.split(angles, self._sections, dim=-1)
        mixed = torch.cat([part[place % 3] for place, part in enumerate(parts)], dim=-1)
        both = torch.cat([mixed, mixed], dim=-1)
        return both.cos() * self._scaling, both.sin() * self._scaling


class _Cache:
    """Keys and values of a batch, and the decoding steps that continue from them.

    On a GPU, a step consists of some hundred small kernels, which take longer to start than to run. It is
    recorded once as a whole (a CUDA graph) and replayed for every batch of this shape.
    """

    def __init__(self, step: Callable[..., Tensor], slots: Tensor, axes: int) -> None:
        """Store zeroed slots, (layers, 2, questions, heads, capacity, head_dim); allocate the rest."""
        _, _, rows, _, capacity, _ = slots.shape
        self.slots = slots
        self._step = step
        self._tokens = torch.zeros(rows, dtype=torch.long, device=slots.device)
        self._positions = torch.zeros((axes, rows), dtype=torch.long, device=slots.device)
        self._slot = torch.zeros(1, dtype=torch.long, device=slots.device)
        self._mask = slots.new_zeros((rows, 1, 1, capacity))
        self._recording: torch.cuda.CUDAGraph | None = None
        self._logits: Tensor | None = None
        self._run = 0

    def begin(self, batch: Pack) -> None:
        """Continue from the last token of each question."""
        before = torch.cat([batch.last.new_tensor([batch.n_prefix - 1]), batch.last[:-1]])
        lengths = batch.last - before
        rows = torch.arange(len(lengths), device=lengths.device)
        self._mask.copy_(_additive(batch.seen[rows, lengths - 1], self._mask.dtype)[:, None, None])
        self._positions.copy_(batch.next_position.expand_as(self._positions))
        self._slot.fill_(batch.longest_prefix + batch.longest_rest)

    def step(self, tokens: Tensor) -> Tensor:
        """Read (questions, 1) tokens; return (questions, vocabulary) logits, which the next step overwrites."""
        self._tokens.copy_(tokens[:, 0])
        if self._recording is not None and self._logits is not None:
            self._recording.replay()
            return self._logits
        if not self.slots.is_cuda or self._run < _STEPS_BEFORE_RECORDING:
            self._run += 1
            return self._go()
        # Recording does not run anything, so replay it once for this step, too.
        self._recording = torch.cuda.CUDAGraph()
        # PyTorch's own stream for this stays on the device that a process recorded on first.
        stream = torch.cuda.Stream(self.slots.device)  # type: ignore[no-untyped-call]
        with torch.cuda.graph(self._recording, stream=stream, capture_error_mode="thread_local"):
            self._logits = self._go()
        self._recording.replay()
        return self._logits

    def _go(self) -> Tensor:
        self._mask.index_fill_(-1, self._slot, 0.0)
        logits = self._step(self._tokens, self._positions, self.slots, self._slot, self._mask)
        self._slot += 1
        self._positions += 1
        return logits


def _weights(layer: Any) -> LayerWeights:
    attention, mlp = layer.self_attn, layer.mlp
    qkv, bias = stack_rows([attention.q_proj, attention.k_proj, attention.v_proj])
    gate_up, _ = stack_rows([mlp.gate_proj, mlp.up_proj])
    return LayerWeights(
        norm_in=layer.input_layernorm.weight,
        qkv=qkv,
        qkv_bias=bias,
        out=attention.o_proj.weight,
        out_bias=None,
        norm_mlp=layer.post_attention_layernorm.weight,
        gate_up=gate_up,
        gate_up_bias=None,
        down=mlp.down_proj.weight,
        down_bias=None,
    )


def _sections(config: Any) -> list[int] | None:
    """Return how many frequencies each axis takes, in turn."""
    for name in ("rope_parameters", "rope_scaling"):
        found = (getattr(config, name, None) or {}).get("mrope_section")
        if found is not None:
            return list(found)
    return None


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a boolean mask into 0 where true and -inf elsewhere."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))


def _block(x: Tensor, gather: Tensor | None, rows: int) -> Tensor:
    """Return packed (tokens, heads, head_dim) as (rows, heads, length, head_dim), padded on the right."""
    padded = x if gather is None else x[gather]
    return padded.view(rows, -1, *x.shape[1:]).transpose(1, 2)


def _unblock(found: Tensor, scatter: Tensor | None) -> Tensor:
    """Return (rows, heads, length, head_dim) as packed (tokens, heads * head_dim)."""
    flat = found.transpose(1, 2).reshape(found.shape[0] * found.shape[2], -1)
    return flat if scatter is None else flat[scatter]
