"""A seeded grammar that writes short English reports in a bright or a gloomy mood, and their word-level vocabulary.

The mood is no token: it shows only in the words that a report chooses, so a model that is to continue a report has to
infer it from the text so far. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from hashlib import sha256
from random import Random
from typing import Final, Literal

from hookframe.demo.lexicon import BOUND, BRIGHT, FREE, GLOOMY, PEOPLE, TOPICS

__all__ = [
    "BEGIN",
    "END",
    "MAX_TOKENS",
    "Mood",
    "decode",
    "encode",
    "is_sentence",
    "mood_words",
    "opening",
    "sentences",
    "vocabulary",
    "vocabulary_digest",
    "words_of",
    "write_report",
    "write_reports",
]

Mood = Literal["bright", "gloomy"]

BEGIN: Final = "<begin>"
END: Final = "<end>"
MAX_TOKENS: Final = 96
"""No report has more tokens than this, begin and end tokens included."""

_TOKEN = re.compile(r"[^\W\d_]+|[^\w\s]")
_LINK_SHARE = 0.25  # of the middle sentences begin with a linking word


def write_report(seed: int, mood: Mood, *, slips: float = 0.0) -> str:
    """Write one report of three to five sentences; the same arguments give the same text.

    `slips` is the share of mood words to take from the other mood instead. In either mood, and with slips or without,
    the report of a seed has the same words but for the mood words, and as many tokens.
    """
    rng = Random(seed)  # noqa: S311  # text, not secrets
    topic = TOPICS[rng.choice(sorted(TOPICS))]
    middles = [_linked(pattern, rng) for pattern in rng.sample(topic.middles, rng.randint(1, 3))]
    patterns = [rng.choice(topic.openings), *middles, rng.choice(topic.closings)]
    return _surface(_fill(patterns, mood, rng, slips))


def write_reports(count: int, *, seed: int, mood: Mood | None = None, slips: float = 0.0) -> list[str]:
    """Write `count` reports; without a mood, bright and gloomy take turns.

    Reports of different `seed` and same mood share no random stream, as long as `count` is below a million.
    """
    moods: tuple[Mood, ...] = ("bright", "gloomy") if mood is None else (mood,)
    return [write_report(seed * 1_000_000 + index, moods[index % len(moods)], slips=slips) for index in range(count)]


def opening(report: str) -> str:
    """Return the first sentence of a report, which always shows its mood: a prompt to continue."""
    return sentences(report)[0]


def sentences(text: str) -> list[str]:
    """Split a text after each full stop; what follows the last one counts as a sentence too."""
    return [part.strip() for part in re.findall(r"[^.]+\.?", text) if part.strip()]


def is_sentence(text: str) -> bool:
    """Say whether the grammar could have written this one sentence, its mood words taken from either mood."""
    return _sentence_pattern().fullmatch(" ".join(words_of(text))) is not None


def words_of(text: str) -> list[str]:
    """Split a text into lower-case words and punctuation marks."""
    return _TOKEN.findall(text.lower())


@cache
def mood_words(mood: Mood) -> frozenset[str]:
    """Return the words that only reports of this mood use."""
    table = BRIGHT if mood == "bright" else GLOOMY
    return frozenset(word for words in table.values() for word in words)


@cache
def vocabulary() -> tuple[str, ...]:
    """Return every token; its index is its id. Proper names are capitalised, all other words are not."""
    return (BEGIN, END, *sorted({word for line in _all_lines() for word in line.split() if not word.startswith("{")}))


def vocabulary_digest() -> str:
    """Return a digest of the vocabulary in order, by which weights name the vocabulary they were trained for."""
    return sha256("\n".join(vocabulary()).encode()).hexdigest()


def encode(text: str, *, end: bool = False) -> list[int]:
    """Return the token ids of a text, after the begin token, with the end token only if asked for.

    :raises ValueError: a word is not in the vocabulary; the text names it, and near misses.
    """
    ids = _ids()
    words = words_of(text)
    unknown = next((word for word in words if word not in ids), None)
    if unknown is not None:
        near = ", ".join(get_close_matches(unknown, ids)) or "none"
        raise ValueError(f"{unknown!r} is not in the demo vocabulary; near misses: {near}")
    return [ids[BEGIN], *(ids[word] for word in words), *([ids[END]] if end else [])]


def decode(tokens: Sequence[int]) -> str:
    """Return the text of token ids, as a person would type it; begin and end tokens are left out."""
    words = vocabulary()
    return _surface(words[token] for token in tokens if words[token] not in (BEGIN, END))


def _surface(words: Iterable[str]) -> str:
    """Join words: no space before punctuation, a capital at the start of each sentence."""
    text = re.sub(r" (?=[^\w\s])", "", " ".join(words))
    return re.sub(r"(^|\. )(\w)", lambda match: match[1] + match[2].upper(), text)


def _linked(pattern: str, rng: Random) -> str:
    return f"{{link}} , {pattern}" if rng.random() < _LINK_SHARE else pattern


def _fill(patterns: Sequence[str], mood: Mood, rng: Random, slips: float) -> Iterator[str]:
    """Yield the words of the patterns; the person is named at first mention, and later often a pronoun."""
    own, other = (BRIGHT, GLOOMY) if mood == "bright" else (GLOOMY, BRIGHT)
    name, pronoun, possessive = rng.choice(PEOPLE)
    bound = {slot: rng.choice(words) for slot, words in BOUND.items()} | {"her": possessive}
    who = name
    for word in " ".join(patterns).split():
        slot = word.strip("{}")
        if slot == word:
            yield word
        elif slot == "who":
            yield who
            who = rng.choice((pronoun, pronoun, name))
        elif slot in own:
            slip, place = rng.random() < slips, rng.random()
            words = (other if slip else own)[slot]
            yield words[int(place * len(words))]
        else:
            yield bound[slot] if slot in bound else rng.choice(FREE[slot])


def _all_lines() -> Iterator[str]:
    """Yield every pattern and every word that may fill a slot."""
    for topic in TOPICS.values():
        for patterns in topic:
            yield from patterns
    for words in (*PEOPLE, *(line for table in (BOUND, FREE, BRIGHT, GLOOMY) for line in table.values())):
        yield from words


@cache
def _ids() -> dict[str, int]:
    return {word.lower(): index for index, word in enumerate(vocabulary())}


@cache
def _sentence_pattern() -> re.Pattern[str]:
    choices = BOUND | FREE | {slot: BRIGHT[slot] + GLOOMY[slot] for slot in BRIGHT}
    choices |= {"who": tuple({word for person in PEOPLE for word in person[:2]}), "her": ("her", "his")}
    lines = [line for topic in TOPICS.values() for patterns in topic for line in patterns]
    body = "|".join(_as_regex(line, choices) for line in lines)
    return re.compile(f"(?:(?:{'|'.join(FREE['link'])}) , )?(?:{body})")


def _as_regex(line: str, choices: dict[str, tuple[str, ...]]) -> str:
    """Write one pattern as a regular expression over lower-case tokens joined by spaces."""
    parts = (
        f"(?:{'|'.join(choices[word.strip('{}')])})" if word.startswith("{") else re.escape(word)
        for word in line.split()
    )
    return " ".join(parts).lower()
