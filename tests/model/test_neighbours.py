"""A neighbour changes nothing: in a batch, in a packed row, beside other pictures, clips and recordings."""

import pytest
import torch
from torch.nn import functional as F

from laws import assert_close, relative_rms
from omnie.errors import InputError
from omnie.inputs import MEL_BINS

from .cases import CONVERSATIONS, PATCH, PER_TOKEN, Inputs, conversation, gradients, length, media_of, toy

ROWS = {
    "text": [[30], [7], [1], [33]],
    "media": [CONVERSATIONS["all"], CONVERSATIONS["text"], CONVERSATIONS["image"], CONVERSATIONS["clip"]],
    "same-media": [CONVERSATIONS["audio"], [5, ("audio", 8), 2], [("audio", 100), 1], [40]],
}
"""Conversations of very different lengths."""
GRIDS = [(1, 2, 2), (1, 4, 10), (2, 4, 4), (1, 10, 4), (4, 2, 6), (1, 2, 2), (1, 8, 8)]
RECORDINGS = [1, 8, 61, 7, 200, 80, 81, 640, 1301]
"""Log-mel frames; a block of the toy is 80, a piece of `encode_batch` 640."""


@pytest.fixture(scope="module")
def model():
    return toy()


def conversations(name: str) -> list[Inputs]:
    return [conversation(*items, seed=seed) for seed, items in enumerate(ROWS[name])]


def padded(batches: list[Inputs], side: str) -> tuple[Inputs, list[slice]]:
    """One batch, and where each conversation stands in its row."""
    longest = max(map(length, batches))
    room = [longest - length(inputs) for inputs in batches]
    sides = [(n, 0) if side == "left" else (0, n) for n in room]
    rows = {
        name: torch.cat([F.pad(b[name].movedim(1, -1), s).movedim(-1, 1) for b, s in zip(batches, sides)]) for name in PER_TOKEN
    }
    places = [slice(before, longest - after) for before, after in sides]
    mask = torch.zeros(len(batches), longest, dtype=torch.long)
    for row, place in enumerate(places):
        mask[row, place] = 1
    return rows | media_of(batches) | {"attention_mask": mask}, places


def packed(batches: list[Inputs], padding: int) -> tuple[Inputs, list[slice]]:
    """Everything in one row with `segment_ids` and padding at its end, and where each conversation stands."""
    lengths = [length(inputs) for inputs in batches]
    row = {name: torch.cat([inputs[name] for inputs in batches], 1) for name in PER_TOKEN}
    row = {name: F.pad(tensor.movedim(1, -1), (0, padding)).movedim(-1, 1) for name, tensor in row.items()}
    numbers = torch.arange(1, len(lengths) + 1).repeat_interleave(torch.tensor(lengths))
    ends = torch.tensor(lengths).cumsum(0).tolist()
    places = [slice(end - n, end) for end, n in zip(ends, lengths)]
    return row | media_of(batches) | {"segment_ids": F.pad(numbers, (0, padding))[None]}, places


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ROWS)
def test_a_batch_neighbour_changes_nothing(model, name, side):
    alone = conversations(name)
    batch, places = padded(alone, side)
    logits = model(**batch).logits
    for row, (inputs, place) in enumerate(zip(alone, places)):
        assert_close(f"row {row}", logits[row, place], model(**inputs).logits[0])


@pytest.mark.parametrize("padding", [0, 5, 40])
@pytest.mark.parametrize("name", ROWS)
def test_packed_equals_separate(model, name, padding):
    alone = conversations(name)
    row, places = packed(alone, padding)
    logits = model(**row).logits[0]
    for number, (inputs, place) in enumerate(zip(alone, places)):
        assert_close(f"segment {number}", logits[place], model(**inputs).logits[0])
    with torch.inference_mode():  # the other attention path: no gradients wanted
        assert_close("without gradients", model(**row).logits[0], logits)


