"""One web page of the families of a site: pictures, tuning and numbers; no scripts, no network."""

import base64
import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from PIL import Image

from circuits.families.enrichment import Enrichment
from circuits.families.family import Family
from circuits.families.family_map import FamilyMap, Member
from circuits.families.tuned_groups import OTHER, SILENT, UNTUNED
from circuits.tuning.page import PAGE_STYLE, plot_reading, polar_svg, step_reading
from featviz.images import png_bytes, write_file

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
$style
h2 { margin: 2.2rem 0 .2rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
a { color: inherit; }
.units { display: grid; gap: 1.2rem 1rem;
  grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); }
.pictures { display: grid; gap: .6rem; margin: .4rem 0 1rem;
  grid-template-columns: repeat(auto-fill, minmax(6rem, 1fr)); }
img { width: 100%; display: block; border-radius: 4px; image-rendering: auto; }
code { font-size: .85rem; }
</style>
<h1>$title</h1>
<p>$lead</p>
<p>$control</p>
<p>$reading</p>
<nav aria-label="families">$links</nav>
$families
<h2>How it was made</h2>
<p><code>$command</code></p>
</html>
""")

_READING = (
    "Within a family, units come in the order of their orientation, and pictures are of some of "
    "them. {plots} {steps} FWHM is how many degrees give more than half the peak, echo the "
    "response to the opposite orientation over the peak; selectivity runs from 0 (all orientations "
    "alike) to 1 (one alone)."
)


def write_family_page(
    path: Path,
    found: FamilyMap,
    *,
    pictures: Mapping[int, Image.Image],
    dead: frozenset[int] = frozenset(),
    command: str,
) -> None:
    """Write the page.

    Args:
        path: The HTML file.
        found: What to show.
        pictures: Feature image by channel; some of each family are enough.
        dead: Channels whose picture shows nothing, because the unit never fires.
        command: What makes the page again.

    Raises:
        OutputError: If the file cannot be written.
    """
    names = [family.name for family in found.families]
    links = "".join(
        f'<a href="#f{k}">{html.escape(name)} ({len(found.families[k].units)})</a>'
        for k, name in enumerate(names)
    )
    sections = "\n".join(
        _section(k, family, found, pictures, dead) for k, family in enumerate(found.families)
    )
    units = len(found.members)
    word = "family" if len(names) == 1 else "families"
    lead = f"{units} units in {len(names)} {word}, {_WAYS[found.by]}."
    if found.left_out:
        lead += f" {found.left_out} units of the site are in none."
    curves = [member.curve for member in found.members]
    page = _PAGE.substitute(
        style=PAGE_STYLE,
        title=html.escape(f"Families of {found.site} in {found.model}"),
        lead=html.escape(lead),
        control=html.escape(control_text(found)),
        links=links,
        families=sections,
        command=html.escape(command),
        reading=html.escape(
            _READING.format(plots=plot_reading(curves), steps=step_reading(curves))
        ),
    )
    write_file(path, page.encode())


_WAYS = {
    "given": "as given",
    "tuning": "grouped by the shape of their tuning curves",
    "weights": "grouped by the weights that they read",
}


def control_text(found: FamilyMap) -> str:
    """Return what the groups are worth beside random ones; empty if they were given."""
    grouping = found.grouping
    if grouping is None:
        return ""
    random = _RANDOM[found.by]
    text = f"Mean correlation of two units of one group {grouping.within:.2f}"
    if grouping.threshold is None:
        most = max(grouping.shuffled_within)
        return f"{text}; as many groups of {random} have at most {most:.2f}."
    text = (
        f"{text}; groups were joined down to {grouping.threshold:g}. {random.capitalize()}, joined "
        f"in the same way, give groups of at most {grouping.by_chance}"
    )
    if found.networks:
        if len(grouping.groups) == 1:
            text += ": as all tuned units are one group, these cannot tell it from chance"
        text += (
            ". In networks with shuffled weights, the largest groups have "
            f"{_listed(found.networks)} units"
        )
    text += "; the units of groups no larger are in 'other'."
    return text if _found_any(found) else f"{text} {_NONE}"


_RANDOM = {
    "tuning": "random curves of the same smoothness (random phases)",
    "weights": "shuffled profiles",
}


_NONE = (
    "No group is larger, so there is no family to tell from chance; a higher threshold looks for "
    "smaller and closer ones, and 'featviz circuit map' sorts units by what excites them."
)


def _found_any(found: FamilyMap) -> bool:
    return any(family.name not in {OTHER, UNTUNED, SILENT} for family in found.families)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(numbers, reverse=True)))


def branch_text(branches: Mapping[str, Enrichment], tests: int) -> str:
    """Return in which branch a family gathers most, with chances corrected for all tests made."""
    name, best = min(branches.items(), key=lambda item: item[1].log10_p_more)
    log10_p = min(0.0, best.log10_p_more + math.log10(tests))
    chance = f"p = {10**log10_p:.2g}" if log10_p > -12 else f"p < 1e{math.ceil(log10_p)}"
    return (
        f"{best.inside} of {best.family} in {name}, {best.expected:.1f} by chance ({chance}, "
        f"corrected for {tests} tests)"
    )


def _section(
    number: int,
    family: Family,
    found: FamilyMap,
    pictures: Mapping[int, Image.Image],
    dead: frozenset[int],
) -> str:
    members = found.of(family.name)
    notes = f"{len(members)} units"
    branches = found.branches.get(family.name)
    if branches:
        tests = sum(map(len, found.branches.values()))
        notes += "; " + branch_text(branches, tests)
    shown = "\n".join(
        _picture(member, pictures[member.curve.channel], dead=member.curve.channel in dead)
        for member in members
        if member.curve.channel in pictures
    )
    plots = "\n".join(map(_plot, members))
    return (
        f'<h2 id="f{number}">{html.escape(family.name)}</h2>\n<p>{html.escape(notes)}</p>\n'
        + (f'<div class="pictures">\n{shown}\n</div>\n' if shown else "")
        + f'<div class="units">\n{plots}\n</div>'
    )


def _picture(member: Member, picture: Image.Image, *, dead: bool) -> str:
    unit = html.escape(member.curve.unit, quote=True)
    data = base64.b64encode(png_bytes(picture)).decode()
    alt = f"what {unit} looks for" + (": nothing, it never fires" if dead else "")
    # A line of its own: in a narrow column it would end up there anyway, sometimes.
    preferred = "" if member.curve.silent else f"<br>{member.curve.preferred_deg:.0f}°"
    state = "<br>dead: never fires" if dead else ""
    return (
        f'<figure><img alt="{alt}" src="data:image/png;base64,{data}">'
        f"<figcaption>{unit}{preferred}{state}</figcaption></figure>"
    )


def _plot(member: Member) -> str:
    curve = member.curve
    label = f" {html.escape(curve.label)}" if curve.label else ""
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts(member))
    return (
        f"<figure>{polar_svg(curve)}"
        f"<figcaption>{html.escape(curve.unit)}{label}<dl>{rows}</dl></figcaption></figure>"
    )


def facts(member: Member) -> Sequence[tuple[str, str]]:
    """Return the numbers of one unit as text; those without a value are left out."""
    row = member.row()
    forms = (
        ("expected", "expected_deg", "{:.0f}°"),
        ("preferred", "preferred_deg", "{:.0f}°"),
        ("mean", "mean_deg", "{:.0f}°"),
        ("FWHM", "fwhm_deg", "{:.0f}°"),
        ("echo", "echo", "{:.2f}"),
        ("selectivity", "selectivity", "{:.2f}"),
    )
    known = [(name, form.format(row[key])) for name, key, form in forms if row[key] is not None]
    return [("stimulus", html.escape(member.curve.stimulus)), *known]
