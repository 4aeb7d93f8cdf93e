"""Packing laws: nothing is lost, nothing leaks, media stand in the order of their placeholders, rows are nearly full."""

import numpy as np
import pytest
import torch

from omnie.inputs import AUDIO, IMAGE, audio_tokens, image_tokens
from omnie.train.config import TrainConfig
from omnie.train.stream.feed import to_device
from omnie.train.stream.packing import IGNORE, Drawn, Packer, Sample, Spelled, collate
from omnie.train.trainer import Trainer

from . import fake

LENGTH = 256


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    stream = fake.source()
    return [stream.make((skill, index)) for index, skill in enumerate(["picture", "sound", "words"] * 8)]


def plain(lengths: list[int]) -> list[Sample]:
    """Samples of given lengths whose token ids are their index."""
    names = ("input_ids", "mm_token_type_ids", "labels")
    samples = []
    for i, n in enumerate(lengths):
        samples.append(Sample("s", {name: np.full(n, i) for name in names} | {"position_ids": np.zeros((n, 3))}))
    return samples


def filled(samples: list[Sample], rows: int, length: int) -> list[list[Sample]]:
    packer = Packer(rows, length, pool=len(samples))
    for sample in samples:
        packer.add(sample)
    return packer.take()


def test_rows_are_nearly_full_with_a_pool_of_64() -> None:
    rng = np.random.default_rng(0)
    lengths = iter(rng.integers(20, 300, 10_000).tolist())
    packer, empty = Packer(8, 512), 0
    for _ in range(30):
        while not packer.ready:
            packer.add(plain([next(lengths)])[0])
        rows = packer.take()
        assert len(rows) == 8
        empty += sum(512 - sum(map(len, row)) for row in rows)
    assert empty / (30 * 8 * 512) < 0.05


def test_too_long_samples_are_dropped_and_counted() -> None:
    packer = Packer(1, 100)
    for sample in plain([101, 100, 5000]):
        packer.add(sample)
    assert packer.dropped == 2
    assert [len(sample) for sample in packer.pool] == [100]


def test_the_oldest_sample_never_waits() -> None:
    packer = Packer(1, 100)
    for sample in plain([10, *[95] * 20]):
        packer.add(sample)
    assert packer.take()[0][0].tensors["input_ids"][0] == 0


def test_every_token_appears_once_and_segments_count_from_one(samples: list[Sample]) -> None:
    rows = filled(samples, 8, LENGTH)
    batch = collate(rows, LENGTH)
    for b, row in enumerate(rows):
        expected = np.concatenate([sample.tensors["input_ids"] for sample in row])
        segments = np.repeat(np.arange(1, len(row) + 1), [len(sample) for sample in row])
        assert np.array_equal(batch.inputs["input_ids"][b, : len(expected)], expected)
        assert np.array_equal(batch.inputs["segment_ids"][b], np.pad(segments, (0, LENGTH - len(segments))))


def test_media_fill_exactly_their_placeholders(samples: list[Sample]) -> None:
    inputs = collate(filled(samples, 8, LENGTH), LENGTH).inputs
    types = inputs["mm_token_type_ids"]
    assert (types == IMAGE).sum() == sum(image_tokens(grid) for grid in inputs["image_grid_thw"])
    assert (types == IMAGE).sum() * 4 == len(inputs["pixel_values"])
    assert (types == AUDIO).sum() == sum(map(audio_tokens, inputs["audio_lengths"]))
    assert len(inputs["input_features"]) == inputs["audio_lengths"].sum()


def test_media_keep_the_reading_order(samples: list[Sample]) -> None:
    rows = filled(samples, 8, LENGTH)
    expected = [grid for row in rows for sample in row for grid in sample.tensors.get("image_grid_thw", [])]
    assert np.array_equal(collate(rows, LENGTH).inputs["image_grid_thw"], np.array(expected))


def test_the_first_token_of_a_segment_teaches_nothing() -> None:
    labels = collate([plain([5, 7])], 16).inputs["labels"][0]
    assert [int(n) for n in np.flatnonzero(labels == IGNORE)] == [0, 5, 12, 13, 14, 15]


def test_pixels_survive_the_trip_as_bytes(samples: list[Sample]) -> None:
    stream = fake.source()
    original = stream.encode(stream.example("picture", 0))[0]["pixel_values"]
    step = to_device(collate([[stream.make(("picture", 0))]], LENGTH), torch.device("cpu"), torch.float32)
    assert torch.allclose(step.inputs["pixel_values"], torch.from_numpy(original), atol=1e-6)


