"""The media of one conversation for a published model: what a chat template is told, how many tokens, which arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from omnie import inputs
from omnie.errors import InputError
from omnie.media.types import SAMPLE_RATE, Audio, Document, Image, Table, Video
from omnie.messages import Part
from omnie.processor import documents, image
from omnie.processor.audio import log_mel, mel_frames
from omnie.processor.ernie import pictures
from omnie.processor.ernie.settings import ClipSettings, PictureSettings
from omnie.processor.ernie.tokenizer import ErnieTokenizer
from omnie.processor.settings import ProcessorSettings

MODALITIES = {"image": inputs.IMAGE, "video": inputs.VIDEO, "audio": inputs.AUDIO}
Item = dict[str, str]
"""A piece of a message's content as chat templates take it: `type`, and `text` where it is text."""


@dataclass
class Layout:
    """Collects the media of one conversation.

    Attributes:
        names: Spellings of the model's placeholders; what is not among them is not taken.
        folder: Where the font of the time stamps lies.
    """

    tokenizer: ErnieTokenizer
    pictures: PictureSettings
    clips: ClipSettings
    names: Mapping[str, str]
    folder: Path
    images: list[tuple[np.ndarray, tuple[int, int, int]]] = field(default_factory=list)
    videos: list[tuple[Video, np.ndarray, tuple[int, int, int]]] = field(default_factory=list)
    sounds: list[np.ndarray] = field(default_factory=list)

    def items(self, part: Part) -> list[Item]:
        """What a part becomes.

        Raises:
            InputError: it is not decoded, or the model does not take it.
        """
        if part.kind == "text":
            return [self._text(part.value)]
        kinds: dict[type, Any] = {
            Image: self._image, Video: self._video, Audio: self._audio, Document: self._document, Table: self._table,
        }  # fmt: skip
        if type(part.value) not in kinds:
            raise InputError(
                f"{part.kind} part is not decoded", value=type(part.value).__name__, hint="open files with omnie.media.load"
            )
        return kinds[type(part.value)](part.value)

    def grids(self) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """Patch grids of the images and of the clips."""
        return [grid for _, grid in self.images], [grid for _, _, grid in self.videos]

    def counts(self, name: str) -> list[int]:
        """Tokens of each item of a kind."""
        images, videos = self.grids()
        if name == "image":
            return [inputs.image_tokens(grid) for grid in images]
        if name == "video":
            return [inputs.video_tokens(grid) for grid in videos]
        return [inputs.audio_tokens(mel_frames(len(samples))) for samples in self.sounds]

    def arrays(self) -> dict[str, np.ndarray]:
        """The features: only the keys of the media that are there."""
        result: dict[str, np.ndarray] = {}
        images, videos = self.grids()
        if images:
            result["pixel_values"] = np.concatenate([pictures.image_patches(it, self.pictures) for it, _ in self.images])
            result["image_grid_thw"] = np.array(images, dtype=np.int64)
        if videos:
            parts = [pictures.clip_patches(clip, chosen, self.clips, self.folder) for clip, chosen, _ in self.videos]
            result["pixel_values_videos"] = np.concatenate(parts)
            result["video_grid_thw"] = np.array(videos, dtype=np.int64)
        if self.sounds:
            heard = [log_mel(samples, ProcessorSettings()) for samples in self.sounds]
            result["input_features"] = np.concatenate(heard)
            result["audio_lengths"] = np.array([len(frames) for frames in heard], dtype=np.int64)
        return result

    def _text(self, value: str) -> Item:
        return {"type": "text", "text": self.tokenizer.shield(value)}

    def _image(self, value: Image) -> list[Item]:
        self._must_take("image")
        height, width = image.check(value.pixels).shape[:2]
        self.images.append((value.pixels, pictures.grid(height, width, self.pictures)))
        return [{"type": "image"}]

    def _video(self, value: Video) -> list[Item]:
        self._must_take("video")
        chosen = pictures.choose(len(value.frames), value.seconds, self.clips)
        frames, (height, width) = len(chosen) + len(chosen) % 2, value.frames.shape[1:3]
        self.videos.append((value, chosen, pictures.grid(height, width, self.clips, frames)))
        heard = self._audio(value.audio) if value.audio is not None and len(value.audio.samples) else []
        return [{"type": "video"}, *heard]

    def _audio(self, value: Audio) -> list[Item]:
        if "audio" not in self.names:
            raise InputError(
                "the model takes no sound",
                value=f"{len(value.samples) / SAMPLE_RATE:.1f} seconds of it",
                allowed=", ".join(["text", *(name for name in MODALITIES if name in self.names)]),
                hint="--no-audio, or omnie.media.load(clip, audio=False), leaves out the sound track of a clip",
            )
        if not len(value.samples):
            raise InputError("sound is empty", value="0 samples", allowed="at least one")
        self.sounds.append(value.samples)
        return [{"type": "text", "text": self.names["audio"]}]

    def _document(self, value: Document) -> list[Item]:
        result = []
        for page in value.pages:
            layer = documents.page_text(page.words)
            looks = self._image(page.image) if "image" in self.names else []
            if not looks and not layer:
                raise InputError("the model sees no pictures, and a page has no text", value=f"page {page.number}")
            result += [*looks, *([self._text(f"{layer}\n")] if layer else [])]
        return result

    def _table(self, value: Table) -> list[Item]:
        return [self._text(f"{documents.table_grid(value)}\n")]

    def _must_take(self, name: str) -> None:
        if name not in self.names:
            raise InputError(f"the model takes no {name}", hint="choose a model for images and video")
