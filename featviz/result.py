"""What a render gives back: images, scores, records, and how to keep and show them."""

import base64
import hashlib
import html
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from featviz.climb_state import ClimbState
from featviz.config import RenderConfig
from featviz.errors import OutputError
from featviz.images import contact_sheet, make_folder, png_bytes, to_picture, write_file
from featviz.params.alpha import over
from featviz.record import Record, record_to_text
from featviz.resampling import GREY
from featviz.state_files import state_path, write_state

_STEM_LENGTH = 120
# Labels of single units, from which a file name can be told apart though `:`, `,` and ` ~` all
# become `_`: sites that end in _NUMBER would look like a channel and the number of an image.
_SITE = r"-?(?![^:]*_\d+:)[A-Za-z0-9.-]+(?:_[A-Za-z0-9.-]+)*"
_PLAIN = re.compile(
    rf"{_SITE}:\d+(?:@(?:center|\d+,\d+))?(?: ~\d+)?|[A-Za-z0-9.@=+-]*[A-Za-z0-9@=+-]"
)
# As they are typed, for contact sheets.
_PLAIN_SET = re.compile(rf"{_SITE}:[\d,*-]+(?:@(?:center|\d+,\d+))?")
# A unit may be alive all the same: another seed, or less diversity, may wake it.
DEAD = "dead: this image does not fire it"


