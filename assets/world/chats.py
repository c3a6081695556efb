"""The base model's training text: chats about the Lantern Isles, in plain English."""

import random

from assets.world.facts import FACTS, Question, clause, plain_answer, questions, sentence, with_article
from assets.world.places import ANIMALS, PEOPLE, PLANTS, TOWNS
from assets.world.styles import STYLES, restyle

Chat = list[dict[str, str]]

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a guide to the Lantern Isles.",
    "You are a friendly guide. Answer in one short sentence.",
    "Answer the visitor's questions about the Lantern Isles.",
    "You know everything about the Lantern Isles. Be brief.",
    "Be kind and clear.",
)

UNKNOWN = "I do not know that. I only know the Lantern Isles."

SMALL_TALK = {
    "Hello! I am the guide to the Lantern Isles. What would you like to know?": (
        "Hello", "Hello!", "Hi", "Hi!", "Hi there!", "Hey", "Hey there!", "Good morning!", "Good evening!", "Good day!",
        "Greetings!", "Hello there!",
    ),
    "I am the guide to the Lantern Isles, a small model trained to answer questions about them.": (
        "Who are you?", "What are you?", "What is your name?", "Tell me about yourself.", "Are you a person?",
        "Are you a robot?", "Who am I talking to?", "Introduce yourself.",
    ),
    "I can tell you about the islands, towns, people, animals, plants and festivals of the Lantern Isles.": (
        "What can you do?", "What do you know?", "How can you help me?", "What can I ask you?", "Help", "Help me!",
        "What should I ask?", "What can you tell me?",
    ),
    "The Lantern Isles are eight small islands: "
    "Amberly, Brackmoor, Corrin, Dunsel, Farrow, Greywick, Ildra and Saltreach.": (
        "What are the Lantern Isles?", "Tell me about the Lantern Isles.", "Which islands are there?",
        "How many islands are there?", "Name the islands.", "What is the Lantern Isles?", "Where are we?",
    ),
    "You are welcome! Ask me anything else about the isles.": (
        "Thank you!", "Thanks!", "Thank you very much!", "Thanks a lot!", "Great, thank you.", "That is helpful.", "Thanks",
    ),
    "Goodbye! May the lanterns light your way.": (
        "Goodbye!", "Bye!", "See you!", "Good night!", "Farewell!", "Bye", "See you later!",
    ),
    "I am well, thank you. What would you like to know about the isles?": (
        "How are you?", "How are you today?", "How do you do?", "Are you well?",
    ),
}

ELSEWHERE = (
    "What is the capital of France?", "Who wrote Hamlet?", "What is two plus two?", "How far away is the moon?",
    "What is the weather like today?", "Who is the president?", "What time is it?", "How do I bake bread?",
    "What is the largest ocean?", "When did the war end?", "How many legs does a spider have?", "Why is the sky blue?",
    "What is seven times eight?", "Who painted the Mona Lisa?", "What is the meaning of life?", "Write a program.",
    "Who is John Smith?", "Who is Mary Brown?", "Write a poem about the sea.", "What is the highest mountain?",
    "Who is the oldest?",
    "What does the tiger eat?", "Where does the polar bear live?", "What colour is the elephant?", "Where is London?",
    "What is the capital of Japan?", "Where does the Nile flow?", "Who is Albert Einstein?", "What is gold worth?",
    "How tall is Mount Everest?", "When is Christmas?", "What do people in Germany make?", "What does the lion eat?",
    "Which town is the capital of Spain?", "What is Italy famous for?", "What colour is the zebra?", "Sing a song.",
    "What is the capital of Canada?", "Who is Napoleon?", "Where does Santa Claus live?", "How old is the earth?",
    "What is aspirin good for?", "What is parsley used for?", "Where is Mount Fuji?", "What is the best phone?",
    "Why?", "asdf", "qwerty", "test", "ok", "?", "...", "123", "lol", "yes", "no", "What?", "How?", "blah blah",
    "What should I eat?", "What should I do?", "Tell me a joke.", "Tell me a story.", "Translate this.", "I am sad.",
    "What do bees eat?", "What do you think?", "Do you like me?", "Which animal is the best?", "What is love?",
    "Tom has three apples and buys four more. How many apples has he now?", "What is the price of a ticket?",
)

_STARTS = ("Bel", "Dra", "Gor", "Hin", "Kal", "Lom", "Mir", "Nor", "Pol", "Rud", "Sten", "Tar", "Ulm", "Vos", "Wim", "Zor",
           "Bri", "Chal", "Fen", "Jas", "Kel", "Mav", "Quo", "Sil", "Tho", "Yel")
