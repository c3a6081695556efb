"""Tiny real models, as the studio tries its methods on, and data to train them with."""

import json
from pathlib import Path

from jobs.tiny_models import CHAT_TEMPLATE, SPECIAL, make_tiny_bert, make_tiny_llama, make_tokenizer

__all__ = ["CHAT_TEMPLATE", "SPECIAL", "make_tiny_bert", "make_tiny_llama", "make_tokenizer", "write_chats", "write_labels"]


def write_chats(path: Path, rows: int = 40) -> Path:
    """Chats in which the answer repeats the question's last word."""
    words = ["apple", "river", "stone", "cloud", "lamp", "bread", "train", "glass"]
    lines = [json.dumps({"messages": [
        {"role": "user", "content": f"Say {words[row % 8]} {row}"},
        {"role": "assistant", "content": f"{words[row % 8]}!"}]}) for row in range(rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def write_labels(path: Path, rows: int = 60) -> Path:
    """Short texts with one of three labels, told by a word."""
    lines = ["text,label"] + [f"this is {['good', 'bad', 'plain'][row % 3]} number {row},{['up', 'down', 'flat'][row % 3]}"
                              for row in range(rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path
