"""Data in, Plotly figure out: pure functions, no Streamlit."""
