"""Measurements, each against a named peer or floor; `./dev bench` runs them."""
