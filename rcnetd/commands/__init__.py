"""The commands of `rcnetctl`, one module each; none is loaded before it is asked for."""