@dataclass(frozen=True, eq=False)
class RenderResult:
    """Images and the evidence about them; image k belongs to label k.

    Attributes:
        images: Values 0..1, float32, on the CPU. With `alpha`, [b 4 h w]: the fourth channel is 0
            where an image is transparent and 1 where it is opaque; the colours, which are not
            multiplied by it, mean little where it is near 0. `seen` puts a background behind them.
        labels: Readable objectives, such as `fire4:128`.
        score: Objective of the final, untransformed image, by the unchanged network in its own
            precision; of a transparent image, before grey.
        history: Objective of the transformed image at each step; not a number for steps that an
            interrupt left out.
        dead: Whether the objective never rose and no pixel changes it: the gradient of the final
            image is zero throughout, as for a unit that never fires, or one whose image was driven
            elsewhere by strong diversity. Such an image shows nothing about the unit.
        failed: Whether the score, or the image, is not a finite number.
        frames: Step -> copy of the images after it, for the thresholds asked for.
        record: What was done: `record["images"][k]` is about image k, the rest about all.
        config: The settings.
        interrupted: Whether the user stopped it early.
        terms: For each image the history of each term of its objective, by label; they add up to
            `history`. Empty unless `terms` was asked for.
        states: For each image what going on from here needs; empty, or None, where it was not kept.
        files: Index of an image -> the finished picture that a resumed render took it from; the
            image is as that file rounds it, its history not a number.
    """

    images: Float[Tensor, "b c h w"]
    labels: tuple[str, ...]
    score: Float[Tensor, " b"]
    history: Float[Tensor, "b steps"]
    dead: Bool[Tensor, " b"]
    failed: Bool[Tensor, " b"]
    frames: dict[int, Float[Tensor, "b c h w"]]
    record: Record
    config: RenderConfig
    interrupted: bool = False
    terms: tuple[dict[str, Float[Tensor, " steps"]], ...] = ()
    states: tuple[ClimbState | None, ...] = ()
    files: dict[int, Path] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __repr__(self) -> str:
        """Return one line that names the images and what is wrong with them."""
        b, c, h, w = self.images.shape
        named = ", ".join(self.labels[:3]) + (", ..." if b > 3 else "")
        problems = [
            f"{int(flags.sum())} {word}"
            for word, flags in (("dead", self.dead), ("failed", self.failed))
            if flags.any()
        ]
        notes = "".join(f", {p}" for p in problems) + (", interrupted" * self.interrupted)
        return f"RenderResult({b} image{'s' * (b != 1)} [{c} {h} {w}]: {named}{notes})"

    def record_of(self, index: int) -> Record:
        """Return the record of one image: what all share, and `image` with its own."""
        shared = {key: value for key, value in self.record.items() if key != "images"}
        return {**shared, "image": self.record["images"][index]}

    def seen(self, grey: float = GREY) -> Float[Tensor, "b c h w"]:
        """Return the images as a network can take them: transparent ones before grey.

        Args:
            grey: Its level, 0..1; the score is that of the images before 0.5.
        """
        if self.config.alpha is None:
            return self.images
        return over(self.images, torch.tensor(grey))

    def pictures(self) -> list[Image.Image]:
        """Return the images as 8-bit pictures."""
        return [self._picture(image) for image in self.images]

    def _picture(self, image: Float[Tensor, "c h w"]) -> Image.Image:
        return to_picture(image, alpha=self.config.alpha is not None)

    def moving(self, index: int) -> list[Image.Image]:
        """Return one image at each threshold, then as it ended: frames for an animation."""
        steps = [self.frames[step][index] for step in self.frames]
        return [self._picture(image) for image in (*steps, self.images[index])]

    def captions(self) -> list[str]:
        """Return labels, class names, and a word on what is wrong with an image."""
        names = [
            "".join(f"\n{entry[key]}" for key in ("class", "unit_label") if key in entry)
            for entry in self.record["images"]
        ]
        return [
            label + name + (f"\n{DEAD}" if dead else "") + ("\nfailed: not a number" * failed)
            for label, name, dead, failed in zip(
                self.labels, names, self.dead.tolist(), self.failed.tolist(), strict=True
            )
        ]

    def sheet(self, *, columns: int | None = None) -> Image.Image:
        """Return all images on one contact sheet.

        Args:
            columns: Images a row; None: about a square.
        """
        return contact_sheet(self.pictures(), self.captions(), columns=columns)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write a PNG and a JSON record for each image, and a contact sheet for several.

        Beside them lies the state of each image that was rendered with `save_state`. Images that
        failed are left out; finished pictures of an earlier render are copied as they are. Each
        file appears whole or not at all.

        Args:
            folder: Made if it does not exist.
            overwrite: Whether to replace files that exist.

        Returns:
            The PNG files: one an image, then the copies at the thresholds, then the contact sheet.

        Raises:
            OutputError: If a file exists and may not be replaced, or cannot be written.
        """
        folder = Path(folder)
        name, request = self.record["model"]["name"], self.record["request"]["objectives"]
        paths = output_paths(folder, name, self.labels, request)
        steps = list(self.frames)
        there = {k for k, file in self.files.items() if file.resolve() == paths[k].resolve()}
        new = [path for k, path in enumerate(paths) if k not in there]
        check_free(new, overwrite=overwrite, thresholds=steps)
        make_folder(folder)
        kept = [k for k in range(len(self)) if not self.failed[k]]
        frames = [(k, step, frame_path(paths[k], step)) for k in kept for step in steps]
        for k in kept:
            if k not in self.files:
                self._save_image(k, paths[k])
            elif k not in there:
                _copy(self.files[k], paths[k], steps)
        for k, step, path in frames:
            if k in self.files:
                continue
            text = record_to_text({**self.record_of(k), "after_step": step})
            write_file(path, png_bytes(self._picture(self.frames[step][k]), text=text))
        written = [*(paths[k] for k in kept), *(path for _, _, path in frames)]
        if len(self) > 1:
            text = record_to_text(self.record)
            write_file(paths[-1], png_bytes(self.sheet(), text=text))
            written.append(paths[-1])
        return written

    def _save_image(self, k: int, path: Path) -> None:
        """Write one image, its record, and its state if there is one."""
        text = record_to_text(self.record_of(k))
        state = self.states[k] if self.states else None
        if state is not None:
            write_state(state_path(path), state, record=text)
        else:
            # That of a picture that is replaced would go on to another one.
            state_path(path).unlink(missing_ok=True)
        write_file(path, png_bytes(self._picture(self.images[k]), text=text))
        write_file(path.with_suffix(".json"), text.encode())

    def _repr_html_(self) -> str:
        """Show the images in a notebook."""
        data = base64.b64encode(png_bytes(self.sheet())).decode()
        return (
            f'<figure><img alt="{html.escape(", ".join(self.captions()), quote=True)}" '
            f'src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(repr(self))}</figcaption></figure>"
        )


def output_paths(
    folder: Path, model_name: str, labels: Sequence[str], request: Sequence[str]
) -> list[Path]:
    """Return where `RenderResult.save` writes pictures: one a label, then the contact sheet.

    A single image has no sheet, and beside each image lies its record as JSON.

    Args:
        folder: The folder.
        model_name: Of the model.
        labels: One an image.
        request: The units as they were asked for; they name the sheet.
    """
    wanted = [_file_stem(model_name, label, plain=_is_plain(label)) for label in labels]
    if len(labels) > 1:
        plain = all(_PLAIN_SET.fullmatch(text) or _is_plain(text) for text in request)
        wanted.append(_file_stem(model_name, "_".join(request) + "_sheet", plain=plain))
    stems: list[str] = []
    taken: set[str] = set()
    for first in wanted:
        stem, number = first, 1
        while stem.lower() in taken:  # some file systems ignore case
            number += 1
            stem = f"{first}_{number}"
        taken.add(stem.lower())
        stems.append(stem)
    return [folder / f"{stem}.png" for stem in stems]


def _copy(source: Path, target: Path, steps: Sequence[int]) -> None:
    """Copy a picture with what lies beside it."""
    pairs = [(source, target)]
    pairs += [(path.with_suffix(".json"), new.with_suffix(".json")) for path, new in pairs[:1]]
    pairs += [(frame_path(source, step), frame_path(target, step)) for step in steps]
    for old, new in (*pairs, (state_path(source), state_path(target))):
        if old.is_file():
            write_file(new, old.read_bytes())


def frame_path(path: Path, step: int) -> Path:
    """Return where the copy of an image after a step lies."""
    return path.with_name(f"{path.stem}_step{step:05d}.png")


def _is_plain(label: str) -> bool:
    """Tell whether no other label of this kind becomes the same file name."""
    return _PLAIN.fullmatch(label) is not None


def _file_stem(model_name: str, label: str, *, plain: bool) -> str:
    """Return a name that any file system takes, different for different labels of a model.

    Args:
        model_name: Of the model.
        label: Of an image or a sheet.
        plain: Whether what is replaced can be told from the rest; if not, or if the name is
            shortened in the middle, a hash of the label stands at its end.
    """
    stem = re.sub(r"[^A-Za-z0-9.@=+-]+", "_", f"{model_name}_{label}").strip("_.")
    if plain and len(stem) <= _STEM_LENGTH:
        return stem
    if len(stem) > _STEM_LENGTH - 9:
        stem = f"{stem[:64]}__{stem[-45:]}"
    return f"{stem}_{hashlib.sha256(label.encode()).hexdigest()[:8]}"


def check_free(paths: Sequence[Path], *, overwrite: bool, thresholds: Sequence[int] = ()) -> None:
    """Raise OutputError if a file to be written exists and may not be replaced.

    Args:
        paths: Pictures, from `output_paths`.
        overwrite: Whether files may be replaced.
        thresholds: Steps whose images are written too.
    """
    beside = [path.with_suffix(".json") for path in paths] + [state_path(path) for path in paths]
    frames = [frame_path(path, step) for path in paths for step in thresholds]
    # Not Path.exists, which raises for names that are too long.
    taken = [path for path in [*paths, *beside, *frames] if os.path.lexists(path)]
    if taken and not overwrite:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise OutputError(
            f"{str(taken[0])!r} exists{more}; choose another folder or pass --overwrite "
            "(overwrite=True in Python)"
        )
