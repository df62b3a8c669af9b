"""The RackConnect API v1 on this machine: a second, independent reading of the API page.

It imports nothing from the client, nor the client from it. For image builders: `rcnetctl emulate
TIMELINE`, and the pytest fixture in `rcnetd.emulator.testing`.
"""
