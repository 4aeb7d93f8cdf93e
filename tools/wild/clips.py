"""Clips and sounds by FFmpeg's own sources and filters (through PyAV): `python tools/wild/clips.py FOLDER SOUNDS`.

SOUNDS is the folder `usr/share/sounds/freedesktop/stereo` of Debian's package sound-theme-freedesktop, which holds a real bell.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import av
from skimage import data, io

RATE, FRAMES = 48_000, 12
SIZE = "size=320x240:rate=12:duration={seconds}"


def disc(colour: str, side: int, seconds: float) -> str:
    """A filter graph that gives a round patch on nothing."""
    inside = f"lte(hypot(X-{side // 2}\\,Y-{side // 2})\\,{side // 2 - 1})"
    painted = f"format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*{inside}'"
    return f"color={colour}:size={side}x{side}:rate=12:duration={seconds},{painted}"


def box(colour: str, side: int, seconds: float) -> str:
    return f"color={colour}:size={side}x{side}:rate=12:duration={seconds}"


def moved(ground: str, thing: str, x: str, y: str, seconds: float) -> str:
    """The thing over the ground, at a place that depends on the time `t`."""
    ground = f"{ground}:{SIZE.format(seconds=seconds)}" if "=" in ground else f"{ground}={SIZE.format(seconds=seconds)}"
    return f"{ground}[a];{thing}[b];[a][b]overlay=x='{x}':y='{y}':eval=frame:format=auto,format=yuv420p"


def sound(source: str) -> str:
    return f"{source},aformat=sample_fmts=fltp:sample_rates={RATE}:channel_layouts=mono"


SILENT = None
NOISE = sound("anoisesrc=seed=1:colour=pink:amplitude=0.5:duration=4,volume='gt(t\\,2.5)':eval=frame")
BEEP = sound("aevalsrc='0.6*sin(2*PI*950*t)*between(t\\,3\\,3.4)':duration=4")
SIREN = sound("aevalsrc='0.5*sin(2*PI*(900*t+110*sin(2*PI*0.8*t)))':duration=5")
TICKS = sound("aevalsrc='0.8*sin(2*PI*2600*t)*exp(-90*mod(t\\,0.5))':duration=4")
BEEPS = sound("aevalsrc='0.6*sin(2*PI*780*t)*lt(mod(t\\,0.7)\\,0.25)*lt(t\\,2.1)':duration=2.5")
HISS = sound("anoisesrc=seed=1:colour=white:amplitude=0.4:duration=2")


def bell(seconds: float, at: float) -> str:
    """The bell of `bell.oga` in a track of so many seconds."""
    return sound(f"amovie=bell.oga,aresample={RATE},adelay={int(1000 * at)}:all=1,apad=whole_dur={seconds}")


def clips() -> dict[str, tuple[str, str | None]]:
    """Name -> filter graphs of the picture and of the sound track."""
    sky, grass = "gradients=c0=0xbfe3ff:c1=0xffffff:x0=0:y0=0:x1=0:y1=240:speed=0.00001:seed=3", "color=0x8fbf6a"
    horse = "movie=horse.png,hflip,loop=loop=48:size=1,setpts=N/12/TB,colorkey=white:0.2:0.1"
    grow = f"{disc('yellow', 200, 4)},scale=w='trunc(20+40*t)*2':h=-2:eval=frame"
    return {
        "clip_right": (moved(sky, disc("red", 60, 4), "-10+65*t", "90", 4), SILENT),
        "clip_left_bell": (moved(grass, box("blue", 56, 4), "250-60*t", "100", 4), bell(4, 1.5)),
        "clip_up_noise": (moved("color=0x303040", disc("orange", 70, 4), "120", "185-50*t", 4), NOISE),
        "clip_down_beep": (moved(sky, box("black", 50, 4), "140", "-5+48*t", 4), BEEP),
        "clip_siren": (moved("color=0xdddddd", disc("red", 64, 5), "-20+60*t", "110", 5), SIREN),
        "clip_horse": (moved(grass, horse, "250-85*t", "70", 4), SILENT),
        "clip_circle": (moved("color=white", disc("green", 44, 4), "138+80*cos(PI*t)", "98+70*sin(PI*t)", 4), SILENT),
        "clip_grow": (moved("color=0x203a5a", grow, "160-w/2", "120-h/2", 4), SILENT),
        "clip_still_ticks": (moved(sky, box("purple", 70, 4), "125", "85", 4), TICKS),
        "clip_bars": (moved("smptebars", box("white", 60, 4), "250-62*t", "90", 4), NOISE),
    }


SOUNDS = {"sound_beeps": BEEPS, "sound_hiss": HISS, "sound_bell": bell(2.5, 0.3)}


def main(folder: Path) -> None:
    for name, (picture, track) in clips().items():
        with av.open(str(folder / f"{name}.mp4"), "w") as file:
            video = file.add_stream("libx264", rate=FRAMES, options={"crf": "26", "preset": "slow"})
            video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
            audio = file.add_stream("aac", rate=RATE, layout="mono", bit_rate=64_000) if track else None
            for frame in frames(picture, "video"):
                file.mux(video.encode(frame))
            file.mux(video.encode())
            if audio:
                for frame in frames(track, "audio"):
                    file.mux(audio.encode(frame))
                file.mux(audio.encode())
    for name, track in SOUNDS.items():
        with av.open(str(folder / f"{name}.ogg"), "w") as file:
            audio = file.add_stream("libopus", rate=RATE, layout="mono")
            for frame in frames(track, "audio"):
                file.mux(audio.encode(frame))
            file.mux(audio.encode())


def frames(graph: str, kind: str) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """What a filter graph gives, through FFmpeg's device `lavfi`."""
    with av.open(graph, format="lavfi") as source:
        for number, frame in enumerate(source.decode(**{kind: 0})):
            frame.pts = None if kind == "audio" else number
            yield frame


if __name__ == "__main__":
    import os
    import shutil
    import tempfile

    folder, sounds = (Path(word).resolve() for word in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # filters name files by plain names
        shutil.copy(sounds / "bell.oga", "bell.oga")
        io.imsave("horse.png", (data.horse()[::3, ::3] * 255).astype("uint8"), check_contrast=False)
        main(folder)
