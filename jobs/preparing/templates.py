"""Chat templates: the built-in ones, and whether a text is one. Imports no transformers, so that the page can use it."""

import json
import resource
import subprocess
import sys
import traceback
from datetime import datetime

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from jobs.preparing.problems import TemplateInvalid
from storage.settings import REPOSITORY

LONGEST = 65_536  # characters of a recipe's own template
CHECK_SECONDS = 10
MEMORY = 1024**3  # bytes of address space for the check
QUESTION, ANSWER = "Which colour is the sky?", "It is blue."
SAMPLE = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]

_TOOL_CALLS = (
    "{% for call in message.tool_calls or [] %}{% set called = call.function if call.function else call %}"
    "%s{{ {'name': called.name, 'arguments': called.arguments} | tojson }}%s{% endfor %}")
_TOOLS = "You can call these tools, by answering with a JSON object that has a name and arguments:\n{{ tools | tojson }}"


def _text(template: str, before_call: str = "", after_call: str = "") -> str:
    calls = _TOOL_CALLS.replace("%s", before_call, 1).replace("%s", after_call, 1)
    return template.replace("TOOL_CALLS", calls).replace("TOOLS", _TOOLS)


# each turn under its role, an answer ends with the end-of-text token: for a base model that brings no template
PLAIN_CHAT_TEMPLATE = _text(
    "{% if tools %}System: TOOLS\n{% endif %}"
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] | trim }}TOOL_CALLS"
    "{{ (eos_token | default('') if message['role'] == 'assistant' else '') + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}")

BUILT_IN = {
    "plain": PLAIN_CHAT_TEMPLATE,
    "chatml": _text(
        "{% if tools %}<|im_start|>system\nTOOLS<|im_end|>\n{% endif %}"
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}TOOL_CALLS<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        "{{ '\n' if message['content'] or not loop.first else '' }}<tool_call>\n", "\n</tool_call>"),
    "llama-3": _text(
        "{{ bos_token }}{% if tools %}<|start_header_id|>system<|end_header_id|>\n\nTOOLS<|eot_id|>{% endif %}"
        "{% for message in messages %}<|start_header_id|>{{ 'ipython' if message['role'] == 'tool' else message['role'] }}"
        "<|end_header_id|>\n\n{{ message['content'] | trim }}TOOL_CALLS<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"),
    "gemma": _text(
        "{{ bos_token }}{% if tools %}<start_of_turn>user\nTOOLS<end_of_turn>\n{% endif %}"
        "{% for message in messages %}<start_of_turn>"
        "{{ {'assistant': 'model', 'system': 'user', 'tool': 'user'}.get(message['role'], message['role']) }}\n"
        "{{ message['content'] | trim }}TOOL_CALLS<end_of_turn>\n{% endfor %}"
        "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"),
    "alpaca": _text(
        "{% if tools %}TOOLS\n\n{% endif %}{% for message in messages %}"
        "{% if message['role'] == 'system' %}{{ message['content'] | trim }}\n\n"
        "{% elif message['role'] == 'assistant' %}### Response:\n{{ message['content'] | trim }}TOOL_CALLS{{ eos_token }}\n\n"
        "{% else %}### {{ 'Input' if message['role'] == 'tool' else 'Instruction' }}:\n{{ message['content'] | trim }}\n\n"
        "{% endif %}"
        "{% endfor %}{% if add_generation_prompt %}### Response:\n{% endif %}"),
}


class _Generation(Extension):
    """The {% generation %} blocks of transformers, which only mark the answers."""

    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def check_template(text: str) -> None:
    """Raise TemplateInvalid where a recipe's chat_template is neither the name of a built-in one nor a template that works.

    A sample is rendered in a process of its own, because a template is a program that may never end.
    """
    if not text or text in BUILT_IN:
        return
    if len(text) > LONGEST:
        raise TemplateInvalid(f"it has {len(text):,} characters, and at most {LONGEST:,} are taken. Shorten it.")
    if not any(sign in text for sign in ("{%", "{{", "\n")) and len(text.split()) == 1:
        raise TemplateInvalid(f"'{text}' is not the name of a built-in one. Choose one of {', '.join(BUILT_IN)}, or give a "
                              "template's text.")
    try:
        environment().parse(text)
        done = subprocess.run([sys.executable, "-m", __name__], input=text, capture_output=True, text=True, encoding="utf-8",
                              cwd=REPOSITORY, timeout=CHECK_SECONDS)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateInvalid(f"{_sentence(error.message)} Mend it there, or choose one of {', '.join(BUILT_IN)}.",
                              error.lineno) from error
    except subprocess.TimeoutExpired as error:
        raise TemplateInvalid(f"a conversation of two turns was not rendered after {CHECK_SECONDS} s. Look for a loop that never "
                              "ends.") from error
    found = json.loads(done.stdout) if done.returncode == 0 else {"problem": "rendering a sample ended its process."}
    if problem := found.get("problem"):
        raise TemplateInvalid(problem, found.get("line"))


def problem_with(text: str) -> dict:
    """What is wrong with a template that can be parsed, as {"problem", "line"}; {} where a sample shows question and answer."""
    template = environment().from_string(text)
    known = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    try:
        whole = template.render(messages=SAMPLE, tools=None, documents=None, add_generation_prompt=False, **known)
        prompt = template.render(messages=SAMPLE[:1], tools=None, documents=None, add_generation_prompt=True, **known)
    except MemoryError:
        return {"problem": "two turns take more memory than a page of text ever needs. Look for something that is repeated."}
    except Exception as error:  # the template's own doing, whatever it is
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.name in ("top-level template code", "template")]
        return {"problem": f"two turns cannot be rendered ({_sentence(str(error)).rstrip('.')}). Mend it there.",
                "line": getattr(error, "lineno", None) or (lines[-1] if lines else None)}
    wanted = (("question", QUESTION, whole), ("answer", ANSWER, whole), ("question", QUESTION, prompt))
    lacking = [name for name, part, text in wanted if part not in text]
    if lacking:
        return {"problem": f"the {lacking[0]} is not in what it writes. It must write the content of every message: "
                           "{% for message in messages %}…{{ message['content'] }}…{% endfor %}"}
    if whole == prompt:
        return {"problem": "it writes the same for a question and for a question with its answer."}
    return {}


def environment() -> ImmutableSandboxedEnvironment:
    """Jinja as transformers sets it up for chat templates."""
    found = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    found.filters["tojson"] = _to_json
    found.globals["raise_exception"] = _refuse
    found.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return found


def _to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str):
    raise jinja2.TemplateError(message)


def _sentence(message: str | None) -> str:
    text = " ".join((message or "it is not valid Jinja").split())[:300].rstrip(".")
    return f"{text[:1].lower()}{text[1:]}."


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print(json.dumps(problem_with(sys.stdin.read())))
