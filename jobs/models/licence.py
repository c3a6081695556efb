"""The licence that a model's folder states."""

import re
from pathlib import Path

FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*$", re.DOTALL | re.MULTILINE)
KNOWN_TEXTS = {
    "Apache License": "apache-2.0",
    "MIT License": "mit",
    "BSD 3-Clause": "bsd-3-clause",
    "GNU AFFERO GENERAL PUBLIC LICENSE": "agpl-3.0",
    "GNU GENERAL PUBLIC LICENSE": "gpl-3.0",
}


def licence_of(folder: Path) -> str | None:
    """By the README's front matter, else by the start of a LICENSE file; None where neither states one."""
    if licence := _from_readme(_start_of(folder / "README.md")):
        return licence
    for name in ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "LICENCE.md"):
        if text := _start_of(folder / name).strip():
            for opening, licence in KNOWN_TEXTS.items():
                if opening in text[:500]:
                    return licence
            return text.splitlines()[0].strip("# ")[:80]
    return None


def _from_readme(text: str) -> str | None:
    front_matter = FRONT_MATTER.match(text)
    if not front_matter:
        return None
    stated = {
        key: value.strip().strip("'\"")
        for key, value in re.findall(
            r"^(license|license_name):[ \t]*\n?[ \t]*(?:- )?(.*)$", front_matter[1], re.MULTILINE
        )
    }
    if stated.get("license") == "other":
        return stated.get("license_name") or "other"
    return stated.get("license") or None


def _start_of(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(64 * 1024).decode(errors="replace").replace("\r\n", "\n")
