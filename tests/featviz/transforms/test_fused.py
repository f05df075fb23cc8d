import pytest
import torch

from draws import drawn, generator, image
from featviz.errors import ConfigError
from featviz.transforms import LUCID, PRESETS, TRANSFORMS, Moves, Transforms, parse_transforms

# One of each kind, and all together.
TEXTS = [
    "none",
    "lucid",
    "smooth",
    "pad:2,jitter:3",
    "jitter:12.5%,rotate:-20/0/20,scale:0.9..1.1",
    "flip",
    "crops:3/0.5/0.5",
    "noise:0.1",
    "blur:0.5..1.5",
    "color:0.3/0.2/0.5/30",
    "pad:1,jitter:2,crops:2/0.4/0.4,flip,blur:0.5/1,color:0.1/0.1/0.1/10,noise:0.05",
]


def every_part(moves):
    return [moves.maps, *moves.numbers, *moves.banks]


def test_every_kind_is_here():
    used = {type(step) for text in TEXTS for step in parse_transforms(text).steps}
    assert used == set(TRANSFORMS.values())


def test_none_leaves_images_alone():
    source = image(5, 5)
    transforms, moves = drawn("none", 1, source)
    assert transforms.apply(source, moves[0]) is source


def test_filters_alone_do_not_resample():
    source = image(7, 7, channels=3)
    transforms, moves = drawn("noise:0", 1, source)
    assert torch.equal(transforms.apply(source, moves[0]), source)


@pytest.mark.parametrize("text", TEXTS)
def test_first_numbers_do_not_depend_on_how_many_follow(text):
    source = image(12, 13, channels=3)
    for n, m in ((3, 5), (5, 300)):
        (_, few), (_, many) = drawn(text, n, source), drawn(text, m, source)
        pairs = zip(every_part(few), every_part(many), strict=True)
        for k, (part, longer) in enumerate(pairs):
            shared = k > len(few.numbers)  # a bank
            assert torch.equal(part, longer if shared else longer[:n])


@pytest.mark.parametrize("text", [*TEXTS, "maco"])
def test_images_do_not_depend_on_their_neighbours(text):
    source = image(14, 12, channels=3, batch=3)
    transforms, moves = drawn(text, 2, source)
    together = transforms.apply(source, moves[1])
    assert len(together) == 3 * transforms.views
    for k in range(3):
        own = slice(k * transforms.views, (k + 1) * transforms.views)
        _, single = drawn(text, 2, source[k : k + 1], seed=k)
        alone = transforms.apply(source[k : k + 1], single[1])
        assert torch.allclose(together[own], alone, atol=1e-6)


@pytest.mark.parametrize("text", [text for text in TEXTS if text != "none"])
def test_images_move_independently(text):
    source = image(14, 12, channels=3).repeat(2, 1, 1, 1)
    transforms, moves = drawn(text, 8, source)
    pairs = [transforms.apply(source, moves[step]).chunk(2) for step in range(8)]
    assert not all(torch.allclose(first, second, atol=1e-4) for first, second in pairs)


@pytest.mark.parametrize("text", TEXTS)
def test_gradients(text):
    source = image(6, 7, channels=3, batch=2).double().requires_grad_()
    small = text.replace("smooth", "jitter:1,blur:0.5..0.6,flip").replace("1.5", "1.1")
    transforms, moves = drawn(small, 2, source)
    assert torch.autograd.gradcheck(lambda x: transforms.apply(x, moves[1]), (source,))


def test_float32_stays_float32():
    source = image(12, 12, channels=3, batch=2)
    transforms, moves = drawn(TEXTS[-1], 1, source)
    assert transforms.apply(source, moves[0]).dtype == torch.float32


def test_moves_come_first_then_filters_as_listed():
    source = image(12, 12, channels=3)
    mixed, moves = drawn("blur:1,jitter:4,color:0.3/0/0/0", 1, source)
    blur, jitter, color = ((mixed.steps[k],) for k in range(3))
    step = moves[0]
    moved = Transforms(jitter).apply(source, Moves(step.maps))
    moved = Transforms(blur).apply(moved, Moves(step.maps, step.numbers[:1], step.banks[:1]))
    moved = Transforms(color).apply(moved, Moves(step.maps, step.numbers[1:], step.banks[1:]))
    assert torch.equal(mixed.apply(source, step), moved)


def test_views_multiply():
    assert [parse_transforms(text).views for text in ("lucid", "crops:3", "maco")] == [1, 3, 32]
    assert parse_transforms("crops:3,crops:2").views == 6


@pytest.mark.parametrize("text", [*TEXTS, *PRESETS, "crops:4", "blur:2"])
def test_text_round_trip(text):
    transforms = parse_transforms(text)
    assert transforms.text == text
    written = Transforms(transforms.steps).text
    if text not in PRESETS:
        assert written == text
    assert parse_transforms(written).steps == transforms.steps
    assert parse_transforms(transforms) is transforms


def test_what_is_left_out_is_written_out():
    assert parse_transforms("color:0.5").text == "color:0.5/0/0/0"
    assert parse_transforms("crops:8/0.5/0.05").text == "crops:8"


