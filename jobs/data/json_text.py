"""JSON text to values and back: orjson for its speed, the standard library for what orjson refuses or would round."""

import json

import orjson

# orjson makes a float of a whole number beyond 64 bits; so that nineteen digits in a row are found quickly, all become one
_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else ord(" ") for byte in range(256))
_LONG_NUMBER = b"0" * 19


class HalfCharacter(ValueError):
    """JSON can write half a character as an escape, which no file of UTF-8 can hold."""

    def __init__(self):
        super().__init__("half a character (a lone surrogate), which no tokenizer takes")


def loads(line: bytes) -> object:
    """The value of one JSON text in UTF-8. Raises json.JSONDecodeError, RecursionError, UnicodeDecodeError or HalfCharacter."""
    if _LONG_NUMBER not in line.translate(_DIGITS):
        try:
            return orjson.loads(line)
        except orjson.JSONDecodeError:
            pass  # NaN, deep nesting, half a character, or a real mistake, which the standard library names by its place
    value = json.loads(line.decode())
    if b"\\ud" in line or b"\\uD" in line:
        refuse_half_characters(value)
    return value


def refuse_half_characters(value: object) -> None:
    """Raise HalfCharacter for a value with such a text in it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise HalfCharacter() from None


def dumps(value: object) -> bytes:
    """One line of JSON in UTF-8, without its end. Raises TypeError or UnicodeEncodeError for what JSON cannot hold."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # whole numbers beyond 64 bits, keys that are no text
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