def test_texts_of_pictures_are_arranged_side_by_side() -> None:
    tensors = plain([8])[0].tensors | {"image_grid_thw": np.array([[1, 4, 4]])}
    texts = (Spelled.of("image", "ab", [7], [2, 3]), Spelled.of("image", "c", [8, 9], [1]), Spelled.of("image", "", [], [0]))
    alignment = collate([[Sample("s", tensors), Sample("s", tensors, texts)]], 16).alignments["image"]
    assert alignment.rows.tolist() == [6, 7, 5]  # behind the four tokens of the first picture
    assert alignment.cells.tolist() == [0, 1, 2]
    assert alignment.cells_of.tolist() == [2, 1]
    assert (alignment.letters.tolist(), alignment.letters_of.tolist()) == ([97, 98, 99], [2, 1])
    assert (alignment.words.tolist(), alignment.words_of.tolist()) == ([7, 8, 9], [1, 2])
    assert alignment.silent.tolist() == [4]


def test_a_picture_in_which_nothing_is_written_has_no_texts() -> None:
    tensors = plain([8])[0].tensors | {"image_grid_thw": np.array([[1, 2, 4]])}
    alignment = collate([[Sample("s", tensors, (Spelled.of("image", "", [], [0, 1]),))]], 16).alignments["image"]
    assert (alignment.width, len(alignment.cells_of), alignment.silent.tolist()) == (0, 0, [0, 1])


def test_things_are_found_behind_the_pictures_before_them() -> None:
    tensors = plain([6])[0].tensors | {"image_grid_thw": np.array([[1, 2, 4]])}
    boxes = np.arange(9, dtype=np.float32).reshape(3, 3)
    second = Sample("s", tensors, drawn=(Drawn(7, np.array([0, 1]), boxes[:2]), Drawn(3, np.array([1]), boxes[2:])))
    batch = collate([[Sample("s", tensors), second]], 16)
    assert batch.named is not None
    assert [values.tolist() for values in vars(batch.named).values()] == [[2, 3, 3], [0, 0, 1], [7, 3], boxes.tolist()]
    assert collate([[Sample("s", tensors)]], 16).named is None


def test_alignment_of_sounds_skips_the_padding_between_clips() -> None:
    tensors = plain([8])[0].tensors
    first = Sample("s", tensors | {"audio_lengths": np.array([9])})
    second = Sample("s", tensors | {"audio_lengths": np.array([30])}, (Spelled.of("audio", "a", [5], range(4)),))
    alignment = collate([[first, second]], 16).alignments["audio"]
    assert alignment.rows.tolist() == [4 + n for n in range(4)]  # the longest clip has 4 tokens, and so has the first
    assert alignment.cells_of.tolist() == [4]


def test_texts_of_clips_are_found_piece_by_piece() -> None:
    """The second clip's tokens stand behind the four of the first one's two pieces, whatever pictures and sounds there are."""
    tensors = plain([8])[0].tensors
    first = Sample("s", tensors | {"video_grid_thw": np.array([[2, 2, 4]] * 2), "audio_lengths": np.array([9])})
    second = Sample("s", tensors | {"video_grid_thw": np.array([[2, 2, 4]])}, (Spelled.of("video", "a", [5], [1]),))
    found = collate([[first, second]], 16).alignments
    assert list(found) == ["video"]
    assert found["video"].rows.tolist() == [5]


def test_packed_equals_separate(samples: list[Sample], tmp_path) -> None:
    """The sum of the losses of single sequences is that of the packed rows, to float32 rounding."""
    torch.set_num_threads(1)
    trainer = Trainer(TrainConfig(out=tmp_path, size="toy", steps=1, dtype="float32", alignment=0.0))
    trainer.model.eval()

    def total(rows: list[list[Sample]]) -> tuple[float, int]:
        step = to_device(collate(rows, LENGTH), torch.device("cpu"), torch.float32)
        with torch.no_grad():
            trainer.loss(step)
        _, sums = trainer.meter._skills[-1]
        return float(sums[0].sum()), int(sums[1].sum())

    packed, count = total(filled(samples[:12], 4, LENGTH))
    separate = [total([[sample]]) for sample in samples[:12]]
    assert count == sum(n for _, n in separate)
    assert packed == pytest.approx(sum(loss for loss, _ in separate), rel=1e-5)