def test_presets():
    assert Transforms(PRESETS["maco"]).text == "crops:32,noise:0.08"
    assert Transforms(PRESETS["smooth"]).text == (
        "jitter:12.5%,jitter:12.5%,jitter:25%,jitter:25%,jitter:25%,scale:0.92..0.96,blur:1..1.1,"
        "jitter:6.25%,jitter:6.25%,flip"
    )
    assert PRESETS["lucid"] == LUCID
    assert PRESETS["none"] == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lucd", "unknown transform 'lucd' in 'lucd'; did you mean 'lucid'"),
        ("jiter:8", "unknown transform 'jiter' in 'jiter:8'; did you mean 'jitter'"),
        ("", "unknown transform ''.* write a preset .lucid, maco, none, smooth. or a list of blur"),
        ("jitter:1.5", "bad value '1.5' of 'jitter' in 'jitter:1.5'; write jitter:PIXELS or"),
        ("jitter:%", "bad value '%' of 'jitter'"),
        ("jitter:-1", "jitter must reach 0 px or more, got -1"),
        ("jitter:-1%", "jitter must reach 0 % or more, got -1"),
        ("jitter:inf%", "jitter must reach 0 % or more, got inf"),
        ("pad:-1", "pad must be 0 px or more, got -1"),
        ("pad:x", "bad value 'x' of 'pad' in 'pad:x'; write pad:PIXELS"),
        ("scale:0", "scale factors must be above 0"),
        ("scale:nan", "scale factors must be above 0"),
        ("scale:2..1", "bad value '2..1' of 'scale' in 'scale:2..1'; write scale:LOW..HIGH or"),
        ("rotate:inf", "rotate needs finite angles"),
        ("rotate:1..2..3", "bad value '1..2..3' of 'rotate'"),
        ("rotate:", "bad value '' of 'rotate'"),
        ("flip:1", "bad value '1' of 'flip' in 'flip:1'; write flip"),
        ("crops:0", "the number of crops must be 1 or more, got 0"),
        ("crops:2.5", "bad value '2.5' of 'crops'"),
        ("crops:2/0.5", "bad value '2/0.5' of 'crops' in .*; write crops:COUNT or crops:COUNT/F"),
        ("crops:2/0.5/0.01", "the mean side of crops must be 0.05 to 1, got 0.01"),
        ("crops:2/nan/0.5", "the mean side of crops must be 0.05 to 1, got nan"),
        ("noise:-0.1", "the sd of noise must be 0 or more, got -0.1"),
        ("noise:inf", "the sd of noise must be 0 or more, got inf"),
        ("noise", "bad value '' of 'noise' in 'noise'; write noise:SD"),
        ("blur:0", "blur must be above 0 px"),
        ("blur:1..0.5", "bad value '1..0.5' of 'blur'"),
        ("color:1", "color: brightness must be 0 or more and below 1, got 1"),
        ("color:0/-1", "color: contrast must be 0 or more and below 1, got -1"),
        ("color:0/0/nan", "color: saturation must be 0 or more and below 1, got nan"),
        ("color:0/0/0/181", "color: hue must be 0 to 180, got 181"),
        ("color:0/0/0/0/0", "bad value '0/0/0/0/0' of 'color' in .*; write color:BRIGHTNESS/"),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_transforms(text)


@pytest.mark.parametrize(
    ("text", "channels", "size", "message"),
    [
        ("color:0.1", 1, (16, 16), "color needs images with 3 channels, these have 1; leave it"),
        ("blur:3", 3, (9, 16), "blur of 3 px reaches 9 px each way, over the whole of .* 9x16 px"),
    ],
)
def test_images_that_do_not_suit(text, channels, size, message):
    with pytest.raises(ConfigError, match=message):
        parse_transforms(text).draw(2, channels=channels, size=size, generator=generator())


@pytest.mark.parametrize("text", ["lucid", "smooth", "pad:2,jitter:3", "crops:3/0.5/0.5,flip"])
def test_resting_images_stay_where_they_are_at_every_second_step(text):
    source = image(12, 14, channels=3, batch=2)
    transforms, moves = drawn(text, 5, source)
    rested = transforms.rested(moves, [False, True], size=(12, 14))
    views = transforms.views
    assert torch.equal(rested.maps[:, :views], moves.maps[:, :views])
    assert torch.equal(rested.maps[::2], moves.maps[::2])
    assert rested.numbers is moves.numbers
    frame = "pad:2" if "pad" in text else "pad:0"
    plain, still = drawn(frame, 1, source)
    expected = plain.apply(source, still[0])[1]
    shown = Transforms([step for step in transforms.steps if step.name != "blur"])
    for step in (1, 3):
        bare = Moves(rested.maps[step])
        found = shown.apply(source, bare)[views : 2 * views]
        for view in found:
            assert torch.allclose(view, expected, atol=1e-6)


def test_nobody_rests():
    transforms, moves = drawn("lucid", 3, image(5, 5, channels=3))
    assert transforms.rested(moves, [False], size=(5, 5)) is moves
