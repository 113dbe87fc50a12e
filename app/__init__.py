"""babysit's dashboard."""
