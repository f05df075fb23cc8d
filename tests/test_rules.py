"""House rules that a machine can check. Each rule is a function that lists what breaks it.

Every rule meets a tree that keeps it (this one) and a snippet that breaks it, so that none of them
can pass by looking at nothing.
"""

import ast
import hashlib
import importlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PACKAGES = [name for name in ("featviz", "circuits", "app") if (REPO / name).is_dir()]
CHECKED = [*PACKAGES, *(name for name in ("benchmarks",) if (REPO / name).is_dir())]

# Who may import whom. Left out: tests, which may import everything.
MAY_IMPORT = {
    "featviz": {"featviz"},
    "circuits": {"featviz", "circuits"},
    "app": {"featviz", "circuits", "app"},
    "benchmarks": {"featviz", "circuits", "benchmarks"},
}
ONLY_APP = "streamlit"

# The stages of one render, first to last. A module imports from its own stage and from earlier
# ones. A name covers the modules below it; the longest name that fits counts. "" is featviz
# itself, the public API.
STAGES = (
    {"errors"},
    {
        "borrowing",
        "color",
        "images",
        "interrupts",
        "kept_memory",
        "natural_spectrum",
        "photographs",
        "pixel_blocks",
        "receptive_field",
        "redirected_relu",
        "resampling",
        "spectrum_files",
        "tracing",
        "units",
    },
    {"models.spec"},
    {"recording", "sites"},
    {"models"},
    {"objectives"},
    {"params"},
    {"transforms"},
    {"backdrops", "config", "inference"},
    {"named_files", "optimisers", "stalling", "starting", "view"},
    {"image_rows"},
    {"climb_state"},
    {"climb"},
    {"ascent", "plan", "settings"},
    {"animation"},
    {"record", "record_form"},
    {"state_files"},
    {"page", "result"},
    {"metrics"},
    {"contrasting", "rivals"},
    {"evidence"},
    {"resuming"},
    {"lucent", "rendering"},
    {"gallery", "recipes", "variants"},
    {"atlas.canonical"},
    {"atlas.layout", "atlas.lock_files"},
    {"atlas.entries", "atlas.log"},
    {"atlas.pictures", "atlas.store", "atlas.tables"},
    {"atlas.image_query", "atlas.index"},
    {"atlas.reading"},
    {"atlas.building.builder_lock", "atlas.building.lost_pictures", "atlas.building.request"},
    {"atlas.building.plan"},
    {"atlas.building.worker"},
    {"atlas.building.process"},
    {"atlas.building.executors"},
    {"atlas.building.ray_executor"},
    {"atlas.building.moments"},
    {"atlas.building.build"},
    {"atlas.building.status"},
    {"atlas.passes.names", "atlas.passes.reading_ahead", "atlas.passes.skips"},
    {"atlas.passes.accumulators", "atlas.passes.picture_sources"},
    {"atlas.passes.settings"},
    {"atlas.passes.state"},
    {"atlas.passes.unit_pass"},
    {"atlas.examples.boxes"},
    {"atlas.examples.crops", "atlas.examples.records"},
    {"atlas.examples.collecting"},
    {"atlas.examples.files"},
    {"atlas.neighbours.correlations", "atlas.neighbours.kernels", "atlas.neighbours.records"},
    {"atlas.neighbours.nearest"},
    {"atlas.checking.evidence", "atlas.checking.walk"},
    {"atlas.checking.verify"},
    {"atlas.checking.repair"},
    {"atlas.exporting.arrival", "atlas.exporting.outgoing"},
    {"atlas.exporting.export"},
    {
        "atlas.exporting.html_export",
        "atlas.exporting.parquet_export",
        "atlas.exporting.preview_export",
        "atlas.exporting.webdataset_export",
    },
    {"atlas.reporting.findings", "atlas.reporting.measuring"},
    {"atlas.reporting.report"},
    {"atlas"},
    {""},
    {"cli"},
    {"__main__"},
)

# House style asks for 300 and 40. These are the limits that stop a build: room to finish a thought,
# none to start another. Docstrings do not count in functions: saying more must not cost code.
MAX_MODULE_LINES = 330
MAX_FUNCTION_LINES = 50

