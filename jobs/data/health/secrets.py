"""Secrets and personal data in text: keys of known shapes, passwords in addresses, card and account numbers, e-mail, telephones.

Only what is very likely one counts: card and account numbers must have the right check digits, and placeholders such as
you@example.com are nobody's.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

KEYS, CARDS, ACCOUNTS, EMAILS, PHONES = "keys", "card_numbers", "bank_accounts", "email_addresses", "phone_numbers"
PLACEHOLDERS = {KEYS: "[key]", CARDS: "[card number]", ACCOUNTS: "[account number]", EMAILS: "[e-mail]", PHONES: "[phone number]"}
KINDS = tuple(PLACEHOLDERS)
KEY_RUN = 16  # letters, digits, _ and - in a row: no key has fewer
NUMBER_RUN = 10  # digits and what stands between them: no card, account or telephone number has fewer
FEWEST_DIGITS = 9  # of any of them

_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z]+ )*PRIVATE KEY-----|\Z)"
    r"|(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA)[A-Z0-9]{16}"                                          # Amazon
    r"|sk-(?:proj-|ant-|or-)?(?=[\w-]*\d)[\w-]{20,}"                      # OpenAI, Anthropic and others
    r"|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}|glpat-[\w-]{20,}"     # GitHub, GitLab
    r"|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{40,}"           # where packages and models lie
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|SG\.[\w-]{16,}\.[\w-]{16,}"         # Slack, SendGrid
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"                              # Stripe
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}|dop_v1_[a-f0-9]{64}"                # Google, DigitalOcean
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"                          # signed tokens
    r")(?![A-Za-z0-9])", re.DOTALL)
_PASSWORD = re.compile(r"\b[a-zA-Z][\w+.-]{1,20}://[^\s/:@]{1,100}:([^\s/@]{1,200})@[\w\[]")
_CARD = re.compile(
    r"(?<![\w.,+-])(?:\d{14,16}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5})(?!\w)(?![.,-]\d)")
_ACCOUNT = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_EMAIL = re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w-])")
_PHONE = re.compile(
    r"(?<![\w.+-])(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){2,4}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}([-.])\d{3}\1\d{4})(?![\w-])(?![.,]\d)")
_NOBODYS = re.compile(r"@(?:[\w-]+\.)*(?:example|test|invalid|localhost)(?:\.[a-z]+)?$|^(?:no-?reply|user|name|you)@",
                      re.IGNORECASE)
_CARD_NUMBER = re.compile(  # by who gives them out, each with its length
    r"4\d{15}|5[1-5]\d{14}|2[2-7]\d{14}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35[2-8]\d{13}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}")
_ACCOUNT_LENGTHS = {"NO": 15, "BE": 16, "DK": 18, "FI": 18, "NL": 18, "MK": 19, "SI": 19, "AT": 20, "BA": 20, "EE": 20, "LT": 20,
                    "LU": 20, "CH": 21, "HR": 21, "LI": 21, "LV": 21, "BG": 22, "DE": 22, "GB": 22, "GE": 22, "IE": 22, "ME": 22,
                    "RS": 22, "AE": 23, "IL": 23, "AD": 24, "CZ": 24, "ES": 24, "MD": 24, "PK": 24, "RO": 24, "SA": 24, "SE": 24,
                    "SK": 24, "TN": 24, "PT": 25, "FR": 27, "GR": 27, "IT": 27, "MC": 27, "SM": 27, "AL": 28, "CY": 28, "HU": 28,
                    "LB": 28, "PL": 28, "BR": 29, "UA": 29, "TR": 26, "IS": 26, "MT": 31}


@dataclass(frozen=True)
class Secret:
    """Where one stands in its text."""

    kind: str
    start: int
    end: int


def find_secrets(text: str, kinds: Collection[str] = KINDS) -> list[Secret]:
    """All that a text has, in its order; where two would overlap, the kind that comes first in KINDS counts."""
    found: list[Secret] = []
    for kind in KINDS:
        if kind in kinds:
            found += [Secret(kind, start, end) for start, end in _FINDERS[kind](text)
                      if not any(start < other.end and other.start < end for other in found)]
    return sorted(found, key=lambda secret: secret.start)


def masked(text: str, kinds: Collection[str] = KINDS) -> str:
    """The text with a placeholder such as [e-mail] in the place of each."""
    pieces, end = [], 0
    for secret in find_secrets(text, kinds):
        pieces += [text[end:secret.start], PLACEHOLDERS[secret.kind]]
        end = secret.end
    return "".join([*pieces, text[end:]]) if pieces else text


def _keys(text: str):
    yield from (match.span() for match in _KEY.finditer(text))
    if "://" in text:
        yield from (match.span(1) for match in _PASSWORD.finditer(text) if match[1].strip("*x.<>{}[]$%") not in ("", "password"))


def _cards(text: str):
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if len(set(digits)) > 1 and _CARD_NUMBER.fullmatch(digits) and _luhn(digits):
            yield match.span()


def _accounts(text: str):
    for match in _ACCOUNT.finditer(text):
        for end in range(match.end(), match.start() + 14, -1):  # a word in capitals after it may look like its end
            number = text[match.start():end].replace(" ", "")
            if len(number) == _ACCOUNT_LENGTHS.get(number[:2]) and not text[end - 1].isspace():
                if int("".join(str(int(letter, 36)) for letter in number[4:] + number[:4])) % 97 == 1:
                    yield match.start(), end
                break


def _emails(text: str):
    if "@" in text:
        yield from (match.span() for match in _EMAIL.finditer(text) if not _NOBODYS.search(match[0]))


def _phones(text: str):
    for match in _PHONE.finditer(text):
        if 9 <= sum(letter.isdigit() for letter in match[0]) <= 15:
            yield match.span()


def _luhn(digits: str) -> bool:
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


_FINDERS = {KEYS: _keys, CARDS: _cards, ACCOUNTS: _accounts, EMAILS: _emails, PHONES: _phones}
