"""Run -> plain NumPy arrays, ready to draw. No Streamlit, no Plotly."""