MAX_FILE_BYTES = 2**20
ASSETS = (
    "assets",
    "featviz/assets",
)  # for people who read the repository; for the installed package
LEFT_BY_READERS = {"index.sqlite", "index.sqlite-journal", "index.lock", "build.lock"}
HEAVY = ("torch", "torchvision", "timm", "kornia", "streamlit", "ray")


def modules(packages: Iterable[str]) -> dict[str, Path]:
    """Dotted name of every module, and its file."""
    found = {}
    for package in packages:
        for path in sorted((REPO / package).rglob("*.py")):
            parts = path.relative_to(REPO).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules(CHECKED)


# ---- imports -----------------------------------------------------------------------------------


def imported_names(source: str, module: str, *, is_package: bool) -> Iterator[str]:
    """Yield what a module imports, also inside functions; `from a import b` yields `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: None if is_package else -1]
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def stage_of(module: str) -> int:
    """Position of a featviz module in the order of stages; -1 if it has none."""
    name = module.removeprefix("featviz").removeprefix(".")
    stages = {entry: number for number, stage in enumerate(STAGES) for entry in stage}
    while name not in stages and "." in name:
        name = name.rpartition(".")[0]
    return stages.get(name, -1)


def wrong_imports(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """List the imports of a module that go against the arrows."""
    package = module.partition(".")[0]
    wrong = []
    if package == "featviz" and stage_of(module) < 0:
        wrong.append(f"{module} has no place in STAGES (tests/test_rules.py): give it one")
    for name in imported_names(source, module, is_package=is_package):
        target = name if name in MODULES else name.rpartition(".")[0] or name
        top = name.partition(".")[0]
        if top == ONLY_APP and package != "app":
            wrong.append(f"{module} imports {ONLY_APP}, which only app may")
        elif top in MAY_IMPORT and top not in MAY_IMPORT[package]:
            wrong.append(f"{module} imports {name}: {package} may not import {top}")
        elif top == package == "featviz" and stage_of(target) > stage_of(module) >= 0:
            wrong.append(f"{module} imports {target}, which comes after it in STAGES")
    return wrong


def test_imports_follow_the_arrows() -> None:
    wrong = [
        line
        for name, path in MODULES.items()
        for line in wrong_imports(
            path.read_text("utf-8"), name, is_package=path.name == "__init__.py"
        )
    ]
    assert not wrong, "\n".join(wrong)


def test_stages_name_modules_that_exist() -> None:
    known = {name.removeprefix("featviz.") for name in MODULES} | {""}
    stale = [
        entry
        for stage in STAGES
        for entry in stage
        if entry not in known and not any(name.startswith(f"{entry}.") for name in known)
    ]
    assert stale == []


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("featviz.rendering", "import circuits.graphs.graph", "featviz may not import circuits"),
        ("featviz.cli.main", "def f():\n    from app import main", "featviz may not import app"),
        ("circuits.graphs.draw", "from app.cache import load", "circuits may not import app"),
        ("circuits.graphs.draw", "import streamlit as st", "only app may"),
        ("featviz.sites", "from featviz.rendering import render", "comes after it"),
        ("featviz.params.fourier", "from ..transforms import jitter", "comes after it"),
        ("featviz.models.spec", "from featviz.sites import Site", "comes after it"),
        ("featviz.objectives", "from featviz import rendering", "comes after it"),
        ("featviz.helpers", "import json", "has no place in STAGES"),
    ],
)
def test_an_import_against_the_arrows_is_found(module: str, source: str, said: str) -> None:
    found = wrong_imports(source, module)
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("featviz.cli.render", "import featviz\nfrom featviz.rendering import render"),
        ("featviz.models.model", "from featviz.sites import Site\nfrom .spec import ModelSpec"),
        (
            "circuits.graphs.graph",
            "from featviz.models import load\nfrom circuits.expand import expand",
        ),
        ("app.main", "import streamlit\nfrom circuits import graph\nfrom featviz import render"),
    ],
)
def test_an_import_along_the_arrows_is_left_alone(module: str, source: str) -> None:
    assert wrong_imports(source, module) == []


# ---- public names ------------------------------------------------------------------------------

# Packages whose `__init__` offers nothing to import from Python, and why.
NO_ALL = {
    "featviz.cli": "its interface is the command line; names in it are click commands",
    "featviz.cli.atlas": "the same",
}


def public_bindings(source: str, package: str) -> set[str]:
    """Public names that an `__init__` binds: its own and those it takes from modules below it.

    What it takes from elsewhere, it uses; `from package import module` loads a module, for what
    that registers. Names under `if TYPE_CHECKING` count: that is how a lazy package shows them to
    type checkers.
    """
    names: set[str] = set()
    body = list(ast.parse(source).body)
    while body:
        node = body.pop()
        if isinstance(node, ast.If | ast.Try):
            body.extend(node.body)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            source_module = (
                f"{package}.{node.module}" if node.level and node.module else node.module
            )
            if (source_module or "").startswith(f"{package}."):
                names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(target.id for target in targets if isinstance(target, ast.Name))
    return {name for name in names if not name.startswith("_")}


def isort_key(name: str) -> tuple[int, list[str | int]]:
    """The order that ruff (RUF022) gives `__all__`: CONSTANTS, Classes, the rest; 2 before 10."""
    kind = 0 if len(name) > 1 and name.isupper() else 1 if name[0].isupper() else 2
    parts = re.split(r"(\d+)", name)
    return kind, [int(part) if part.isdigit() else part for part in parts]


def wrong_all(package: str, source: str, exported: list[str], bound: Iterable[str]) -> list[str]:
    """List what is wrong with an `__all__`, given the names that can be had from the module."""
    missing = sorted(public_bindings(source, package) - set(exported))
    absent = sorted(set(exported) - set(bound))
    wrong = []
    if missing:
        wrong.append(f"public and not in __all__: {missing}")
    if absent:
        wrong.append(f"in __all__ and cannot be imported: {absent}")
    if exported != sorted(set(exported), key=isort_key):
        wrong.append(f"not sorted, or with doubles: {exported}")
    return wrong


def packages() -> list[str]:
    """Names of the packages with something to offer: their `__init__` binds public names."""
    return [
        name
        for name, path in MODULES.items()
        if path.name == "__init__.py"
        and name not in NO_ALL
        and public_bindings(path.read_text("utf-8"), name)
    ]


@pytest.mark.parametrize("package", packages())
def test_all_is_sorted_and_exact(package: str) -> None:
    module = importlib.import_module(package)
    exported = list(module.__all__)
    bound = [name for name in exported if hasattr(module, name)]
    wrong = wrong_all(package, MODULES[package].read_text("utf-8"), exported, bound)
    assert not wrong, f"{package}: {wrong}"


@pytest.mark.parametrize(
    ("source", "exported", "said"),
    [
        ("from featviz.sites import Site\nfrom featviz.units import Unit", ["Site"], "['Unit']"),
        ("if TYPE_CHECKING:\n    from .rendering import render", [], "['render']"),
        ("limit = 3", [], "['limit']"),
        ("from json import load\nlimit: int = 3", [], "['limit']"),
        ("from featviz import sites\nfrom .units import Unit", [], "['Unit']"),
        ("def load(): ...", ["load", "save"], "['save']"),
        ("def a(): ...\ndef b(): ...", ["b", "a"], "not sorted"),
        ("def a(): ...", ["a", "a"], "not sorted, or with doubles"),
    ],
)
def test_a_wrong_all_is_found(source: str, exported: list[str], said: str) -> None:
    found = wrong_all("featviz", source, exported, public_bindings(source, "featviz"))
    assert len(found) == 1
    assert said in found[0]


# ---- size and docstrings -----------------------------------------------------------------------


def wrong_size(source: str) -> list[str]:
    """List a missing module docstring, too long a module, too long functions."""
    tree = ast.parse(source)
    wrong = [] if ast.get_docstring(tree) else ["no module docstring"]
    lines = len(source.splitlines())
    if lines > MAX_MODULE_LINES:
        wrong.append(f"{lines} lines, at most {MAX_MODULE_LINES}")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node):
                text = node.body[0]
                lines -= (text.end_lineno or text.lineno) - text.lineno + 1
            if lines > MAX_FUNCTION_LINES:
                wrong.append(f"{node.name}: {lines} lines of code, at most {MAX_FUNCTION_LINES}")
    return wrong


@pytest.mark.parametrize("module", MODULES)
def test_module_is_small_and_says_what_it_is_for(module: str) -> None:
    assert wrong_size(MODULES[module].read_text("utf-8")) == []


def test_long_and_undocumented_modules_are_found() -> None:
    body = "    x = 1\n"
    function = 'def f():\n    """' + "Text.\n" * 30 + '"""\n' + body * (MAX_FUNCTION_LINES - 1)
    assert wrong_size('"""Module."""\n' + function) == []
    assert wrong_size('"""Module."""\n' + function + body) == ["f: 51 lines of code, at most 50"]
    assert wrong_size("x = 1\n") == ["no module docstring"]
    assert wrong_size('"""Module."""\n' + "x = 1\n" * 330) == ["331 lines, at most 330"]


# ---- the project -------------------------------------------------------------------------------


def pyproject() -> dict[str, object]:
    """The project's metadata as written."""
    return tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))


