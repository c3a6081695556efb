"""In which language the texts of a column are, as far as telling two columns apart needs it."""

import re
from collections import Counter
from collections.abc import Iterable

READ_CHARACTERS = 20_000
FEWEST_HITS = 0.06  # share of the words that must be a language's small words
CLEARLY = 1.3  # times the hits of the next language

SCRIPTS = (  # the first and the last letter of an alphabet, and the language or group of languages that is written in it
    ("\u0370", "\u03ff", "el"), ("\u0400", "\u052f", "cyrillic"), ("\u0530", "\u058f", "hy"), ("\u0590", "\u05ff", "he"),
    ("\u0600", "\u06ff", "arabic"), ("\u0900", "\u097f", "hi"), ("\u0980", "\u09ff", "bn"), ("\u0b80", "\u0bff", "ta"),
    ("\u0e00", "\u0e7f", "th"), ("\u10a0", "\u10ff", "ka"), ("\u3040", "\u30ff", "ja"), ("\u4e00", "\u9fff", "zh"),
    ("\uac00", "\ud7af", "ko"),
)
SMALL_WORDS = {
    "en": "the of and to in is that for it with as was on are be this have you not at from what how do my can i",
    "de": "der die und das ist nicht ein eine zu den mit sich auf für dem im von ich auch wie wir es sie wird was",
    "fr": "le la les des et est une un que dans pour qui pas sur au du ce il je vous avec nous sont plus ne",
    "es": "el la los las de que y en un una es por con no para se del al su como más lo está mi qué",
    "it": "il la di che è un una per non in sono con del della si lo gli ma come anche nel mi questo alla",
    "pt": "o a os as de que e do da em um uma para com não se na no por mais como dos foi ao você",
    "nl": "de het een en van is dat niet op te in met voor zijn ik aan die er maar om ook wat hij je",
    "ro": "și şi să la de în cu pe nu un o este că din a fost mai care pentru al ale sau ce sunt au fi vă privind",
    "sv": "och att det i en som är på av för med den till inte har ett om jag var vi så kan från du",
    "da": "og at å det i en er på af for med den til ikke har et om jeg var vi så kan fra du der",
    "fi": "ja on ei se että oli hän mutta kun niin myös ovat tai mitä joka minä ole kuin sen olen",
    "pl": "i w na nie się z do to że jest jak o po co ale od za dla czy tak był przez są mi",
    "cs": "a v se na je že s z do o to jsem si jako ale tak pro by i co jsou byl aby za",
    "hu": "a az és hogy nem is egy ez meg de van ha csak már mint volt el még vagy azt én ki mi",
    "tr": "ve bir bu için de da ne ile çok var mı daha olarak gibi ben o ama değil kadar olan mi en",
    "id": "yang dan di ini itu dengan untuk tidak dari dalam pada adalah akan saya ke ada juga bisa anda kami",
    "vi": "là của và có không được cho người một trong này với các những đã tôi để khi như đến",
}
NAMES = {
    "english": "en", "german": "de", "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt", "dutch": "nl",
    "romanian": "ro", "swedish": "sv", "danish": "da", "norwegian": "no", "finnish": "fi", "polish": "pl", "czech": "cs",
    "hungarian": "hu", "turkish": "tr", "indonesian": "id", "vietnamese": "vi", "russian": "ru", "ukrainian": "uk",
    "greek": "el", "arabic": "ar", "hebrew": "he", "hindi": "hi", "chinese": "zh", "japanese": "ja", "korean": "ko",
    "thai": "th", "bengali": "bn", "persian": "fa", "bulgarian": "bg", "croatian": "hr", "serbian": "sr", "slovak": "sk",
    "eng": "en", "deu": "de", "ger": "de", "fra": "fr", "fre": "fr", "spa": "es", "ita": "it", "por": "pt", "ron": "ro",
    "rus": "ru", "zho": "zh", "jpn": "ja", "ara": "ar", "hin": "hi",
}
CODES = set(
    "af am ar az be bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl gu ha he hi hr hu hy id ig is it ja ka kk km kn "
    "ko ku ky lo lt lv mg mk ml mn mr ms mt my nb ne nl nn no pa pl ps pt ro ru rw sd si sk sl so sq sr sv sw ta te tg th tk "
    "tr tt uk ur uz vi xh yi yo zh zu".split()
)
_WORD = re.compile(r"[^\W\d_]+")


def language_of(texts: Iterable[str]) -> str:
    """A language's code, a script shared by several, or "" where it is not clear."""
    text = ""
    for part in texts:
        text += f" {part[:READ_CHARACTERS]}"
        if len(text) > READ_CHARACTERS:
            break
    letters = Counter(_script(letter) for letter in text if letter.isalpha())
    if not letters:
        return ""
    if letters["ja"] > letters.total() / 10:
        return "ja"
    script = max(letters, key=letters.get)
    return script or _language_in_latin(text.lower())


def language_named(name: str) -> str:
    """The language that a word of a column's name says, such as 'en', 'english' or 'en_us', else ""."""
    first = name.split("_")[0]
    return NAMES.get(first) or (first if first in CODES else "")


def _script(letter: str) -> str:
    if letter < "\u0370":
        return ""
    return next((language for first, last, language in SCRIPTS if first <= letter <= last), "")


def _language_in_latin(text: str) -> str:
    words = Counter(_WORD.findall(text))
    spoken_in = Counter(word for small in SMALL_WORDS.values() for word in set(small.split()))
    hits = sorted(
        # a word that several languages have speaks less for each of them
        ((sum(words[word] / spoken_in[word] for word in set(small.split())), language) for language, small in SMALL_WORDS.items()),
        reverse=True,
    )
    (most, language), (next_most, _) = hits[0], hits[1]
    return language if most >= FEWEST_HITS * max(1, words.total()) and most >= CLEARLY * next_most else ""
