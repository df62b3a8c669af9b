"""Mutation testing: which small changes of the code do its own unit tests notice?"""
