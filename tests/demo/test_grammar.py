"""The reports that the grammar writes, and their vocabulary."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookframe.demo import grammar, lexicon

SEEDS = st.integers(min_value=0, max_value=10**9)
MOODS = st.sampled_from(["bright", "gloomy"])
REPORTS = st.builds(grammar.write_report, SEEDS, MOODS)


@given(REPORTS)
def test_a_report_survives_encoding_and_decoding(report):
    assert grammar.decode(grammar.encode(report, end=True)) == report


@given(SEEDS, MOODS)
def test_the_seed_decides_the_report(seed, mood):
    assert grammar.write_report(seed, mood) == grammar.write_report(seed, mood)


def test_other_seeds_give_other_reports():
    assert len(set(grammar.write_reports(200, seed=1) + grammar.write_reports(200, seed=2))) == 400


@given(REPORTS)
def test_a_report_has_three_to_five_sentences_of_the_grammar(report):
    parts = grammar.sentences(report)
    assert 3 <= len(parts) <= 5
    assert all(grammar.is_sentence(part) for part in parts)


@given(REPORTS)
def test_a_report_is_typed_as_a_person_would(report):
    assert not re.search(r" [.,]|  |\. [a-z]|[.,][^ ]", report)
    assert report[0].isupper()
    assert report.endswith(".")
    assert not re.search(r"\ba [aeiou]", report, flags=re.IGNORECASE)


@given(REPORTS)
def test_a_report_fits_the_context(report):
    assert len(grammar.encode(report, end=True)) <= grammar.MAX_TOKENS


@given(SEEDS, MOODS)
def test_a_report_uses_the_words_of_its_own_mood_alone_from_the_first_sentence_on(seed, mood):
    report = grammar.write_report(seed, mood)
    own, other = ("bright", "gloomy") if mood == "bright" else ("gloomy", "bright")
    assert grammar.mood_words(own) & set(grammar.words_of(grammar.opening(report)))
    assert not grammar.mood_words(other) & set(grammar.words_of(report))


@given(SEEDS)
def test_one_seed_gives_both_moods_the_same_plain_words(seed):
    bright, gloomy = (grammar.words_of(grammar.write_report(seed, mood)) for mood in ("bright", "gloomy"))
    differing = {word for pair in zip(bright, gloomy, strict=True) if pair[0] != pair[1] for word in pair}
    assert differing
    assert differing <= grammar.mood_words("bright") | grammar.mood_words("gloomy")


def test_slips_are_words_of_the_other_mood():
    clean = " ".join(grammar.write_reports(200, seed=3, mood="bright"))
    slipped = " ".join(grammar.write_reports(200, seed=3, mood="bright", slips=0.5))
    gloomy = [word for word in grammar.words_of(slipped) if word in grammar.mood_words("gloomy")]
    bright = [word for word in grammar.words_of(slipped) if word in grammar.mood_words("bright")]
    assert 0.4 < len(gloomy) / len(gloomy + bright) < 0.6
    assert len(grammar.words_of(clean)) == len(grammar.words_of(slipped))


def test_no_mood_word_has_a_second_meaning():
    lines = [line for topic in lexicon.TOPICS.values() for patterns in topic for line in patterns]
    people = [word for person in lexicon.PEOPLE for word in person]
    plain = [word for table in (lexicon.BOUND, lexicon.FREE) for words in table.values() for word in words]
    others = {word for line in (*lines, *people, *plain) for word in line.split()}
    assert not grammar.mood_words("bright") & grammar.mood_words("gloomy")
    assert not (grammar.mood_words("bright") | grammar.mood_words("gloomy")) & others
    assert lexicon.BRIGHT.keys() == lexicon.GLOOMY.keys()


def test_every_report_that_could_be_written_fits_the_context():
    longest = [[max(len(line.split()) for line in patterns) for patterns in topic] for topic in lexicon.TOPICS.values()]
    link = 2  # the linking word and its comma
    assert max(first + 3 * (middle + link) + last for first, middle, last in longest) + 2 <= grammar.MAX_TOKENS


def test_the_mood_is_no_token():
    assert not {"bright mood", "gloomy mood", "<bright>", "<gloomy>"} & set(grammar.vocabulary())
    assert [word for word in grammar.vocabulary() if word.startswith("<")] == [grammar.BEGIN, grammar.END]


def test_every_token_is_used_and_stands_once():
    written = {
        token
        for seed in range(6)
        for report in grammar.write_reports(1000, seed=seed)
        for token in grammar.encode(report)
    }
    (end,) = grammar.encode("", end=True)[1:]
    assert written | {end} == set(range(len(grammar.vocabulary())))
    assert len(set(grammar.vocabulary())) == len(grammar.vocabulary())


def test_an_unknown_word_is_named_with_near_misses():
    with pytest.raises(ValueError, match=r"'sunni' is not in the demo vocabulary; near misses: .*sunny"):
        grammar.encode("It was a sunni morning in Ashby.")


def test_decoding_leaves_out_begin_and_end():
    assert grammar.decode(grammar.encode("", end=True)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "The of was a Monday sunny.",
        "It was a sunny morning in Ashby",
        "It was a sunny sunny morning in Ashby.",
        "It was a sunny morning in Ashby. The forecast for the weekend was grim.",
    ],
)
def test_what_the_grammar_cannot_write_is_no_sentence(text):
    assert not grammar.is_sentence(text)


def test_a_sentence_may_mix_moods():
    assert grammar.is_sentence("Later, the seats were roomy, and the windows were greasy.")


def test_text_is_split_into_sentences_with_the_rest():
    assert grammar.sentences("One two. Three. Four") == ["One two.", "Three.", "Four"]