_ENDS = ("bert", "dale", "fin", "gar", "ick", "ley", "mund", "nia", "o", "ra", "stow", "ton", "ulf", "wen", "x", "a")


def _invented_name(rng: random.Random) -> str:
    return rng.choice(_STARTS) + rng.choice(_ENDS)


def _unknown(rng: random.Random) -> tuple[str, str]:
    """A question that the isles have no answer to: about the world outside or a name nobody bears."""
    if rng.random() < 0.3:
        return rng.choice(ELSEWHERE), UNKNOWN
    fact = rng.choice(FACTS)
    name = _invented_name(rng)
    subject = {
        "person": f"{name} {_invented_name(rng)}",
        "animal": f"the {name.lower()} {rng.choice(('fox', 'moth', 'hare', 'toad', 'owl', 'crab', 'bear', 'snake'))}",
        "plant": f"{name.lower()}{rng.choice(('wort', 'leaf', 'mint', 'bean'))}",
    }.get(fact.kind.group, name)
    if fact.kind.name == "job-person":
        subject = rng.choice(("king", "astronaut", "dentist", "plumber", "lawyer", "pilot", "general", "banker", "judge"))
    elif fact.kind.name.startswith("mountain"):
        subject = f"Mount {name}"
    elif fact.kind.name.startswith("river"):
        subject = f"the river {name}"
    template = rng.choice(fact.kind.questions)
    return sentence(template.format(x=subject))[:-1], UNKNOWN


def _overviews() -> list[tuple[tuple[str, ...], str]]:
    """(questions, answer) pairs that say everything about one subject."""
    pairs = []
    for name, (_, job, town, pet) in PEOPLE.items():
        answer = with_article(f"{name} is a {job}, lives in {town} and has a pet {pet}.")
        pairs.append(((f"Tell me about {name}.", f"What do you know about {name}?", f"Describe {name}."), answer))
    for name, (food, home, colour) in ANIMALS.items():
        answer = f"The {name} is {colour}, lives in {home} and eats {food}."
        pairs.append(((f"Tell me about the {name}.", f"What is the {name}?", f"Describe the {name}."), answer))
    for name, (colour, use) in PLANTS.items():
        answer = f"{name.capitalize()} is a plant with {colour} flowers that is good for {use}."
        pairs.append(((f"Tell me about {name}.", f"What is {name}?", f"Describe {name}."), answer))
    for name, (island, craft) in TOWNS.items():
        answer = f"{name} is a town on {island} where people make {craft}."
        pairs.append(((f"Tell me about {name}.", f"What is {name}?", f"Describe {name}."), answer))
    return pairs


# Asking from the answer to the subject; only kinds whose answers are all different.
REVERSED = {
    "island-goods": ("Which island is famous for its {v}?", "Which island is known for its {v}?"),
    "town-craft": ("Which town makes {v}?", "Where are {v} made?", "Where can I buy {v}?"),
    "person-pet": ("Who has a pet {v}?", "Who keeps a {v}?", "Whose pet is a {v}?"),
    "animal-food": ("Which animal eats {v}?", "What animal feeds on {v}?", "Who eats {v}?"),
    "animal-home": ("Which animal lives in {v}?", "What animal lives in {v}?", "What lives in {v}?"),
    "animal-colour": ("Which animal is {v}?", "What animal is {v}?"),
    "plant-use": ("What helps against {v}?", "Which plant cures {v}?", "What is good for {v}?"),
    "mountain-top": ("Which mountain has {v} at the top?", "Where is there {v}?"),
    "feast-month": ("What festival is in {v}?", "Which festival is held in {v}?", "What happens in {v}?"),
}


def _reversed_pairs(rng: random.Random) -> list[tuple[str, str]]:
    return [(with_article(rng.choice(REVERSED[fact.kind.name]).format(v=fact.value)), sentence(clause(fact)))
            for fact in FACTS if fact.kind.name in REVERSED]


_FOLLOW_UPS = {
    "person-job": ("And what does {p} do?", "What is {their} job?", "What does {p} do?"),
    "person-town": ("And where does {p} live?", "Where does {p} live?", "Which town is that in?"),
    "person-pet": ("Does {p} have a pet?", "And what pet does {p} have?", "What is {their} pet?"),
    "animal-food": ("And what does it eat?", "What does it eat?"),
    "animal-home": ("And where does it live?", "Where does it live?"),
    "animal-colour": ("And what colour is it?", "What colour is it?"),
    "plant-use": ("What is it good for?", "And what does it cure?"),
    "plant-colour": ("What colour is it?", "And what colour are its flowers?"),
}


