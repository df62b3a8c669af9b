"""Bytes, text, files and processes; knows nothing of rcnetd."""
