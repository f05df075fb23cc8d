import pytest

from app.comparing import MAX_ITEMS, Item, items_text, parse_items
from featviz.errors import RecordError


def test_items_survive_the_url() -> None:
    text = "fire4:141; artificial_curves/arcs:6; net/layer1.0:3@other"
    items = parse_items(text)
    assert items == [
        Item("fire4:141"),
        Item("arcs:6", "artificial_curves"),
        Item("layer1.0:3", "net", "other"),
    ]
    assert items_text(items) == text


def test_a_slice_of_a_site_is_no_network() -> None:
    text = "mixed3a/0:64:5; inceptionv1/mixed3a/0:64:5; mixed3a/:64:7@other; torchvision:net/0:5"
    items = parse_items(text)
    assert items == [
        Item("mixed3a/0:64:5"),
        Item("mixed3a/0:64:5", "inceptionv1"),
        Item("mixed3a/:64:7", "", "other"),
        Item("0:5", "torchvision:net"),
    ]
    assert items_text(items) == text


def test_an_item_counts_once_and_empty_ones_do_not() -> None:
    assert parse_items(" ; a:1;;a:1 ;") == [Item("a:1")]


def test_too_many_items_are_refused() -> None:
    text = ";".join(f"a:{k}" for k in range(MAX_ITEMS + 1))
    with pytest.raises(RecordError, match=f"{MAX_ITEMS} is the most"):
        parse_items(text)


def test_a_network_without_a_unit_is_refused() -> None:
    with pytest.raises(RecordError, match="is no unit; write"):
        parse_items("net/fire4")
