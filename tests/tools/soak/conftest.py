"""Homes as the tests of whole programs have them."""

from tests.integration.conftest import home, make_home

__all__ = ["home", "make_home"]
