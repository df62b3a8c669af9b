"""The settings files."""