@pytest.mark.parametrize("name", ROWS)
def test_packed_gradients_equal_separate(model, name):
    """Every logit counts, each with a weight of its own, so no sequence's gradient hides behind another's."""
    alone = conversations(name)
    row, places = packed(alone, 9)
    weights = [torch.randn(length(inputs), 1024, generator=torch.Generator().manual_seed(9)) for inputs in alone]
    logits = model(**row).logits[0]
    sum((logits[place] * weight).sum() for place, weight in zip(places, weights)).backward()
    together = gradients(model)
    for inputs, weight in zip(alone, weights):
        (model(**inputs).logits[0] * weight).sum().backward()
    separate = gradients(model)
    assert together.keys() == separate.keys()
    for parameter, want in separate.items():
        assert_close(parameter, together[parameter], want, 1e-4)


def test_packed_loss_is_the_mean_over_all_labels(model):
    alone = conversations("text")
    row, places = packed(alone, 3)
    labels = torch.full_like(row["input_ids"], -100)
    want, count = 0.0, 0
    for inputs, place in zip(alone, places):
        labels[0, place] = inputs["input_ids"][0]
        labels[0, place.start] = -100
        own = inputs["input_ids"].clone()
        own[0, 0] = -100
        if (learned := length(inputs) - 1) > 0:
            want, count = want + learned * float(model(**inputs, labels=own).loss.detach()), count + learned
    assert float(model(**row, labels=labels).loss.detach()) == pytest.approx(want / count, rel=1e-5)


@pytest.mark.parametrize("window", [4, 16])
def test_packed_equals_separate_with_a_sliding_window(window):
    model = toy(num_hidden_layers=3, sliding_window=window, global_layer_every=3)
    alone = conversations("text")
    row, places = packed(alone, 5)
    logits = model(**row).logits[0]
    for number, (inputs, place) in enumerate(zip(alone, places)):
        assert_close(f"segment {number}", logits[place], model(**inputs).logits[0])


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_a_picture_beside_others(model, training):
    visual = model.model.visual
    items = [torch.randn(t * h * w, PATCH, generator=torch.Generator().manual_seed(i)) for i, (t, h, w) in enumerate(GRIDS)]
    counts = [max(1, t // 2) * h * w // 4 for t, h, w in GRIDS]
    with torch.set_grad_enabled(training):
        together = visual(torch.cat(items), torch.tensor(GRIDS)).tokens.split(counts)
        for item, grid, got in zip(items, GRIDS, together):
            assert_close(str(grid), got, visual(item, torch.tensor([grid])).tokens)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_a_recording_beside_others(model, training):
    audio = model.model.audio
    items = [torch.randn(n, MEL_BINS, generator=torch.Generator().manual_seed(n)) for n in RECORDINGS]
    with torch.set_grad_enabled(training):
        together = audio(torch.cat(items), torch.tensor(RECORDINGS))
        for item, got in zip(items, together):
            (alone,) = audio(item, torch.tensor([len(item)]))
            assert len(got) == -(-len(item) // 8)
            assert_close(f"{len(item)} frames", got, alone)


@pytest.mark.parametrize(("number", "kind"), [(1, "image"), (2, "video"), (3, "audio")], ids=["image", "video", "audio"])
def test_features_that_do_not_fit_the_placeholders_are_refused(model, number, kind):
    inputs = conversation(*CONVERSATIONS["all"])
    types = inputs["mm_token_type_ids"].clone()
    types[0, (types[0] == number).nonzero()[0]] = 0
    with pytest.raises(InputError, match=f"{kind} placeholders and features disagree"):
        model(**inputs | {"mm_token_type_ids": types})


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("patch", [0, 63], ids=["first", "last"])
def test_a_patch_sees_its_whole_frame_and_no_other(model, patch, training):
    """Two steps in time of two frames, 4 x 4 patches each: a changed patch of one frame changes all four tokens of its step."""
    pixels, grid = torch.randn(64, PATCH, generator=torch.Generator().manual_seed(2)), torch.tensor([[4, 4, 4]])
    other = pixels.clone()
    other[patch] = -other[patch]
    with torch.set_grad_enabled(training):
        before, after = (model.model.visual(x, grid).tokens for x in (pixels, other))
    changed = [relative_rms(a, b) > 1e-4 for a, b in zip(after, before)]
    assert changed == [(token < 4) == (patch < 32) for token in range(8)]
