"""Do not trust a pretty picture: silent units, random networks, adversarial noise, photographs.

Renders were made before (make_assets.py); noise and answers to photographs are live, from
photographs.py.
"""

from app.lessons.charts import bar_chart, pictures
from app.lessons.controls import choose, slide
from app.lessons.lesson import Choice, Lesson, Option, Question, Reference, Step
from app.lessons.photographs import UNIT, answer, nudge, photograph
from app.lessons.shelf import numbers, read_strip

_NETWORKS = ("trained", "shuffled", "random")


def _silent() -> None:
    way = choose("gradient", "Gradient of a silent unit", ["plain", "redirected"])
    found = numbers("silent")
    says = [
        f"`{unit}`  \nscore **{score:,.0f}**{', never fired' if dead else ''}"
        for unit, score, dead in zip(
            found["units"], found[way]["score"], found[way]["dead"], strict=True
        )
    ]
    texts = [f"{unit}, {way}" for unit in found["units"]]
    pictures(read_strip(f"silent-{way}"), says, texts)


def _silent_words() -> str:
    woken, dead = numbers("silent")["units"]
    score = numbers("silent")["redirected"]["score"][0]
    return (
        "Both renders ended as grey squares. Do these units look for nothing?\n\n"
        "A ReLU that is off passes no gradient, so a picture that does not excite the unit at the "
        "start never learns how. That says something about the climb, not about the unit. "
        "**Redirected**: for the first steps the gradient passes all the same.\n\n"
        f"Switch. `{woken}` wakes up and reaches {score:,.0f}: it was only asleep. `{dead}` shows "
        "some faint texture, and still never fires. Its score is 0. Without that number you might "
        "have described the texture.\n\n"
        "First rule: look whether the unit fired at all."
    )


def _random() -> None:
    name = choose("network", "Network", _NETWORKS)
    found = numbers("compared")
    captions = [
        f"`{unit}`  \nscore **{score:,.0f}**  \nslope **{slope:.2f}**"
        for unit, score, slope in zip(
            found["units"], found[name]["score"], found[name]["slope"], strict=True
        )
    ]
    pictures(
        read_strip(f"compared-{name}"), captions, [f"{u}, {name} network" for u in found["units"]]
    )


def _random_words() -> str:
    found = numbers("compared")
    return (
        "Three units of a trained network. Then of two networks that know nothing. **Shuffled**: "
        "each unit keeps its weights, in another order. **Random**: weights drawn anew, as large "
        "on average.\n\n"
        "These, too, give pictures with colours and texture. A climb always finds something. What "
        "differs here: motifs with parts, and a smoother spectrum. Its **slope** is "
        f"{_range('trained')} trained, {_range('shuffled')} shuffled, {_range('random')} random; "
        "lower is smoother.\n\n"
        f"Scores differ, too: `{found['units'][0]}` reaches {found['trained']['score'][0]:,.0f}, "
        f"{found['shuffled']['score'][0]:,.0f} and {found['random']['score'][0]:,.0f}. But other "
        "weights change the scale of every layer, so these numbers cannot be compared.\n\n"
        "Second rule: try whether you would say the same about a network that learned nothing."
    )


def _range(name: str) -> str:
    """Return the slopes of the spectra of a network's pictures, from the lowest to the highest."""
    slopes = numbers("compared")[name]["slope"]
    return f"{min(slopes):.2f} to {max(slopes):.2f}"


def _adversarial() -> None:
    name = choose("photograph", "Photograph", numbers("photographs")["names"])
    levels = slide("noise", "Largest change of a pixel, of 255", 0, 6, default=0)
    found = nudge(name, levels)
    row = [photograph(name), found.noise, found.picture]
    captions = ["photograph", "noise, amplified", "both together"]
    texts = [name, "the noise alone, amplified", f"{name} with noise of at most {levels} of 255"]
    pictures(row, captions, texts, columns=3)
    rows = [{"name": label, "value": 100 * p} for label, p in found.guesses]
    said = ", ".join(f"{label} {100 * p:.0f} %" for label, p in found.guesses)
    bar_chart(rows, x="", y="percent", text=said, flat=True, ends=(0, 100), height_px=190)


