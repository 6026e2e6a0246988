"""Integrations with web frameworks; each module needs the packages that its docstring names."""
