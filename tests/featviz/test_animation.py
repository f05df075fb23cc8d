import builtins

import numpy as np
import pytest
from PIL import Image

from featviz.animation import check_animation, save_animation
from featviz.errors import ConfigError, OutputError


def frames(n=5, size=(33, 20)):
    return [Image.new("RGB", size, (40 * k, 250 - 40 * k, 90)) for k in range(n)]


def test_gif_keeps_frames_and_speed(tmp_path):
    path = tmp_path / "a.gif"
    save_animation(frames(), path, fps=10)
    with Image.open(path) as picture:
        shown, total_ms = [], 0
        for k in range(picture.n_frames):
            picture.seek(k)
            total_ms += picture.info["duration"]
            shown.append(picture.convert("RGB").getpixel((3, 3)))
        assert picture.size == (33, 20)
    assert total_ms == pytest.approx(1400)  # 5 frames, the last held for a second
    assert np.abs(np.subtract(shown[0], (0, 250, 90))).max() < 60
    assert shown[-1] == (160, 90, 90)


def test_mp4_can_be_read_back(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "a.mp4"
    save_animation(frames(), path, fps=10)
    with av.open(str(path)) as container:
        read = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 10
    assert len(read) == 14
    assert read[0].shape == (20, 34, 3)
    for k in (0, 2, 4):
        assert np.abs(read[k][:16, :30].mean((0, 1)) - (40 * k, 250 - 40 * k, 90)).max() < 8


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.avi", {}, r"cannot tell the format of 'a.avi'; end it in .gif or .mp4"),
        ("a.gif", {"fps": 0}, "fps must be above 0 and at most 50, got 0"),
        ("a.gif", {"fps": 51}, "at most 50, got 51"),
    ],
)
def test_bad_settings(tmp_path, name, options, message):
    with pytest.raises(ConfigError, match=message):
        save_animation(frames(), tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_no_frames(tmp_path):
    with pytest.raises(ConfigError, match="there are no frames"):
        save_animation([], tmp_path / "a.gif")


def test_without_pyav(tmp_path, monkeypatch):
    plain = builtins.__import__

    def without(name, *rest, **options):
        if name == "av":
            raise ImportError(name)
        return plain(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'featviz\[video\]', or write a .gif"):
        check_animation(tmp_path / "a.mp4", fps=5)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        save_animation(frames(), tmp_path / "nowhere" / "a.gif")
