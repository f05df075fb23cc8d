import dataclasses
import tomllib

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from featviz.config import RenderConfig
from featviz.errors import ConfigError
from featviz.settings import (
    read_settings,
    read_table,
    read_variables,
    settings_to_toml,
    variable_name,
)

# One value a source for every setting, as the source writes it and as it is meant.
SOURCES = {
    "steps": (("7", 7), ("8", 8), 9),
    "size": (("[40, 50]", (40, 50)), ("60x70", (60, 70)), 80),
    "seed": (("1", 1), ("2", 2), 3),
    "param": (('"pixels"', "pixels"), ("pixels:sd=0.1", "pixels:sd=0.1"), "fourier:sd=0.1"),
    "transforms": (('"none"', "none"), ("jitter:2", "jitter:2"), "jitter:3"),
    "learning_rate": (("1", 1.0), ("2e-2", 0.02), 0.03),
    "redirect_steps": (("0", 0), ("1", 1), 2),
    "batch": (("1", 1), ("2", 2), 3),
    "precision": (('"bf16"', "bf16"), ("float32", "float32"), "auto"),
    "thresholds": (("[1, 2]", (1, 2)), ("3,4", (3, 4)), (5,)),
    "optimiser": (('"adam"', "adam"), ("nadam", "nadam"), "lbfgs"),
    "images": (("2", 2), ("3", 3), 4),
    "start": (('"a.png"', "a.png"), ("b.png", "b.png"), "c.png"),
    "keep": (("1", 1.0), ("0.5", 0.5), 2.0),
    "mask": (('"a.png"', "a.png"), ("b.png", "b.png"), "c.png"),
    "diversity": (("0", 0.0), ("0.0", 0.0), 0.0),  # more needs several images, see below
    "contrast": (('"photos"', "photos"), ("my photos", "my photos"), "others"),
    "patience": (("20", 20), ("30", 30), 40),
    "min_delta": (("0", 0.0), ("0.02", 0.02), 0.03),
    "terms": (("true", True), ("1", True), True),
    "alpha": (("1", 1.0), ("0.5", 0.5), 2.0),
}
FIELDS = [field.name for field in dataclasses.fields(RenderConfig)]


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "my.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_every_setting_has_sources_in_the_table():
    assert set(FIELDS) == SOURCES.keys()


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("variable", [True, False])
@pytest.mark.parametrize("file", [True, False])
def test_flag_before_environment_before_file_before_default(write, name, flag, variable, file):
    (in_file, from_file), (in_variable, from_variable), from_flag = SOURCES[name]
    config = read_settings(
        {**dict.fromkeys(SOURCES), **({name: from_flag} if flag else {})},
        environment={f"FEATVIZ_RENDER_{name.upper()}": in_variable} if variable else {"PATH": "/"},
        file=write(f"[render]\n{name} = {in_file}\n" if file else ""),
    )
    default = getattr(RenderConfig(), name)
    expected = from_flag if flag else from_variable if variable else from_file if file else default
    assert getattr(config, name) == expected
    assert type(getattr(config, name)) is type(expected)
    assert config == dataclasses.replace(RenderConfig(), **{name: expected})


def test_settings_that_need_each_other(write):
    config = read_settings(
        {}, environment={"FEATVIZ_RENDER_IMAGES": "3"}, file=write("[render]\ndiversity = 0.5\n")
    )
    assert (config.images, config.diversity) == (3, 0.5)


