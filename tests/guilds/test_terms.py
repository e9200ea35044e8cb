import pytest

from guilds.terms import find, fold


@pytest.mark.parametrize(
    "written",
    ["gore", "GORE", "ｇｏｒｅ", "góre", "g0re", "gоrе", "go\u200bre", "a scene of gore, in oil", "(gore)"],
)
def test_finds_a_term_however_it_is_written(written):
    assert find(written, [fold("Gore")]) == "gore"


@pytest.mark.parametrize("innocent", ["gorey", "Gregor east", "go re", "categories"])
def test_compares_whole_words_only(innocent):
    assert find(innocent, [fold("gore")]) is None


def test_finds_a_phrase_across_punctuation_and_line_breaks():
    assert find("some dark\n -  magic here", [fold("Dark Magic")]) == "dark magic"
    assert find("dark and magic", [fold("Dark Magic")]) is None


def test_a_hostile_prompt_costs_little():
    assert find("a" * 6000 + "!" * 6000, [fold("(a+)+$")] * 500) is None
