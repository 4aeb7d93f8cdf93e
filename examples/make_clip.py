"""Films `clip.mp4`: a red ball rolls from left to right across a table; a bell rings after 3 seconds.

Nothing here is shared with the training material: the picture is a small ray caster (a sphere on a wooden plane, with light
and shadow), the bell a bank of decaying resonators, and the file is H.264 with AAC sound at 25 frames a second.
"""

import sys
from pathlib import Path

import av
import numpy as np

SIZE, RATE, SECONDS, FRAMES_PER_SECOND, BELL_AT = (320, 240), 44_100, 6, 25, 3.0

PARTIALS = ((0.5, 0.6, 0.9), (1, 1, 0.6), (1.2, 0.7, 0.45), (2, 0.6, 0.4), (2.67, 0.4, 0.25), (4.1, 0.3, 0.15))
"""Of the bell: frequency as a multiple of its strike note, loudness, seconds until it has fallen to 37 %."""

LIGHT = np.array([-0.45, 0.8, -0.4])
RADIUS = 0.85


def main(folder: Path) -> None:
    with av.open(str(folder / "clip.mp4"), "w") as file:
        video = file.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "28", "preset": "slow"})
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        audio = file.add_stream("aac", rate=RATE, layout="mono", bit_rate=48_000)
        for number in range(SECONDS * FRAMES_PER_SECOND):
            frame = av.VideoFrame.from_ndarray(picture(number / FRAMES_PER_SECOND), format="rgb24")
            file.mux(video.encode(frame))
        file.mux(video.encode())
        samples = av.AudioFrame.from_ndarray(sound()[None].astype(np.float32), format="fltp", layout="mono")
        samples.sample_rate = RATE
        file.mux([*audio.encode(samples), *audio.encode()])


def picture(seconds: float) -> np.ndarray:
    """The view at one moment: uint8 [240, 320, 3]."""
    x, y = np.meshgrid(np.linspace(-1.33, 1.33, SIZE[0]), np.linspace(1, -1, SIZE[1]))
    rays = np.stack([x, y - 0.45, np.full_like(x, 1.9)], -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    eye, centre = np.array([0.0, 1.9, -5.5]), np.array([-2.4 + 4.8 * seconds / SECONDS, RADIUS, 0.4])
    colours = _table(eye, rays, centre)
    distance = _hit(eye, rays, centre)
    met = np.isfinite(distance)
    normals = (eye + np.where(met, distance, 0)[..., None] * rays - centre) / RADIUS
    colours[met] = _ball(normals, rays)[met]
    return np.clip(colours, 0, 255).astype(np.uint8)


def sound() -> np.ndarray:
    """Room tone, and the bell: float64 [samples]."""
    rng = np.random.default_rng(7)
    times = np.arange(SECONDS * RATE) / RATE
    since = np.clip(times - BELL_AT, 0, None)
    bell = np.zeros_like(times)
    for ratio, share, life in (
        (0.5, 0.6, 0.9),
        (1, 1, 0.6),
        (1.2, 0.7, 0.45),
        (2, 0.6, 0.4),
        (2.67, 0.4, 0.25),
        (4.1, 0.3, 0.15),
    ):
        bell += share * np.exp(-since / life) * np.sin(2 * np.pi * 640 * ratio * since)
    return 0.002 * rng.standard_normal(len(times)) + 0.2 * bell * (times >= BELL_AT) * np.minimum(since / 0.002, 1)


def _hit(eye: np.ndarray, rays: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Distance at which each ray meets the ball, infinite where it does not."""
    along = rays @ (centre - eye)
    miss = (centre - eye) @ (centre - eye) - along**2
    with np.errstate(invalid="ignore"):
        return np.where(miss < RADIUS**2, along - np.sqrt(RADIUS**2 - miss), np.inf)


def _table(eye: np.ndarray, rays: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Wood up to the edge, then a wall; darker where the ball keeps the light away."""
    with np.errstate(divide="ignore"):
        distance = np.where(rays[..., 1] < 0, -eye[1] / rays[..., 1], 1e6)
    ground = eye + distance[..., None] * rays
    planks = np.sin(ground[..., 2] * 4 + 0.3 * np.sin(ground[..., 0] * 2))
    wood = np.array([196.0, 164, 124]) + 9 * planks[..., None]
    light = LIGHT / np.linalg.norm(LIGHT)
    away = np.linalg.norm(np.cross(ground - centre, light), axis=-1)
    wood *= np.where(away < RADIUS, 0.55, 1.0)[..., None]
    wall = np.array([205.0, 212, 216]) - 40 * (0.5 - rays[..., 1:2])
    return np.where((ground[..., 2] < 4)[..., None], wood, wall)


def _ball(normals: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Red plastic: diffuse light, a little from everywhere, and a highlight."""
    light = LIGHT / np.linalg.norm(LIGHT)
    diffuse = np.clip(normals @ light, 0, 1)[..., None]
    mirrored = rays - 2 * (rays * normals).sum(-1, keepdims=True) * normals
    shine = np.clip(mirrored @ light, 0, 1)[..., None] ** 30
    return np.array([214.0, 30, 34]) * (0.35 + 0.65 * diffuse) + 190 * shine


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
