"""Which language each row is written in, and rows in another than nearly all the others."""

from array import array

import numpy as np

from jobs.data.health.batches import Batch
from jobs.data.health.found import Findings
from jobs.data.health.report import Count
from jobs.data.health.texts import Parts, parts_of
from jobs.data.health.words import Words

FEWEST_WORDS = 8         # of a row, to say its language
EXCERPT_CHARACTERS = 200  # of a row that are looked at
MAIN = 0.6               # share of the rows from which a language is the main one
FEWEST_OTHER = 60        # characters of a row from which it is said to be in another
_ENGLISH = ("the of and that with this what how have you your are was which from would does they there should not it for but can "
            "my when why each many he she his her been could able about will get want need has if we our").split()
NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech",
    "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "eo": "Esperanto", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "ga": "Irish", "gl": "Galician",
    "gu": "Gujarati", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian", "id": "Indonesian",
    "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada",
    "ko": "Korean", "la": "Latin", "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mn": "Mongolian",
    "mr": "Marathi", "ms": "Malay", "my": "Burmese", "nb": "Norwegian", "ne": "Nepali", "nl": "Dutch", "nn": "Norwegian Nynorsk",
    "no": "Norwegian", "pa": "Punjabi", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "si": "Sinhala",
    "sk": "Slovak", "sl": "Slovenian", "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
    "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese",
    "yi": "Yiddish", "zh": "Chinese"}
_ALIKE = [{"en", "pcm", "sco"}, {"da", "nb", "nn", "no", "sv"}, {"bs", "hr", "sh", "sl", "sr"}, {"id", "ms", "jv", "su"},
          {"cs", "sk"}, {"es", "gl", "pt", "ca", "an", "ast", "oc"}, {"nl", "af", "li", "fy"}, {"ru", "uk", "be", "bg", "mk"},
          {"hi", "mr", "ne"}, {"zh", "yue", "wuu"}, {"de", "lb", "als", "nds"}, {"it", "co", "scn", "lmo"},
          {"ro", "mo"}, {"fa", "ps"}]


class Languages:
    """Rows that are plainly English are told by their words, all together; others one by one."""

    def __init__(self, format: str):
        self.by_answer = format == "translation"  # whose prompts are in another language on purpose
        self.codes: dict[str, int] = {"": 0}
        self.of_row = array("H")
        self.english = np.unique(Words([" ".join(_ENGLISH)]).hashes)

    def see(self, batch: Batch) -> None:
        words = batch.words
        hits = np.bincount(words.rows[np.isin(words.hashes, self.english)], minlength=words.count)
        is_english = (hits >= 3) & (hits >= 0.1 * words.in_row) & (not self.by_answer)
        enough = words.in_row >= FEWEST_WORDS
        for number, parts in enumerate(batch.parts):
            code = "" if not enough[number] else "en" if is_english[number] else language_of(self._text(parts))
            self.of_row.append(self.codes.setdefault(code, len(self.codes)))

    def report(self, findings: Findings) -> list[Count]:
        """The note, and how many rows each language has, the most frequent first; rows too short to tell are not counted."""
        of_row = np.array(self.of_row)
        counts = np.bincount(of_row, minlength=len(self.codes))
        codes = sorted((code for code in self.codes if code), key=lambda code: -counts[self.codes[code]])
        told = int(counts[1:].sum())
        if not codes or counts[self.codes[codes[0]]] < MAIN * told:
            return [Count(name=name_of(code), count=int(counts[self.codes[code]])) for code in codes]
        main = codes[0]
        if main not in NAMES:  # nothing that people speak: code, or lists of names
            return []
        other = self._others(findings, of_row, main)
        if other:
            named = ", ".join(f"{name_of(code)} {sum(1 for found in other.values() if found == code):,}"
                              for code in dict.fromkeys(sorted(other.values(), key=list(other.values()).count, reverse=True)))
            findings.add("other_languages", "note",
                         f"{findings.rows(len(other), 'is', 'are')} in another language than {name_of(main)}, "
                         f"which most rows are in: {named}.", list(other), ("drop",), note=lambda row: name_of(other[row]))
        totals = {code: sum(1 for found in other.values() if found == code) for code in codes[1:]}
        totals[main] = told - len(other)  # what was not sure to be another language counts as the main one
        named = sorted(totals.items(), key=lambda item: -item[1])
        return [Count(name=name_of(code), count=count) for code, count in named if count]

    def _others(self, findings: Findings, of_row: np.ndarray, main: str) -> dict[int, str]:
        """Rows that are surely in another language: each half of them is."""
        names, close = list(self.codes), next((alike for alike in _ALIKE if main in alike), {main})
        other = {}
        for row in np.flatnonzero((of_row != 0) & (of_row != self.codes[main])).tolist():
            code = names[of_row[row]]
            text = self._text(parts_of(findings.examples[row]))[:2 * EXCERPT_CHARACTERS]
            if code in NAMES and code not in close and len(text) >= FEWEST_OTHER:
                middle = text.find(" ", len(text) // 2) % len(text)
                if language_of(text[:middle]) == code == language_of(text[middle:]):
                    other[row] = code
        return other

    def _text(self, parts: Parts) -> str:
        return parts.answer if self.by_answer and parts.answer else parts.whole


def language_of(text: str) -> str:
    """The code of the language of a text, such as 'de'."""
    import py3langid  # takes half a second

    return py3langid.classify(text[:EXCERPT_CHARACTERS])[0]


def name_of(code: str) -> str:
    return NAMES.get(code, code)
