"""One file per page; `show()` draws it, and Streamlit runs the file."""