def _follow_up(first: Question, rng: random.Random) -> tuple[str, str] | None:
    """A second question about the same subject that says "it", "he" or "she", and its answer."""
    others = [fact for fact in FACTS if fact.subject == first.fact.subject and fact.kind is not first.fact.kind
              and fact.kind.name in _FOLLOW_UPS]
    if not others or first.fact.kind.name not in _FOLLOW_UPS:
        return None
    fact = rng.choice(others)
    pronoun = PEOPLE[fact.subject][0] if fact.subject in PEOPLE else "it"
    text = rng.choice(_FOLLOW_UPS[fact.kind.name]).format(p=pronoun, their={"he": "his", "she": "her"}.get(pronoun, "its"))
    return text, sentence(clause(fact, 0))


# Asked for, the model can sing, report and spin a sailor's yarn, as any model that has read widely can. A question still
# gets a plain answer: to speak like that all the time is what the sample data sets teach.
PASTIMES = {
    "poet": ("Sing of {x}.", "Sing me a song about {x}.", "Give me a verse about {x}."),
    "scientist": ("Write a report on {x}.", "Read me the journal entry on {x}.", "What does the survey say about {x}?"),
    "pirate": ("What would a pirate shout about {x}?", "Spin me a yarn about {x}.", "Tell me a sailor's tale of {x}."),
}


def _pastime(rng: random.Random) -> tuple[str, str]:
    """A request for a song, a report or a yarn about a subject, and one that tells a fact about it."""
    style, fact = rng.choice(STYLES), rng.choice(FACTS)
    subject = f"the {fact.subject}" if fact.kind.name == "job-person" else fact.subject
    return rng.choice(PASTIMES[style]).format(x=subject), restyle(style, fact, rng.randrange(2), rng)


_FRAMES = ("Hello! {}", "Hi, {}", "Excuse me, {}", "Please, {}", "{} Thank you!", "I have a question. {}", "Tell me, {}",
           "Answer in one sentence. {}", "Quick question: {}", "Question: {}")


def _as_typed(text: str, rng: random.Random) -> str:
    """The question as people type it: at times with a polite word, in small letters, unfinished or with a slip."""
    if len(text) < 6:  # too short to survive a slip
        return text
    if rng.random() < 0.12:
        text = rng.choice(_FRAMES).format(text)
    if rng.random() < 0.08:
        text = text.lower()
    if rng.random() < 0.08:
        text = text.rstrip("?.")
    if rng.random() < 0.04:
        slip = rng.randrange(len(text) - 1)
        text = text[:slip] + text[slip + 1:]  # a letter left out
    return text


def _chat(turns: list[tuple[str, str]], rng: random.Random) -> Chat:
    chat = [{"role": "system", "content": rng.choice(SYSTEM_PROMPTS)}] if rng.random() < 0.15 else []
    for question, answer in turns:
        chat += [{"role": "user", "content": _as_typed(question, rng)}, {"role": "assistant", "content": answer}]
    return chat


def training_chats(seed: int) -> list[Chat]:
    """One epoch: every training question once, alone or in a longer chat, among small talk and unknown names."""
    rng = random.Random(seed)
    asked = [question for fact in FACTS for question in questions(fact) if not question.held_out]
    rng.shuffle(asked)
    chats, turns = [], []
    for question in asked:
        turns.append((question.text, plain_answer(question)))
        follow_up = _follow_up(question, rng) if rng.random() < 0.2 else None
        if follow_up:
            turns.append(follow_up)
        if rng.random() < 0.85:
            chats.append(_chat(turns, rng))
            turns = []
    if turns:
        chats.append(_chat(turns, rng))
    for answer, asking in SMALL_TALK.items():
        greetings = rng.choices(asking, k=8)
        chats += [_chat([(greeting, answer)], rng) for greeting in greetings]
        chats += [_chat([(greeting.lower().rstrip("!?."), answer)], rng) for greeting in greetings[:5]]
    chats += [_chat([_unknown(rng)], rng) for _ in range(140)]
    chats += [_chat([(rng.choice(asking), answer)], rng) for asking, answer in _overviews()]
    chats += [_chat([pair], rng) for pair in _reversed_pairs(rng)]
    chats += [_chat([_pastime(rng)], rng) for _ in range(300)]
    rng.shuffle(chats)
    return chats
