"""One module for each network configuration that rcnetd can write."""
