"""One user message as a checkpoint's chat template writes it.

The template is a program that the checkpoint brings along. transformers runs it in Jinja's sandbox, which keeps it from
Python's objects; what it does wrong is told as the checkpoint's fault.
"""

from __future__ import annotations

from typing import Any

from vlmprobe.families.worker.faults import ModelFault

__all__ = ["render_chat"]


def render_chat(tokenizer: Any, template: str, question: str) -> str:
    """Render the image and then the question, up to where the answer begins.

    Raises:
        ModelFault: the template is none, or reaches for what it may not.
    """
    from jinja2.exceptions import TemplateError

    content = [{"type": "image"}, {"type": "text", "text": question}]
    try:
        return str(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=template,
                tokenize=False,
                add_generation_prompt=True,
            )
        )
    except (TemplateError, TypeError, RecursionError) as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelFault(
            f"the checkpoint's chat template cannot be used ({said}); "
            "pass --processor with the base model's folder or id"
        ) from error
