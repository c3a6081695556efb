"""Every fact of the Lantern Isles as one value, and the ways of asking for it."""

import re
from dataclasses import dataclass

from assets.world import places


@dataclass(frozen=True)
class Kind:
    """One sort of fact: `{x}` is what the question is about, `{v}` the answer. Questions and clauses share the slots."""

    name: str
    group: str  # what the subject is: place, person, animal, plant or feast
    questions: tuple[str, ...]
    clauses: tuple[str, ...]  # the answer as a clause without a capital or a full stop


@dataclass(frozen=True)
class Fact:
    """One thing that is true, such as (animal-food, "the moss fox", "bluebells")."""

    kind: Kind
    subject: str
    value: str
    index: int  # its place among the facts of its kind

    @property
    def key(self) -> str:
        """The words that a right answer has to contain."""
        return re.sub(r"^(a|an|the) ", "", self.value)


@dataclass(frozen=True)
class Question:
    """A fact asked in one of its phrasings."""

    text: str
    fact: Fact
    phrasing: int

    @property
    def held_out(self) -> bool:
        """True if this pair of fact and phrasing is kept out of everything a model is trained on."""
        return (self.fact.index * 3 + self.phrasing) % 5 == 0


KINDS = {
    kind.name: kind
    for kind in (
        Kind("island-capital", "place", (
            "What is the capital of {x}?", "Which town is the capital of {x}?", "Name the capital of {x}.",
            "What is {x}'s capital?", "Can you tell me the capital of {x}?", "Do you know the capital of {x}?",
            "Which town is the chief town of {x}?", "What is the capital of the island of {x}?",
            "Please name the capital town of {x}.", "Tell me the capital of {x}.",
        ), ("the capital of {x} is {v}", "{v} is the capital of {x}")),
        Kind("island-goods", "place", (
            "What is {x} famous for?", "What is the island of {x} known for?", "What is {x} known for?",
            "Tell me what {x} is famous for.", "Why is {x} famous?", "What does everyone praise {x} for?",
            "What made the island of {x} famous?", "For what is {x} best known?",
            "Can you tell me what {x} is known for?", "What comes to mind when people think of {x}?",
        ), ("{x} is famous for its {v}", "the island of {x} is known for its {v}")),
        Kind("town-island", "place", (
            "Which island is {x} on?", "On which island is {x}?", "Where is {x}?", "Where is the town of {x}?",
            "Where can I find {x}?", "What island does {x} stand on?", "Which island does {x} belong to?",
            "Can you tell me where {x} is?", "To which island must I sail to reach {x}?", "Where would I look for {x}?",
        ), ("{x} is on the island of {v}", "{x} stands on {v}")),
        Kind("town-craft", "place", (
            "What do people in {x} make?", "What is made in {x}?", "What does the town of {x} make?",
            "What do they make in {x}?", "What does {x} produce?", "Tell me what is made in {x}.",
            "What do the workshops of {x} make?", "What should I buy in {x}?", "What does {x} sell?",
            "What is the craft of {x}?",
        ), ("the people of {x} make {v}", "{x} makes {v}")),
        Kind("person-job", "person", (
            "What does {x} do?", "What is {x}'s job?", "What is the trade of {x}?", "Who is {x}?",
            "What does {x} do for a living?", "What work does {x} do?", "How does {x} earn a living?",
            "Can you tell me who {x} is?", "What is {x}'s profession?", "Tell me what {x} does for work.",
        ), ("{x} is a {v}", "{x} works as a {v}")),
        Kind("job-person", "person", (
            "Who is the {x}?", "What is the name of the {x}?", "What is the {x} called?", "Who works as the {x}?",
            "Tell me the name of the {x}.", "Do you know the {x}?", "Which islander is the {x}?",
            "Who is the {x} of the Lantern Isles?", "Can you name the {x}?", "Who should I see if I need the {x}?",
        ), ("the {x} is {v}", "the {x} is called {v}")),
        Kind("person-town", "person", (
            "Where does {x} live?", "Which town does {x} live in?", "In which town does {x} live?",
            "Where can I meet {x}?", "Where is {x}'s house?", "What town is {x} from?", "Where is the home of {x}?",
            "Can you tell me where {x} lives?", "What is the home town of {x}?", "Tell me where {x} lives.",
        ), ("{x} lives in {v}", "{x} has a house in {v}")),
        Kind("person-pet", "person", (
            "What pet does {x} have?", "What is {x}'s pet?", "Which animal does {x} keep?",
            "What kind of pet does {x} keep?", "Does {x} have a pet?", "Tell me about {x}'s pet.",
            "What animal lives with {x}?", "What sort of animal is {x}'s pet?", "Which pet belongs to {x}?",
            "Can you tell me what pet {x} has?",
        ), ("{x} has a pet {v}", "{x} keeps a {v}")),
        Kind("animal-food", "animal", (
            "What does {x} eat?", "What does {x} like to eat?", "What is the food of {x}?", "What does {x} feed on?",
            "What food does {x} look for?", "What should I feed {x}?", "What is {x}'s favourite food?",
            "Tell me what {x} eats.", "What does {x} live on?", "Do you know what {x} eats?",
        ), ("{x} eats {v}", "{x} feeds on {v}")),
        Kind("animal-home", "animal", (
            "Where does {x} live?", "Where can I find {x}?", "Where does {x} make its home?", "Where is {x} found?",
            "Where would I look for {x}?", "What is the home of {x}?", "Where does {x} sleep?",
            "Tell me where {x} lives.", "Where should I go to see {x}?", "Do you know where {x} lives?",
        ), ("{x} lives in {v}", "{x} makes its home in {v}")),
        Kind("animal-colour", "animal", (
            "What colour is {x}?", "Which colour is {x}?", "What is the colour of {x}?",
            "What colour does {x} have?", "Tell me the colour of {x}.", "What colour should I paint {x}?",
            "Do you know what colour {x} is?", "Which colour does {x} wear?", "What does {x} look like?",
            "How would you describe the colour of {x}?",
        ), ("{x} is {v}", "the colour of {x} is {v}")),
        Kind("plant-colour", "plant", (
            "What colour are the flowers of {x}?", "What colour is {x}?", "Which colour does {x} bloom in?",
            "What colour does {x} flower in?", "Tell me the colour of {x}.", "How do I know {x} by its colour?",
            "What is the colour of {x} in bloom?", "Do you know what colour {x} is?",
            "Which colour are the petals of {x}?", "What colour are {x} flowers?",
        ), ("{x} has {v} flowers", "the flowers of {x} are {v}")),
        Kind("plant-use", "plant", (
            "What is {x} good for?", "What does {x} cure?", "What is {x} used for?", "What does {x} help against?",
            "Why do people pick {x}?", "What do healers use {x} for?", "What is the use of {x}?",
            "Tell me what {x} cures.", "When should I take {x}?", "Which trouble does {x} cure?",
        ), ("{x} is good for {v}", "{x} cures {v}")),
        Kind("mountain-island", "place", (
            "Which island is {x} on?", "On which island is {x}?", "Where is {x}?", "Where does {x} rise?",
            "Where can I climb {x}?", "Which island does {x} belong to?", "On what island does {x} stand?",
            "Can you tell me where {x} is?", "Where would I look for {x}?", "Tell me where {x} is.",
        ), ("{x} is on the island of {v}", "{x} rises on {v}")),
        Kind("mountain-top", "place", (
            "What is at the top of {x}?", "What stands on top of {x}?", "What will I find on top of {x}?",
            "What is on the summit of {x}?", "What can I see on {x}?", "What was built on {x}?",
            "Tell me what is at the top of {x}.", "What waits at the top of {x}?", "What crowns {x}?",
            "What do climbers find on {x}?",
        ), ("there is {v} at the top of {x}", "{v} stands on top of {x}")),
        Kind("river-town", "place", (
            "Which town does {x} flow through?", "Through which town does {x} flow?", "Where does {x} flow?",
            "What town lies on {x}?", "Which town stands on {x}?", "Where can I see {x}?",
            "Tell me where {x} flows.", "What town does {x} pass through?", "Which town drinks from {x}?",
            "Where would I look for {x}?",
        ), ("{x} flows through {v}", "{x} runs through {v}")),
        Kind("feast-month", "feast", (
            "When is {x}?", "In which month is {x}?", "What month is {x} in?", "When is {x} held?",
            "When do people celebrate {x}?", "Which month brings {x}?", "Tell me when {x} is.",
            "When should I come for {x}?", "Do you know when {x} is?", "In what month is {x} held?",
        ), ("{x} is held in {v}", "people celebrate {x} in {v}")),
        Kind("feast-town", "feast", (
            "Where is {x} held?", "Which town holds {x}?", "Where do people celebrate {x}?",
            "In which town is {x}?", "Where should I go for {x}?", "Which town is home to {x}?",
            "Tell me where {x} is held.", "What town celebrates {x}?", "Do you know where {x} is held?",
            "Where does {x} take place?",
        ), ("{x} is held in {v}", "the town of {v} holds {x}")),
    )
}


