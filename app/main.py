"""The script that Streamlit runs for each session and click: the frame around one page."""

from pathlib import Path

import streamlit as st

_PAGES = (
    # File of views/, title, icon, whether the menu shows it.
    ("home", "Start", ":material/home:", True),
    ("model", "Model", ":material/account_tree:", True),
    ("site", "Site", ":material/grid_view:", False),
    ("unit", "Unit", ":material/image:", False),
    ("circuit", "Circuit", ":material/hub:", True),
    ("compare", "Compare", ":material/compare:", True),
    ("render", "Render", ":material/auto_awesome:", True),
    ("image", "Your image", ":material/add_photo_alternate:", True),
    ("lessons", "Lessons", ":material/school:", True),
)

_STYLE = "<style>.stMainBlockContainer { padding-top: 4rem; padding-bottom: 3rem; }</style>"


def main() -> None:
    """Show the page that the URL names."""
    st.set_page_config("featviz", page_icon=Path(__file__).with_name("icon.png"), layout="wide")
    st.html(_STYLE)
    pages = [
        st.Page(
            f"views/{name}.py",
            title=title,
            icon=icon,
            url_path=name,
            default=name == "home",
            visibility="visible" if shown else "hidden",
        )
        for name, title, icon, shown in _PAGES
    ]
    st.navigation(pages, position="top").run()


main()
