"""Whole virtual machines: a real kernel, udev and cloud-init, where things arrive late."""
