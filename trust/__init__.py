"""Tests that try to break clearprop: each is a command with a seed and a count; docs/trust.md lists them.

    python -m trust --short             all of them, with the counts of CI
    python -m trust.bit_flips --seed 3  one of them

`trust.frame` says what a test is, `trust.registry` which there are, `trust.__main__` runs them.
"""
