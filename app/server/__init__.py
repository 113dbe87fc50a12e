"""Serves the dashboard: Streamlit, the live channel, the assets, from one process."""
