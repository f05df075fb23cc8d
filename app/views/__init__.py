"""The pages of the app, one a file; Streamlit runs a file from its top to show it."""
