"""The turns of a conversation, from the ways in which files write them to one."""

import json

from jobs.data.cells import CONTENT_KEYS, is_empty, objects_of, parsed, turns_of
from jobs.data.examples.base import LeaveOut, Values, text_of, written

ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "ai", "function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "tool_response", "function_response"), "tool"),
}
PLAIN_ROLES = {"system", "user", "assistant"}  # as they are here
CALLS = ("function_call", "tool_call")  # roles whose words are a call


def read_turns(raw: list[dict]) -> list[dict]:
    """The turns in the studio's own shape; empty system messages say nothing and are dropped. Raises LeaveOut."""
    turns = [_read_turn(turn) for turn in raw]
    return [turn for turn in turns if turn["role"] != "system" or not is_empty(turn["content"])]


def turn(role: str, content: str) -> dict:
    """A turn that says something."""
    return {"role": role, "content": content}


def is_answer(entry: dict) -> bool:
    """Whether a turn is the assistant's and says or calls something."""
    return entry["role"] == "assistant" and (not is_empty(entry["content"]) or bool(entry.get("tool_calls")))


def with_system(turns: list[dict], values: Values) -> list[dict]:
    """The turns, with the system message of a column of its own before them where they have none."""
    system = values.get("system")
    if is_empty(system) or any(entry["role"] == "system" for entry in turns):
        return turns
    return [turn("system", text_of(system, "system message")), *turns]


def read_tools(values: Values) -> dict[str, list]:
    """The tools of a row under "tools", or nothing where it has none. Old "functions" become tools."""
    value = values.get("tools")
    if is_empty(value) or (isinstance(value, str) and value.strip() in ("[]", "null", "None")):
        return {}
    tools = objects_of(value)
    if tools is None:
        raise LeaveOut("tools that are not a list of objects")
    return {"tools": [_as_tool(tool) for tool in tools]}


def said_or_turns(value, role: str, noun: str) -> list[dict]:
    """A list of turns, or a text as the one turn of a role."""
    raw = turns_of(value)
    return read_turns(raw) if raw is not None else [turn(role, text_of(value, noun))]


def role_of(raw: dict) -> str | None:
    """The role of a turn as a file writes it, None for one that is not known."""
    return ROLES.get(_role_name(raw).strip().lower())


def _role_name(raw: dict) -> str:
    return str(raw.get("role") or raw.get("from") or raw.get("speaker"))


def _read_turn(raw: dict) -> dict:
    plain = raw.get("role")
    if len(raw) == 2 and type(plain) is str and plain in PLAIN_ROLES and type(raw.get("content")) is str:
        return turn(plain, written(raw["content"], ""))  # nearly all turns; half of the time that all else takes
    name, role = _role_name(raw), role_of(raw)
    wanted = name.strip().lower()
    if role is None:
        raise LeaveOut(f"a turn with the unknown role '{name}'")
    entry = turn(role, _content(raw, role))
    if role == "assistant":
        if calls := _calls(raw, entry["content"] if wanted in CALLS else ""):
            entry["tool_calls"] = calls
            entry["content"] = "" if wanted in CALLS else entry["content"]
        if raw.get("weight") is not None:
            if raw["weight"] not in (0, 1):
                raise LeaveOut(f"an answer with the weight {raw['weight']}, where 0 or 1 belongs")
            entry["weight"] = int(raw["weight"])
    for key in ("tool_call_id", "name"):
        if raw.get(key):
            entry[key] = text_of(raw[key], key.replace("_", " "))
    return entry


def _content(raw: dict, role: str) -> str:
    content = next((raw[key] for key in CONTENT_KEYS if key in raw), None)
    if isinstance(content, list) and (content or role != "tool"):
        return "".join(_part_text(part) for part in content)
    if isinstance(content, dict) and role in ("tool", "assistant"):  # what a tool gave, or a call, as a value of its own
        return json.dumps(content, ensure_ascii=False)
    return written(content, f"{role} turn")


def _part_text(part) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return part["text"]
    kind = part.get("type", "unknown") if isinstance(part, dict) else "unknown"
    raise LeaveOut(f"a turn with a part of the type '{kind}', which is not text")


def _calls(raw: dict, said: str) -> list[dict]:
    """Calls of tools: OpenAI's `tool_calls`, its older `function_call`, or a turn of its own whose words are the call."""
    calls = raw.get("tool_calls")
    if is_empty(calls) and isinstance(raw.get("function_call"), dict):
        calls = [raw["function_call"]]
    if is_empty(calls) and said:
        found = parsed(said)
        calls = [found] if isinstance(found, dict) and "name" in found else found
        if objects_of(calls) is None or not all("name" in call or "function" in call for call in calls):
            return []  # it is kept as words
    if is_empty(calls):
        return []
    calls = objects_of(calls)
    if calls is None:
        raise LeaveOut("tool calls that are not a list of objects")
    return [_as_call(call) for call in calls]


def _as_call(call: dict) -> dict:
    wrapped = call if isinstance(call.get("function"), dict) else {"type": "function", "function": call}
    function = {key: value for key, value in wrapped["function"].items() if value is not None}
    if isinstance(function.get("arguments"), str) and isinstance(found := parsed(function["arguments"]), dict):
        function["arguments"] = found  # chat templates write them as JSON themselves: text would be written twice
    return {key: value for key, value in (wrapped | {"function": function}).items() if value is not None}


def _as_tool(tool: dict) -> dict:
    return tool if isinstance(tool.get("function"), dict) else {"type": "function", "function": tool}
