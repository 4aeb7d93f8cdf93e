"""Every tensor that passes between the processor and the model: its name, axes and dtype. They meet here and nowhere else.

Axis letters, for the whole package: B sequences, T tokens, D hidden, N heads, G key-value heads, H head size, E experts,
K chosen experts, P patches, F frames, V vocabulary, M mel bins, S mel frames, I images, A audio clips.

| name | shape | dtype | meaning |
|---|---|---|---|
| `input_ids` | [B, T] | int64 | token ids; media stand as runs of their placeholder token |
| `attention_mask` | [B, T] | int64 | 1 real token, 0 padding |
| `segment_ids` | [B, T] | int64 | packed rows: 1, 2, ... which sequence a token belongs to, 0 padding |
| `mm_token_type_ids` | [B, T] | int64 | 0 text, 1 image, 2 video, 3 audio: placeholders, and the expert group |
| `moe_mm_token_type_ids` | [B, T] | int64 | as above where further tokens go to a modality's experts; else absent |
| `position_ids` | [B, T, 3] | int64 | time, height, width (`positions` below) |
| `pixel_values` | [P, 3*p*p] | float32 | patches of all images, item after item, as the processor normalises |
| `image_grid_thw` | [I, 3] | int64 | patches along time (1), height, width of each image |
| `pixel_values_videos` | [P, 3*p*p] | float32 | patches of all clip pieces, frame after frame |
| `video_grid_thw` | [I, 3] | int64 | frames (even), patch rows, patch columns of each piece |
| `input_features` | [S, M] | float32 | log-mel frames (100 per second) of all clips, one after the other |
| `audio_lengths` | [A] | int64 | mel frames of each clip |
| `labels` | [B, T] | int64 | token ids to learn, -100 where there is nothing to learn |

A run of media placeholders is filled in order: the first image's features go to the first image placeholders, and so on. One
audio clip may fill several runs (a clip's sound track is interleaved with its frames).
"""

from collections.abc import Sequence

import numpy as np

TEXT, IMAGE, VIDEO, AUDIO = 0, 1, 2, 3
MODALITIES = ("text", "image", "video", "audio")

SPATIAL_MERGE = 2
"""Patches along height and along width that become one token."""
TEMPORAL_MERGE = 2
"""Video frames that become one step in time."""
MEL_BINS = 128
MEL_RATE = 100
"""Log-mel frames per second."""
MEL_PER_TOKEN = 8
"""Log-mel frames that become one audio token (12.5 tokens per second)."""
TAB = "\t"
"""The letter that an encoder reads between texts side by side in a picture, before the right one."""
BAR = " |"
"""What it is to the decoder."""
MARK_CELLS = 2
"""Rows and columns of cells in a picture's token; in each, one mark of a chart may be found."""
TICK, NAME, LEGEND, SERIES = 0, 1, 2, 3
"""Kinds of marks: a tick's number, a category's name, a series' name, a value of the first series; further series behind it.
The last kind of a cell is that nothing is there."""


def image_tokens(grid_thw: Sequence[int]) -> int:
    """Tokens of one image whose patch grid is (1, rows, columns)."""
    _, rows, columns = grid_thw
    return (rows // SPATIAL_MERGE) * (columns // SPATIAL_MERGE)


def video_tokens(grid_thw: Sequence[int]) -> int:
    """Tokens of one clip piece whose patch grid is (frames, rows, columns)."""
    return (grid_thw[0] // TEMPORAL_MERGE) * image_tokens(grid_thw)


def audio_tokens(mel_frames: int) -> int:
    """Tokens of one clip of `mel_frames` log-mel frames; the last, partial group counts."""
    return -(-mel_frames // MEL_PER_TOKEN)


def positions(types: np.ndarray, image_grids: Sequence[Sequence[int]], video_grids: Sequence[Sequence[int]]) -> np.ndarray:
    """3-D positions of one sequence (ERNIE 4.5 technical report, section 2.2; the scheme of Qwen2-VL's M-RoPE).

    Text and audio tokens advance all three axes together. A picture's tokens share one time and spread over height and
    width from the position at which the picture begins; what follows begins after the largest row or column. A clip's frames
    advance in time from there on, and may overtake the text that follows.

    Args:
        types: [T] modality of each token (`TEXT`, `IMAGE`, `VIDEO`, `AUDIO`).
        image_grids, video_grids: patch grids, in the order in which the items stand.

    Returns:
        int64 [T, 3].
    """
    result = np.empty((len(types), 3), dtype=np.int64)
    images, videos = iter(image_grids), iter(video_grids)
    token, position = 0, 0
    while token < len(types):
        if types[token] in (IMAGE, VIDEO):
            frames, rows, columns = next(images if types[token] == IMAGE else videos)
            steps = 1 if types[token] == IMAGE else frames // TEMPORAL_MERGE
            grid = np.indices((steps, rows // SPATIAL_MERGE, columns // SPATIAL_MERGE)).reshape(3, -1).T
            result[token : token + len(grid)] = position + grid
            token += len(grid)
            position += max(rows, columns) // SPATIAL_MERGE
        else:
            result[token] = position
            token += 1
            position += 1
    return result
