"""Requests for tools: what a call says stands in the request, and a tool's wordings give what it needs."""

import json

import numpy as np
import pytest

from omnie.data import skills, tools
from omnie.data.example import SPLITS
from omnie.data.scoring import score
from omnie.data.tools import composed, wording, written
from omnie.data.writing.grammar import SLOT, every
from omnie.data.writing.values import KINDS
from omnie.data.writing.vocabulary import LANGUAGES

N = 150


def examples(skill, split, n=N):
    return [skills.example(skill, split, index) for index in range(n)]


def turns(example):
    """(request, answer) of an example, the first one and what follows."""
    return [(example.parts[-1].value, example.answer), *example.more]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("skill", ["tools.call", "tools.none"])
def test_a_call_says_what_the_request_does_to_a_tool_on_offer(skill, split):
    for example in examples(skill, split):
        offered = {tool.name: tool.parameters for tool in example.tools}
        assert len(offered) == len(example.tools) <= tools.MOST
        for request, answer in turns(example):
            if answer in tools.NONE.values():
                continue
            call = json.loads(answer)
            schema = offered[call["name"]]
            assert set(schema["required"]) <= set(call["arguments"]) <= set(schema["properties"])
            for name, value in call["arguments"].items():
                assert str(value).casefold() in request.casefold()
                assert isinstance(value, int if schema["properties"][name]["type"] == "integer" else str)


def test_the_answer_of_a_call_scores_and_another_does_not():
    for example in examples("tools.call", "heldout", 30):
        call = json.loads(example.answer)
        assert score(example, example.answer) == 1
        assert score(example, json.dumps({**call, "name": "other"})) == 0
        assert score(example, json.dumps({**call, "arguments": {**call["arguments"], "more": 1}})) == 0
        assert score(example, "") == 0 and score(example, json.dumps({"name": call["name"]})) == 0


def test_every_answer_of_a_refusal_is_one():
    for example in examples("tools.none", "validation", 30):
        assert example.answer in tools.NONE.values() and example.tools and not example.more


@pytest.mark.parametrize("split", SPLITS)
def test_every_wording_gives_what_its_tool_needs(split):
    for tool in written(split):
        assert set(tool.kinds.values()) <= set(KINDS) and set(tool.descriptions) == set(LANGUAGES)
        for language in LANGUAGES:
            assert len(tool.requests[language]) >= (1 if split == "validation" else 2)
            for said in (said for template in tool.requests[language] for said in every(template.text)):
                slots = [slot for _, slot in SLOT.findall(said)]
                assert tool.kinds.keys() - tool.optional <= set(slots) <= tool.kinds.keys(), (tool.names, said)
                assert len(slots) == len(set(slots))


def test_no_tool_and_no_wording_is_shared_between_splits():
    names = [{name for tool in written(split) for name in tool.names} for split in SPLITS]
    assert sum(map(len, names)) == len(set.union(*names)) and min(map(len, names)) >= 8
    said = [
        {
            wording.casefold()
            for tool in written(split)
            for templates in tool.requests.values()
            for t in templates
            for wording in every(t.text)
        }
        for split in SPLITS
    ]
    assert not said[0] & said[1] and not said[0] & said[2] and not said[1] & said[2]


def test_no_two_tools_and_no_two_parameters_of_a_tool_share_a_name():
    tools = [tool for split in SPLITS for tool in written(split)]
    names = [name for tool in tools for name in tool.names]
    assert len(names) == len(set(names))
    for tool in tools:
        spelled = [name for others in tool.spelled.values() for name in others]
        assert len(spelled) == len(set(spelled)), tool.names


@pytest.mark.parametrize("language", LANGUAGES)
def test_tools_that_are_offered_together_are_about_different_things_or_acts(language):
    rng = np.random.default_rng(0)
    assert len(composed.acts(language)) == 15 and len(composed.things(language)) > 50
    for _ in range(60):
        pairs = list(composed.unlike(rng, language, 5))
        assert len({(act.cluster, thing.name) for act, thing in pairs}) == 5
        for act, thing in pairs:
            made = composed.act_on(rng, language, act, thing)
            assert thing.name in made.tool.name.casefold() and "{" not in made.request + made.tool.description


def test_a_malformed_line_is_an_error_with_its_number(monkeypatch):
    monkeypatch.setattr(tools, "read", lambda file: "tool a\n  nonsense x\n")
    with pytest.raises(ValueError, match="line 2"):
        written.__wrapped__("train")


@pytest.mark.parametrize(
    ("given", "kinds", "others", "apart"),
    [
        (["time"], ["time", "day"], [], True),
        (["hours"], ["hours"], [(["city"], ["city"])], True),
        (["hours"], ["hours"], [(["days", "city"], ["days"])], False),  # a duration is a duration
        (["hours"], ["hours"], [(["days", "city"], ["days", "city"])], True),  # the other tool needs a city
        (["city", "city"], ["city", "city"], [], False),  # from and to
        (["date"], ["date", "day"], [], False),  # of two dates the first or the second
        ([], ["city"], [], False),
    ],
)
def test_requests_are_reworded_only_where_their_values_tell_what_they_are_for(given, kinds, others, apart):
    assert wording.told_apart(given, kinds, others) is apart


def test_a_reworded_request_keeps_its_values_and_not_its_words():
    rng = np.random.default_rng(0)
    request, values = "Please wake me up at 7:30 on Friday, will you?", ("7:30", "Friday")
    said = [wording.reworded(rng, request, values, "en") for _ in range(50)]
    assert all(all(value in one for value in values) for one in said)
    assert len(set(said)) > 45
    assert 0.2 < np.mean(["wake" in one for one in said]) < 0.6


@pytest.mark.parametrize("skill", ["tools.call", "tools.none"])
def test_only_training_rewords(skill, monkeypatch):
    monkeypatch.setattr(tools, "reworded", lambda *_: "OTHER")
    asked = {split: [skills.example(skill, split, n).parts[0].value for n in range(60)] for split in SPLITS}
    shares = {split: np.mean([one == "OTHER" for one in said]) for split, said in asked.items()}
    assert shares["validation"] == shares["heldout"] == 0.0
    assert 0.1 < shares["train"] < tools.REWORDED
