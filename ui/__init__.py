"""The app's side: what the pages share. Imports streamlit; holds no numerics."""
