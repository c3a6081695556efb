"""From a row to an example, for each data format. What a row lacks is said by raising LeaveOut with words that follow "it has".

What a builder makes:

- chats (messages, instruction, prompt-completion, translation, summarisation): `{"messages": [turn, …]}`, perhaps with `"tools"`.
  A turn is `{"role": "system" | "user" | "assistant" | "tool", "content": str}`, perhaps with `"tool_calls"`, `"tool_call_id"`,
  `"name"`, and `"weight": 0` for an answer that is context and not learnt.
- text: `{"text": str}`
- preference: `{"prompt": [turn, …], "chosen": [turn, …], "rejected": [turn, …]}`, perhaps with `"tools"`
- binary-preference: `{"prompt": [turn, …], "completion": [turn, …], "desirable": bool}`, perhaps with `"tools"`
- classification: `{"text": str, "label": str}`, perhaps with `"text_pair"`; regression: `"score": float` in place of the label
- tokens: `{"tokens": [str, …], "tags": [str, …]}`
- pairs: `{"anchor": str, "positive": str}`; triplets: also `"negative"`
"""

from jobs.data.examples.base import Builder, LeaveOut
from jobs.data.examples.chats import (
    instruction_example,
    messages_example,
    prompt_completion_example,
    summarisation_example,
    text_example,
    translation_example,
)
from jobs.data.examples.labelled import (
    classification_example,
    pairs_example,
    regression_example,
    tokens_example,
    triplets_example,
)
from jobs.data.examples.preferences import binary_preference_example, preference_example

__all__ = [
    "Builder",
    "LeaveOut",
    "binary_preference_example",
    "classification_example",
    "instruction_example",
    "messages_example",
    "pairs_example",
    "preference_example",
    "prompt_completion_example",
    "regression_example",
    "summarisation_example",
    "text_example",
    "tokens_example",
    "translation_example",
    "triplets_example",
]
