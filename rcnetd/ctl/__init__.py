"""rcnetctl(8): one module per command."""
