"""Debian's next release, as it is today: all that the other parts run, on its packages."""