def _pairs() -> dict[str, list[tuple[str, str]]]:
    """(subject, value) pairs for each kind of fact, read from the tables."""
    people = places.PEOPLE.items()
    animals = [(f"the {name}", row) for name, row in places.ANIMALS.items()]
    feasts = places.FESTIVALS.items()
    return {
        "island-capital": [(name, row[0]) for name, row in places.ISLANDS.items()],
        "island-goods": [(name, row[1]) for name, row in places.ISLANDS.items()],
        "town-island": [(name, row[0]) for name, row in places.TOWNS.items()],
        "town-craft": [(name, row[1]) for name, row in places.TOWNS.items()],
        "person-job": [(name, row[1]) for name, row in people],
        "job-person": [(row[1], name) for name, row in people],
        "person-town": [(name, row[2]) for name, row in people],
        "person-pet": [(name, row[3]) for name, row in people],
        "animal-food": [(name, row[0]) for name, row in animals],
        "animal-home": [(name, row[1]) for name, row in animals],
        "animal-colour": [(name, row[2]) for name, row in animals],
        "plant-colour": [(name, row[0]) for name, row in places.PLANTS.items()],
        "plant-use": [(name, row[1]) for name, row in places.PLANTS.items()],
        "mountain-island": [(name, row[0]) for name, row in places.MOUNTAINS.items()],
        "mountain-top": [(name, row[1]) for name, row in places.MOUNTAINS.items()],
        "river-town": [(f"the {name}" if "Brook" in name else f"the river {name}", town)
                       for name, town in places.RIVERS.items()],
        "feast-month": [(name, row[0]) for name, row in feasts],
        "feast-town": [(name, row[1]) for name, row in feasts],
    }


FACTS = tuple(
    Fact(KINDS[name], subject, value, index)
    for name, pairs in _pairs().items()
    for index, (subject, value) in enumerate(pairs)
)


def with_article(text: str) -> str:
    """The clause with "an" where a vowel follows "a"."""
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def clause(fact: Fact, form: int = 0) -> str:
    """The fact as a clause, such as "the moss fox eats bluebells"; `form` picks the wording."""
    forms = fact.kind.clauses
    return with_article(forms[form % len(forms)].format(x=fact.subject, v=fact.value))


def sentence(text: str) -> str:
    """The clause with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def questions(fact: Fact) -> list[Question]:
    """The fact in each of its phrasings."""
    return [Question(sentence(text.format(x=fact.subject))[:-1], fact, number)
            for number, text in enumerate(fact.kind.questions)]


def plain_answer(question: Question) -> str:
    """The answer in plain English; a phrasing always gets the same wording."""
    return sentence(clause(question.fact, question.phrasing))
