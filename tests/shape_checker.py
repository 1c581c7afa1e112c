"""Checks the annotations of the packages that conftest.py names: beartype, for which 1 is a float too."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
