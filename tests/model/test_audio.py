"""Chunked sound equals whole sound, and its memory is bounded. The toy's block is 20 frames: 80 log-mel frames."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from laws import assert_close, relative_rms
from omnie.inputs import MEL_BINS
from omnie.model.audio import TOGETHER, AudioState, block_mask

from .cases import toy

BLOCK = 80
PLANS = {
    "one-block-pieces": [1] * 7,
    "two": [2, 2, 2, 1],
    "three": [3, 3, 1],
    "mixed": [1, 3, 2, 1],
    "all-but-one": [6, 1],
    "whole": [7],
}
"""Blocks in each piece; the last piece may be cut short."""
LENGTHS = {
    "one": [560],
    "ragged": [499],
    "one-frame-over": [481],
    "several": [555, 3, 80, 81, 240, 560, 479],
}
"""Log-mel frames of recordings side by side."""


@pytest.fixture(scope="module")
def audio():
    return toy().model.audio


def recordings(lengths: list[int]) -> Tensor:
    """[A, S, M], zeros behind each recording's end, S a multiple of 8."""
    random = torch.Generator().manual_seed(5)
    longest = -(-max(lengths) // 8) * 8
    return torch.stack([F.pad(torch.randn(n, MEL_BINS, generator=random), (0, 0, 0, longest - n)) for n in lengths])


def tensors(state: AudioState) -> list[Tensor]:
    return [state.mel, state.conv, *state.keys, *state.values]


def in_pieces(audio, mel: Tensor, lengths: list[int], blocks: list[int]) -> tuple[Tensor, Tensor, list[AudioState]]:
    """Tokens, frames, and the state after each piece."""
    state, outputs, states = None, [], []
    sizes = itertools.pairwise([0, *itertools.accumulate(blocks)])
    for start, end in sizes:
        output, state = audio.encode_piece(mel[:, start * BLOCK : end * BLOCK], torch.tensor(lengths), state)
        outputs.append(output)
        states.append(state)
    return *(torch.cat(parts, 1) for parts in zip(*outputs)), states


def alone(audio, mel: Tensor, lengths: list[int], row: int) -> tuple[Tensor, Tensor]:
    """Tokens and frames of one recording that no other and no piece touched."""
    n = -(-lengths[row] // 8) * 8
    output, _ = audio.encode_piece(mel[row : row + 1, :n], torch.tensor([lengths[row]]), None)
    return output.tokens[0], output.frames[0]


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", LENGTHS)
def test_chunked_equals_whole(audio, name, plan, training):
    lengths = LENGTHS[name]
    mel = recordings(lengths)
    with torch.set_grad_enabled(training):
        tokens, frames, _ = in_pieces(audio, mel, lengths, PLANS[plan])
        for row, n in enumerate(lengths):
            want_tokens, want_frames = alone(audio, mel, lengths, row)
            assert_close(f"tokens of {n} frames", tokens[row, : len(want_tokens)], want_tokens)
            assert_close(f"frames of {n} frames", frames[row, : len(want_frames)], want_frames)


def test_a_batch_longer_than_a_pass_equals_one_pass(audio):
    """`encode_batch` cuts after eight blocks (640 frames)."""
    lengths = [1501, 640, 641, 30]
    mel = recordings(lengths)
    flat = torch.cat([row[:n] for row, n in zip(mel, lengths)])
    with torch.inference_mode():
        whole, _ = audio.encode_piece(mel, torch.tensor(lengths), None)
        cut = audio.encode_batch(flat, torch.tensor(lengths))
    for row, n in enumerate(lengths):
        assert_close(f"{n} frames", cut.tokens[row, : -(-n // 8)], whole.tokens[row, : -(-n // 8)])


def test_chunked_gradients_equal_whole(audio):
    lengths = [430, 97]
    mel = recordings(lengths)
    results = []
    for plan in ([6], [1, 2, 3]):
        x = mel.clone().requires_grad_()
        tokens, _, _ = in_pieces(audio, x, lengths, plan)
        (tokens[0, :54].square().sum() + tokens[1, :13].square().sum()).backward()
        results.append({"mel": x.grad} | {name: p.grad.clone() for name, p in audio.named_parameters()})
        audio.zero_grad(set_to_none=True)
    for name, want in results[0].items():
        assert_close(name, results[1][name], want, 1e-4)


def test_the_state_of_a_long_recording_does_not_grow(audio):
    """Neither in numbers nor in what its views keep alive."""
    mel = recordings([12 * BLOCK])
    with torch.inference_mode():
        *_, states = in_pieces(audio, mel, [12 * BLOCK], [2] * 6)
    sizes = [sum(t.numel() for t in tensors(state)) for state in states]
    # The last input frame is a view of the recording, which is the caller's.
    kept = [sum(t.untyped_storage().nbytes() for t in tensors(state)[1:]) for state in states]
    assert len(set(sizes)) == 1 and len(set(kept)) == 1
    block = audio.config.block_frames * audio.config.hidden_size
    assert sizes[0] == 2 * audio.config.num_hidden_layers * block + MEL_BINS + audio.config.hidden_size


def test_a_frame_sees_its_block_and_the_block_before(audio):
    """With one layer. A token is two frames, so the convolutions' reach of three log-mel frames stays within it."""
    model = toy(audio={**toy().config.audio, "num_hidden_layers": 1}).model.audio
    mel = recordings([4 * BLOCK])
    lengths = torch.tensor([4 * BLOCK])
    with torch.inference_mode():
        base = model.encode_piece(mel, lengths, None)[0].tokens[0]
        for block in range(4):
            other = mel.clone()
            other[:, block * BLOCK + 8 : (block + 1) * BLOCK - 8] += 1.0
            changed = model.encode_piece(other, lengths, None)[0].tokens[0]
            seen = [relative_rms(a, b) > 1e-4 for a, b in zip(changed.split(10), base.split(10))]
            assert seen == [block <= b <= block + 1 for b in range(4)]


def test_sound_never_sees_the_next_block(audio):
    """Streaming needs no look-ahead beyond a block, however many layers there are."""
    mel = recordings([3 * BLOCK])
    other = mel.clone()
    other[:, 2 * BLOCK :] += 1.0
    with torch.inference_mode():
        first, second = (audio.encode_piece(x, torch.tensor([3 * BLOCK]), None)[0].tokens for x in (mel, other))
    assert torch.equal(first[:, :20], second[:, :20]) and relative_rms(first[:, 20:], second[:, 20:]) > 1e-2


def test_the_block_mask_as_a_picture():
    """Blocks of three frames; a recording of five frames beside one of nine. Rows are blocks, columns keys: before | own."""
    valid = torch.arange(9) < torch.tensor([5, 9])[:, None]
    rows = ["".join(str(int(bit)) for bit in row) for row in block_mask(valid, 3, continued=False)[:, 0, 0]]
    assert rows == ["000111", "111110", "110000", "000111", "111111", "111111"]
    assert block_mask(valid, 3, continued=True)[0, 0, 0].tolist() == [True] * 6


def test_recordings_of_any_lengths_side_by_side_keep_their_order(audio):
    lengths = [int(n) for n in torch.randint(1, 300, (2 * TOGETHER + 5,), generator=torch.Generator().manual_seed(2))]
    mel = recordings(lengths)
    output = audio.encode_batch(torch.cat([mel[row, :n] for row, n in enumerate(lengths)]), torch.tensor(lengths))
    assert output.tokens.shape[:2] == (len(lengths), -(-max(lengths) // 8))
    for row in range(len(lengths)):
        want_tokens, want_frames = alone(audio, mel, lengths, row)
        assert_close(f"tokens of recording {row}", output.tokens[row, : len(want_tokens)], want_tokens)
        assert_close(f"frames of recording {row}", output.frames[row, : len(want_frames)], want_frames)
