"""rcnetd: the boot-time network configurator for servers behind RackConnect v2.0."""

__version__ = "0.1.0"