def test_version_has_one_source() -> None:
    featviz = importlib.import_module("featviz")
    written = pyproject()["project"]["version"]
    installed = importlib.metadata.version("featviz")
    assert installed == written, "the installed metadata is stale: make setup"
    assert featviz.__version__ == written


def test_every_package_is_in_the_wheel() -> None:
    wheel = pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert sorted(wheel["packages"]) == sorted(PACKAGES)
    assert (REPO / "featviz" / "py.typed").is_file()


def has_entry(changelog: str, version: str) -> bool:
    """Whether a changelog has a heading for this version."""
    return re.search(rf"^## \[{re.escape(version)}\]", changelog, re.MULTILINE) is not None


def test_changelog_has_an_entry_for_the_version() -> None:
    changelog = (REPO / "CHANGELOG.md").read_text("utf-8")
    assert has_entry(changelog, pyproject()["project"]["version"])
    assert not has_entry(changelog, "0.1")
    assert not has_entry("see ## [0.1.0]", "0.1.0")


def heavy_imports(package: str, *arguments: str, path: Path | None = None) -> list[str]:
    """List the heavy libraries in memory after `python -m package arguments` has ended well."""
    script = (
        "import runpy, sys\n"
        "package, sys.argv = sys.argv[1], sys.argv[1:]\n"
        "try:\n"
        "    runpy.run_module(package, run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"print('heavy:', *[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, package, *arguments],
        cwd=path or REPO,
        env=os.environ | {"PYTHONPATH": str(path or REPO)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    last = done.stderr.splitlines()[-1].split()
    assert last[0] == "heavy:"
    return last[1:]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["render", "--help"]])
def test_help_comes_without_torch(arguments: list[str]) -> None:
    assert heavy_imports("featviz", *arguments) == []


def test_a_heavy_import_is_found(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "__main__.py").write_text("import torch\n")
    assert heavy_imports("tool", "--help", path=tmp_path) == ["torch"]


# ---- files -------------------------------------------------------------------------------------


def listed_assets(repo: Path) -> dict[str, dict[str, str]]:
    """The entries of assets/manifest.json by path; none where there is no manifest."""
    manifest = repo / "assets" / "manifest.json"
    entries = json.loads(manifest.read_text("utf-8")) if manifest.exists() else []
    return {entry["path"]: entry for entry in entries}


def large_files(repo: Path, tracked: Iterable[str]) -> list[str]:
    """List the tracked files over the limit that the manifest does not account for."""
    present = [name for name in tracked if (repo / name).is_file()]
    large = [name for name in present if (repo / name).stat().st_size > MAX_FILE_BYTES]
    return [name for name in large if name not in listed_assets(repo)]


def atlas_files(repo: Path, mark: str) -> dict[str, str]:
    """Return the SHA-256 of the files of a shipped atlas, by path.

    Its export.json has those of the logs, and they have those of the pictures.
    """
    home = Path(mark).parent
    logs = json.loads((repo / mark).read_text("utf-8"))["logs"]
    found = {(home / "records" / name).as_posix(): digest for name, digest in logs.items()}
    for log in [repo / name for name in found if (repo / name).is_file()]:
        for line in map(json.loads, log.read_text("utf-8").splitlines()):
            if line["type"] == "image":
                name = home / "images" / line["key"][:2] / f"{line['key']}.{line['kind']}"
                found[name.as_posix()] = line["sha256"]
    return found


def wrong_assets(repo: Path) -> list[str]:
    """List assets that the manifest does not know, has without a field, or knows differently."""
    listed = listed_assets(repo)
    present = {
        path.relative_to(repo).as_posix()
        for folder in ASSETS
        for path in (repo / folder).rglob("*")
        if path.is_file()
        and path != repo / "assets" / "manifest.json"
        and path.name not in LEFT_BY_READERS
    }
    wrong = []
    for name, entry in sorted(listed.items()):
        absent = {"sha256", "source", "licence", "command"} - set(entry)
        if absent:
            wrong.append(f"{name}: the manifest lacks {sorted(absent)}")
    known = {name: entry.get("sha256", "") for name, entry in listed.items()}
    for name in [n for n in listed if n.endswith("/export.json") and n in present]:
        known |= atlas_files(repo, name)
    wrong += [f"{name}: not in the manifest" for name in sorted(present - set(known))]
    for name, digest in sorted(known.items()):
        if name not in present:
            wrong.append(f"{name}: in the manifest, not in assets")
        elif hashlib.sha256((repo / name).read_bytes()).hexdigest() != digest:
            wrong.append(f"{name}: has another sha256 than the manifest says")
    return wrong


def test_no_large_file_is_tracked() -> None:
    if not (REPO / ".git").exists():
        pytest.skip("not a git checkout, so nothing is tracked")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, check=True)
    tracked = [name for name in listing.stdout.decode().split("\0") if name]
    assert large_files(REPO, tracked) == []


