"""Which Windows code page a text is in, by how usual the letters are that it would hold."""

import math

# letters beyond ASCII by how often they are used, the most frequent first; equal scores go to the earlier entry
LANGUAGES = [
    ("cp1252", "Western European", (
        "éèàêçâîôûùëïœ", "üäöß", "áíóéñú¿¡ü", "ãçáéõíóêâúàô", "àèùìòé", "äåö", "øåæ", "áíóéðúöæþý", "ëéïóè")),
    ("cp1250", "Central European", ("ąęłóśżćźń", "íáéěřýčžšůúťóďň", "áíúčéžšýľťôóňďäŕĺ", "áéöóőüíúű", "ăîâşţ", "čšžćđ")),
    ("cp1251", "Cyrillic", (
        "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё", "оаинеітврслкдумпязьгбчйхжшюцєїщфґ", "аоеинтрсвлкдпмузябгъчцжшщхйюфь",
        "аоиенрстјувклмпдбзгшчжцњћхљђџф")),
    ("cp1253", "Greek", ("αοιετσνηυρκπμλςωγίόάέδήχθύφώβξζψϊϋΐΰ",)),
    ("cp1254", "Turkish", ("ıüşğçöâîû",)),
    ("cp1257", "Baltic", ("ėšųžįčūąę", "āīēūšņļžģķč", "äõüöšž")),
    ("cp1255", "Hebrew", ("יוהלארתבשמנםעדחקכפגסצטזןךץף",)),
    ("cp1256", "Arabic", ("المينوترعبهدسفةكقأحجىطصشخضذزإثءغئآؤظچپگژ",)),
    ("cp1258", "Vietnamese", ("đưăơâêô\u0301\u0300\u0309\u0323\u0303áàéèíóùú",)),
    ("cp874", "Thai", ("านรอกเงมยลวดทสตะปบคหชแจพขใโไธผณศซญถฟษฐ่้ัิีุู็์ำื",)),
    ("cp932", "Japanese", ("のにるたとはをしてでがいなれすかまらこりもさきっくよだうつけあじ、。ンスルトーイラアリク",)),
    ("gb18030", "simplified Chinese", (
        "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里，。",)),
    ("cp949", "Korean", ("이다는의에가을고지한하로기사도를서은어나시인자있해니리요아습",)),
    ("cp950", "traditional Chinese", (
        "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡，。",)),
]
TITLES = {encoding: f"Windows-{encoding[2:]} ({title})" for encoding, title, _ in LANGUAGES} | {
    "cp932": "Shift-JIS (Japanese)", "gb18030": "GB 18030 (simplified Chinese)", "cp950": "Big5 (traditional Chinese)"}
SIGNS = "“”‘’„«»–—…•€£§°©®™´\u00a0"
SIGN, CAPITAL, STRANGE, FOREIGN = math.log(0.03), math.log(0.1), -9.0, -14.0
LEAST = -8.0  # below that it is a guess without a reason


def guess_code_page(data: bytes) -> str | None:
    """The code page in which the text reads best, or None where it reads like no language in any of them."""
    best, best_score = None, LEAST
    for encoding, _, alphabets in LANGUAGES:
        text = data.decode(encoding, errors="replace")
        for alphabet in alphabets:
            score = _score(text, alphabet, encoding)
            if score > best_score + 1e-9:
                best, best_score = encoding, score
    return best


def _score(text: str, alphabet: str, encoding: str) -> float:
    """The mean logarithm of how likely each byte beyond ASCII is in a language."""
    weights = _weights(alphabet)
    total = count = 0
    for before, letter, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if letter > "\x7f":
            count += len(letter.encode(encoding)) if "\u2e7f" < letter < "\ufffd" else 1
            total += _weight(letter, before, after, weights)
    return total / count if count else 0.0


def _weight(letter: str, before: str, after: str, weights: dict[str, float]) -> float:
    if letter == "\ufffd":
        return 4 * FOREIGN
    strange = STRANGE if letter < "\u2e80" else 2 * STRANGE  # which is two bytes
    if letter > "\u024f" and (before.isalpha() and before < "\x80" or after.isalpha() and after < "\x80"):
        return strange if letter not in SIGNS else SIGN  # scripts do not mix within a word
    if letter in weights:
        return weights[letter]
    if letter in SIGNS:
        return SIGN if not before.isalpha() or letter in "’”…»\u00a0–—" else STRANGE
    small = letter.lower()
    if small in weights:
        return weights[small] + (CAPITAL if not before.islower() else STRANGE)
    if "\u4e00" <= letter <= "\u9fff" or "\uac00" <= letter <= "\ud7a3" or "\u3040" <= letter <= "\u30ff":
        return _ideograph(letter)
    return strange if letter.isalpha() else FOREIGN


def _ideograph(letter: str) -> float:
    """One of the few thousand in daily use, or a rare one."""
    try:
        code = letter.encode("gb2312") if letter < "\uac00" else letter.encode("euc-kr")
    except UnicodeEncodeError:
        try:
            code = letter.encode("big5")
        except UnicodeEncodeError:
            return 2 * FOREIGN
        return math.log(0.5 / 5400) if code < b"\xc9\x40" else 2 * STRANGE
    usual = code < b"\xd8\x00" if letter < "\uac00" else True
    return math.log(0.5 / 3800) if usual else 2 * STRANGE


def _weights(alphabet: str) -> dict[str, float]:
    total = sum(1 / (rank + 2) for rank in range(len(alphabet)))
    share = 0.9 if len(alphabet) < 45 or alphabet[0] < "\u3000" else 0.5
    return {letter: math.log(share / (rank + 2) / total) for rank, letter in enumerate(alphabet)}