def test_sources_mix(write):
    config = read_settings(
        {"steps": 5, "seed": None},
        environment={"FEATVIZ_RENDER_SEED": " 6 ", "FEATVIZ_RENDER_BATCH": "", "FEATVIZ_X": "?"},
        file=write("[render]\nsteps = 1\nseed = 2\nbatch = 3\n"),
    )
    assert config == RenderConfig(steps=5, seed=6, batch=3)
    assert read_settings({}, environment={}, file=None) == RenderConfig()
    # What one source alone could not say is right where the sources agree.
    late = write("[render]\nthresholds = [300]\n")
    assert read_settings({"steps": 300}, environment={}, file=late).thresholds == (300,)
    # Nor does a value that another source replaces matter.
    assert read_settings({"steps": 5}, environment={}, file=write("[render]\nsteps = 0")).steps == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[render]\nsetps = 3", "unknown setting 'setps' in '.*my.toml'; did you mean 'steps'"),
        ("[render]\nglitter = 3", "unknown setting 'glitter' in .*; there are steps, size, "),
        ("[rendr]\nsteps = 3", r"unknown table \[rendr\] in .*; did you mean 'render'\? write .r"),
        ("[render]\n[render.steps]\nx = 1", "steps in .* must be a whole number, got {'x': 1}"),
        ("steps = 3", r"'steps' in '.*my.toml' stands outside \[render\]; move it there"),
        ("render = 3", r"'render' in '.*' must be a table"),
        ("[render]\nsteps = '3'", "steps in '.*my.toml' must be a whole number, got '3'"),
        ("[render]\nsteps = 3.0", "must be a whole number, got 3.0"),
        ("[render]\nsteps = true", "must be a whole number, got True"),
        ("[render]\nlearning_rate = 'x'", "learning_rate in .* must be a number, got 'x'"),
        ("[render]\nlearning_rate = false", "must be a number, got False"),
        ("[render]\nsize = '96x128'", r"size .* must be a whole number or \[height, width\], got"),
        ("[render]\nsize = [1, 2, 3]", r"a whole number or \[height, width\], got \[1, 2, 3\]"),
        ("[render]\nsize = [1, 2.5]", r"a whole number or \[height, width\], got \[1, 2.5\]"),
        ("[render]\nthresholds = 3", r"must be a list such as \[16, 64\], got 3"),
        ("[render]\nthresholds = ['a']", r"must be a list such as \[16, 64\], got \['a'\]"),
        ("[render]\nparam = 3", "param in .* must be a text, got 3"),
        ("[render]\nprecision = 'fp16'", "must be 'auto' or 'float32' or 'bf16', got 'fp16'"),
        ("[render]\nprecision = [1]", r"must be 'auto' or 'float32' or 'bf16', got \[1\]"),
        ("[render\nsteps = 3", "my.toml' is not TOML: .*line 1"),
        ("[render]\nsteps = 3\nsteps = 4", "is not TOML: Cannot overwrite"),
        ("x = " + "[" * 5000, "is not TOML"),
    ],
)
def test_bad_files(write, text, message):
    with pytest.raises(ConfigError, match=message):
        read_table(write(text))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read '.*no.toml': No such file .* give a TOML"):
        read_table(tmp_path / "no.toml")
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        read_table(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not TOML: 'utf-8' codec"):
        read_table(tmp_path / "binary.toml")


def test_an_empty_file_says_nothing(write):
    assert read_table(write("")) == {}
    assert read_table(write("[render]\n")) == {}
    assert read_table(write("[render]\nthresholds = []\n")) == {"thresholds": ()}


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("STEPS", "x", "FEATVIZ_RENDER_STEPS must be a whole number, got 'x'"),
        ("STEPS", "1.5", "FEATVIZ_RENDER_STEPS must be a whole number, got '1.5'"),
        ("STEPS", "9" * 5000, "FEATVIZ_RENDER_STEPS must be a whole number, got '999"),
        ("SIZE", "axb", "SIZE must be a whole number or HEIGHTxWIDTH such as 96x128, got 'axb'"),
        ("SIZE", "1x2x3", "HEIGHTxWIDTH such as 96x128, got '1x2x3'"),
        ("LEARNING_RATE", "nan", "FEATVIZ_RENDER_LEARNING_RATE must be a number, got 'nan'"),
        ("THRESHOLDS", "1,,2", "must be numbers such as 16,64, got '1,,2'"),
        ("PRECISION", "fp16", "must be 'auto' or 'float32' or 'bf16', got 'fp16'"),
        ("SETPS", "3", "unknown environment variable 'FEATVIZ_RENDER_SETPS'; did you mean 'FEA"),
        ("steps", "3", "unknown environment variable 'FEATVIZ_RENDER_steps'; did you mean"),
    ],
)
def test_bad_variables(variable, text, message):
    with pytest.raises(ConfigError, match=message):
        read_variables({f"FEATVIZ_RENDER_{variable}": text})


def test_values_out_of_range_say_where_they_came_from(write):
    def refused(message, flags, environment, text):
        variables = {variable_name(name): value for name, value in environment.items()}
        with pytest.raises(ConfigError, match=message):
            read_settings(flags, environment=variables, file=write(f"[render]\n{text}"))

    refused(
        r"steps must be .* got 0 \(steps comes from \[render\] in '.*my.toml'\)$",
        {"seed": 1},
        {"batch": "2"},
        "steps = 0",
    )
    refused(r"got -1 \(seed comes from FEATVIZ_RENDER_SEED\)$", {}, {"seed": "-1"}, "steps = 3")
    refused(
        r"1 to 3 \(steps\), got 4 \(steps comes from .render.*\)$",
        {"thresholds": (4,)},
        {},
        "steps = 3",
    )
    refused("got 0$", {"steps": 0}, {}, "")
    refused(
        r"\(steps comes from .*my.toml', seed comes from FEATVIZ_RENDER_SEED\)$",
        {},
        {"seed": "-1"},
        "steps = 0",
    )


configs = st.fixed_dictionaries(
    {
        "steps": st.integers(9, 10**6),
        "size": st.none() | st.integers(1, 999) | st.tuples(st.integers(1, 99), st.integers(1, 99)),
        "seed": st.integers(0, 2**63),
        "param": st.sampled_from(["lucid", "pixels", "fourier:sd=0.25"]),
        "transforms": st.sampled_from(["lucid", "none", "jitter:8,scale:0.9..1.1"]),
        "learning_rate": st.floats(1e-300, 1e300),
        "redirect_steps": st.integers(0, 9),
        "batch": st.none() | st.integers(1, 99),
        "precision": st.sampled_from(["auto", "float32", "bf16"]),
        "thresholds": st.lists(st.integers(1, 9)).map(tuple),
    }
)


@settings(deadline=None)
@given(configs)
def test_what_is_printed_reads_back(tmp_path_factory, values):
    config = RenderConfig(**values)
    path = tmp_path_factory.mktemp("settings") / "my.toml"
    path.write_text(settings_to_toml(config), encoding="utf-8")
    again = read_settings({}, environment={}, file=path)
    assert again.to_json() == config.to_json()


def test_what_is_printed():
    text = settings_to_toml(RenderConfig(thresholds=(1, 2)))
    assert text.startswith("[render]\nsteps = 256\n# size: featviz chooses\nseed = 0\n")
    assert 'param = "fourier"\n' in text
    assert "thresholds = [1, 2]\n" in text
    assert tomllib.loads(text)["render"]["redirect_steps"] == RenderConfig().redirect_steps
