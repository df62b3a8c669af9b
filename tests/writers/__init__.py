"""The programs of the clouds that write a server's network configuration, run offline."""
