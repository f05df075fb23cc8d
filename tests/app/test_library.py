from dataclasses import replace
from pathlib import Path

import pytest

from app.library import Library, open_library, picture_url, thumb_url
from atlases import picture_atlas
from featviz.atlas import Atlas
from featviz.atlas.layout import create_layout
from featviz.errors import ConfigError, RecordError


def test_atlases_get_names_that_urls_can_hold(tmp_path: Path) -> None:
    roots = [
        create_layout(tmp_path / name / last).root
        for name, last in (("a", "my atlas!"), ("b", "my atlas!"), ("c", "..."), ("d", "é"))
    ]
    assert list(open_library(roots).roots) == ["my-atlas", "my-atlas-2", "atlas", "atlas-2"]


def test_an_atlas_that_is_named_twice_is_told(tmp_path: Path) -> None:
    root = create_layout(tmp_path / "a").root
    with pytest.raises(ConfigError, match="is named twice; name it once"):
        open_library([root, tmp_path / "." / "a"])


def test_a_folder_without_an_atlas_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no atlas"):
        open_library([tmp_path])


def test_renders_are_an_atlas_only_once_there_are_any(tmp_path: Path) -> None:
    root = create_layout(tmp_path / "renders").root
    later = tmp_path / "kept" / "renders"
    found = open_library([root], renders=later)
    assert found.renders == ("renders-2", later)
    assert list(found.roots) == ["renders"]
    create_layout(later)
    assert open_library([root], renders=later).roots["renders-2"] == later
    assert open_library([root], renders=root).renders == ("renders", root)
    assert open_library([root]).renders is None


def test_what_is_not_open_is_told(tmp_path: Path) -> None:
    root = picture_atlas(tmp_path / "small").root
    library = open_library([root])
    with library.atlas("small") as atlas:
        assert atlas.models() == ["net"]
    with pytest.raises(RecordError, match=r"no atlas 'smal' is open; did you mean 'small'\?"):
        library.root("smal")
    with pytest.raises(RecordError, match="no atlas is open; start with 'featviz app FOLDER'"):
        _ = Library().first


def test_a_picture_has_a_url_without_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "thumbs" / "ab" / "abc.webp"
    assert picture_url("small", path) == "/atlasfiles/small/thumbs/ab/abc.webp"


def test_the_url_of_a_small_picture_leads_to_it(tmp_path: Path) -> None:
    layout = picture_atlas(tmp_path / "small")
    with Atlas(layout.root) as atlas:
        entries = atlas.images("net")
        own = replace(entries[0], kind="webp", sha256=entries[0].thumb_sha256)
        for entry in (*entries, own):
            path = atlas.thumb_path(entry)
            assert thumb_url("small", atlas, entry) == picture_url("small", path)
            assert ("images" in path.parts) == (entry is own)
