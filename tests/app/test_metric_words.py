"""Every number that an atlas keeps of its own accord has its words, and they are its own."""

from app.job_stage import _METRICS
from app.metric_words import MEANINGS
from featviz.atlas.reporting.measuring import PHOTOGRAPHS, RANK, Z
from featviz.metrics.pixels import METRICS


def test_each_number_that_is_kept_has_a_meaning() -> None:
    kept = {"score", "opacity", *METRICS, RANK, Z, PHOTOGRAPHS, "firing_rate"}
    assert kept <= set(MEANINGS)
    assert tuple(_METRICS) == METRICS


def test_words_are_those_of_the_functions_that_measure() -> None:
    assert "amplitude spectrum" in MEANINGS["slope"]
    assert "-1.1 to -1.7" in MEANINGS["slope"]
    assert "0 to 100" in MEANINGS["percentile"]
    assert MEANINGS["firing_rate"].startswith("Share of the photographs")
