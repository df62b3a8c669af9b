"""A small cloud in network namespaces, and `rcnetctl demo`."""