def _adversarial_words() -> str:
    name = numbers("photographs")["names"][0]
    before, after = nudge(name, 0), nudge(name, 2)
    return (
        "Networks react to patterns that we do not see. Here noise is made for one photograph, to "
        "look more like a **banana** to the network. The slider says how much any pixel may "
        "change.\n\n"
        f"Without noise the cat is read as {before.guesses[0][0]}, with "
        f"{100 * before.guesses[0][1]:.0f} %. With a change of at most 2 of 255 as "
        f"{after.guesses[0][0]}, with {100 * after.guesses[0][1]:.0f} %. Can you see the "
        "difference?\n\n"
        "Feature visualisation climbs the same hill. What keeps it from ending in such "
        "noise are the moves, and less so the waves, of the first lesson.\n\n"
        "Third rule: a high score alone proves nothing that you could see."
    )


def _photographs() -> None:
    names = numbers("photographs")["names"]
    name = choose("photograph", "Photograph", names)
    found = answer(name)
    pictures(
        [read_strip("noise-fourier-moved")[-1], found.lit, found.crop.resize((192, 192))],
        [f"`{UNIT[0]}:{UNIT[1]}`", f"fires up to **{found.largest:,.0f}**", "most of all here"],
        ["feature", f"{name}, dark where the unit is silent", f"part of {name}"],
    )
    rows = [{"name": each, "value": answer(each).largest} for each in names]
    said = ", ".join(f"{row['name']} {row['value']:.0f}" for row in rows)
    bar_chart(rows, x="", y="largest activation", text=said, flat=True, height_px=230)


def _photographs_words() -> str:
    found = {name: answer(name).largest for name in numbers("photographs")["names"]}
    first, second, *_ = sorted(found, key=found.__getitem__, reverse=True)
    return (
        f"The picture of `{UNIT[0]}:{UNIT[1]}` shows furry heads with dark eyes. So it should "
        "fire for the cat. Does it?\n\n"
        f"Hardly: {found['chelsea']:,.0f}, about as much as for the rocket on its pad, "
        f"{found['rocket']:,.0f}. The **{first}** excites it most, {found[first]:,.0f}, then the "
        f"{second}, {found[second]:,.0f}. Look at where it fires most: at the cat's eye, but also "
        "at a shiny spoon and at lamps. Perhaps it looks for something small that shines; "
        "perhaps not.\n\n"
        "Four photographs decide nothing; a real check takes thousands. But they are pictures that "
        "nobody optimised, and they correct what we read into a feature.\n\n"
        "Fourth rule: show the unit real photographs before you name it."
    )


def _question() -> Question:
    return Choice(
        "Somebody shows you a striking picture and says: this unit looks for faces. Which evidence "
        "would convince you most?",
        (
            Option(
                "The picture has a very high score",
                "So has noise that no one can see. What else must hold?",
            ),
            Option(
                "Everybody in class sees a face in it",
                "We see faces in clouds. Ask the unit, not the viewers.",
            ),
            Option(
                "New photographs of faces excite it, others do not, and a shuffled network has no "
                "such unit"
            ),
            Option(
                "Three renders from different noise look alike",
                "Good: the render is stable. But a shuffled network can be stable too.",
            ),
        ),
        "It tests the claim on pictures that were not made for the unit, and asks how often the "
        "same would happen by chance.",
    )


TRUST = Lesson(
    key="trust",
    title="Do not trust a pretty picture",
    goal="Ask four questions before you believe a picture of a feature.",
    steps=(
        Step("Grey squares", _silent_words, _silent),
        Step("Networks that know nothing", _random_words, _random),
        Step("Noise that fools", _adversarial_words, _adversarial),
        Step("Real photographs", _photographs_words, _photographs),
        Step("Question", lambda: "Think of all four rules.", _photographs),
    ),
    question=_question,
    references=(
        Reference(
            "Adebayo et al. 2018, Sanity Checks for Saliency Maps, NeurIPS",
            "The model parameter randomization test",
            "https://arxiv.org/abs/1810.03292",
        ),
        Reference(
            "Goodfellow, Shlens, Szegedy 2015, Explaining and Harnessing Adversarial Examples, "
            "ICLR",
            "4 Linear perturbation of non-linear models",
            "https://arxiv.org/abs/1412.6572",
        ),
        Reference(
            "Borowski et al. 2021, Exemplary Natural Images Explain CNN Activations Better than "
            "State-of-the-Art Feature Visualization, ICLR",
            "4 Results",
            "https://arxiv.org/abs/2010.12606",
        ),
    ),
)
