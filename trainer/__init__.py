"""babysit's reference trainer."""
