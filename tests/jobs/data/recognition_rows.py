"""Small datasets shaped like popular public ones: their column names, and contents of the same kind, written for these tests."""

import json
import random

PEOPLE = "Anna Boris Chen Dina Emeka Fatima Goran Hana Ivan Julia Kofi Lena Marta Nils Olga Pedro".split()
PLACES = "Berlin Paris Nairobi Lima Oslo Kyoto Quito Dublin Sofia Hanoi Tunis Riga Split Bergen Turin Accra".split()
THINGS = "bridge garden harbour museum library station market theatre castle bakery school forest river temple tower square".split()
VERBS = "visited painted described repaired opened closed crossed measured".split()
COUNT = 24


def sentence(chance: random.Random) -> str:
    return (
        f"{chance.choice(PEOPLE)} {chance.choice(VERBS)} the {chance.choice(THINGS)} near {chance.choice(PLACES)} "
        f"after {chance.randint(2, 90)} days of {chance.choice(['rain', 'sunshine', 'work', 'waiting', 'travel'])}"
    )


def paraphrase(text: str, chance: random.Random) -> str:
    words = text.split()
    return " ".join(["In the end", *words[:-3], chance.choice(["at last", "once more", "it is said"])])


def document(chance: random.Random) -> str:
    return ". ".join(sentence(chance) for _ in range(8)) + "."


def rows(make, count: int = COUNT, seed: int = 7) -> list[dict]:
    chance = random.Random(seed)
    return [make(number, chance) for number in range(count)]


def question(number: int) -> str:
    return f"How many {THINGS[number % 16]}s does {PEOPLE[number % 16]} see on day {number} in {PLACES[(number * 5) % 16]}?"


def answer(number: int) -> str:
    return f"{PEOPLE[number % 16]} counts them one by one and arrives at {number * 3 + 2}."


def chat(number: int, chance: random.Random, turns: int = 2) -> list[dict]:
    said = []
    for turn in range(turns):
        role = "assistant" if turn % 2 else "user"
        said.append({"role": role, "content": answer(number) if turn % 2 else f"{question(number)} ({turn})"})
    return said


def sharegpt(number: int, chance: random.Random) -> list[dict]:
    return [{"from": "human" if turn["role"] == "user" else "gpt", "value": turn["content"]} for turn in chat(number, chance, 4)]


PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}


def with_tools(number: int, chance: random.Random) -> list[dict]:
    city = PLACES[number % 16]
    call = {"id": f"call_{number}", "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}
    return [
        {"role": "user", "content": f"What is the weather in {city}?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"call_{number}", "content": f"{number} degrees"},
        {"role": "assistant", "content": f"It is {number} degrees in {city}."},
    ]


def transcript(number: int, good: bool) -> str:
    last = answer(number) if good else f"I do not like to count {THINGS[number % 16]}s, ask {PEOPLE[(number + 3) % 16]} please."
    return f"\n\nHuman: {question(number)}\n\nAssistant: Do you want it exactly?\n\nHuman: Yes, please.\n\nAssistant: {last}"


def solution(number: int, good: bool) -> str:
    left, right = number + 3, number % 5 + 2
    total = left * right if good else left * right + 7
    name, thing = PEOPLE[number % 16], THINGS[number % 16]
    return (
        f"{name} has {left} boxes of {thing} parts with {right} pieces in each box, so {name} multiplies {left} by {right} "
        f"and gets {total} pieces in all. The result is {total}."
    )


def problem(number: int) -> str:
    return f"Somebody stores {number + 3} cartons holding {number % 5 + 2} items each. What do they own altogether?"


def tagged(number: int) -> tuple[list[str], list[str]]:
    words = [PEOPLE[number % 16], VERBS[number % 8], "the", THINGS[number % 16], "in", PLACES[(number * 3) % 16], "."]
    tags = ["B-PER", "O", "O", "O", "O", "B-LOC", "O"]
    cut = number % 3
    return words[cut:], tags[cut:]


ENGLISH = [
    "The committee has not yet decided on the proposal of the president.",
    "We are going to the market because there is no bread in the house.",
    "It is the duty of this house to listen to what the people have to say.",
    "You can take the train from the station and then walk to the museum.",
    "This is one of the reasons for which I have asked for the floor.",
    "She was not at home when the letter from the bank was delivered.",
]
ROMANIAN = [
    "Comisia nu a luat încă o decizie cu privire la propunerea de la președinte.",
    "Mergem la piață pentru că nu mai este pâine în casă și este târziu.",
    "Este de datoria acestei camere să asculte ce au de spus oamenii din țară.",
    "Poți să iei trenul de la gară și apoi să mergi pe jos la muzeu.",
    "Acesta este unul din motivele pentru care am cerut să iau cuvântul.",
    "Nu era acasă când a fost adusă scrisoarea de la bancă pentru ea.",
]
RUSSIAN = [
    "Комитет ещё не принял решения по предложению президента.",
    "Мы идём на рынок, потому что дома нет хлеба.",
    "Долг этой палаты состоит в том, чтобы слушать людей.",
    "Можно сесть на поезд на вокзале, а потом дойти до музея.",
    "Это одна из причин, по которым я попросил слова.",
    "Её не было дома, когда принесли письмо из банка.",
]
GERMAN = [
    "Der Ausschuss hat noch nicht über den Vorschlag des Präsidenten entschieden.",
    "Wir gehen auf den Markt, weil es im Haus kein Brot mehr gibt und es spät ist.",
    "Es ist die Pflicht dieses Hauses, auf das zu hören, was die Menschen zu sagen haben.",
    "Du kannst mit dem Zug von der Station fahren und dann zum Museum gehen.",
    "Das ist einer der Gründe, aus denen ich um das Wort gebeten habe.",
    "Sie war nicht zu Hause, als der Brief von der Bank mit der Post kam.",
]