def test_assets_match_their_manifest() -> None:
    assert wrong_assets(REPO) == []


def test_large_and_unlisted_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "big.bin").write_bytes(bytes(MAX_FILE_BYTES + 1))
    (tmp_path / "small.bin").write_bytes(bytes(MAX_FILE_BYTES))
    (tmp_path / "featviz" / "assets").mkdir(parents=True)
    (tmp_path / "featviz" / "assets" / "inside.npz").touch()
    assert large_files(tmp_path, ["assets/big.bin", "small.bin"]) == ["assets/big.bin"]
    assert "featviz/assets/inside.npz: not in the manifest" in wrong_assets(tmp_path)
    (tmp_path / "featviz" / "assets" / "inside.npz").unlink()
    assert wrong_assets(tmp_path) == ["assets/big.bin: not in the manifest"]

    entry = {"path": "assets/big.bin", "sha256": "0", "source": "", "licence": "", "command": ""}
    (tmp_path / "assets" / "manifest.json").write_text(json.dumps([entry]))
    assert large_files(tmp_path, ["assets/big.bin"]) == []
    assert wrong_assets(tmp_path) == ["assets/big.bin: has another sha256 than the manifest says"]

    entry["sha256"] = hashlib.sha256(bytes(MAX_FILE_BYTES + 1)).hexdigest()
    (tmp_path / "assets" / "manifest.json").write_text(json.dumps([entry]))
    assert wrong_assets(tmp_path) == []


