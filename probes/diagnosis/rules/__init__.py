"""The rules, one module each; the docstring of a module is the documentation of its rule."""