def test_files_of_a_shipped_atlas_are_named_by_its_logs(tmp_path: Path) -> None:
    home = tmp_path / "assets" / "atlas"
    picture = home / "images" / "ab" / "abcd.webp"
    log = home / "records" / "0000.jsonl"
    for file in (picture, log):
        file.parent.mkdir(parents=True)
    picture.write_bytes(b"picture")
    line = {"type": "image", "key": "abcd", "kind": "webp"}
    line["sha256"] = hashlib.sha256(b"picture").hexdigest()
    log.write_text(json.dumps({"type": "settings"}) + "\n" + json.dumps(line) + "\n")
    mark = home / "export.json"
    mark.write_text(json.dumps({"logs": {log.name: hashlib.sha256(log.read_bytes()).hexdigest()}}))
    (home / "index.sqlite").touch()
    entry = {"path": "assets/atlas/export.json", "source": "", "licence": "", "command": ""}
    entry["sha256"] = hashlib.sha256(mark.read_bytes()).hexdigest()
    (tmp_path / "assets" / "manifest.json").write_text(json.dumps([entry]))
    assert wrong_assets(tmp_path) == []
    other = picture.with_name("abce.webp")
    other.touch()
    picture.write_bytes(b"another")
    assert wrong_assets(tmp_path) == [
        "assets/atlas/images/ab/abce.webp: not in the manifest",
        "assets/atlas/images/ab/abcd.webp: has another sha256 than the manifest says",
    ]
    other.unlink()
    picture.unlink()
    log.write_text(log.read_text() + "\n".join([json.dumps(line)]))
    assert wrong_assets(tmp_path) == [
        "assets/atlas/images/ab/abcd.webp: in the manifest, not in assets",
        "assets/atlas/records/0000.jsonl: has another sha256 than the manifest says",
    ]
