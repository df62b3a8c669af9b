"""rcnetd: the boot-time network configurator for servers behind RackConnect v2.0.

    basic        bytes, text, files; knows nothing of rcnetd
    core         every decision: events in, actions out; pure
    config       settings files -> Settings
    store        what rcnetd keeps on disk: one module per file, its form, its writer, its reader
    netlink      the kernel: links, addresses, routes, neighbours
    api          the RackConnect API client
    metadata     what the platform says about this server
    hostconfig   the route in the host's network configuration, and the way back
    fetcher      the unprivileged process that runs the API client, and its parent's side
    daemon       rcnetd(8): the select loop, and what it tells systemd
    ctl          rcnetctl(8): one module per command
    lab          a small cloud in network namespaces, and `rcnetctl demo`
    fleet        `rcnetctl fleet`: many servers, through the Cloud Servers API
    emulator     the RackConnect API, read a second time; imports nothing of rcnetd

Imports go downwards only; `tests/architecture.py` has the table.
"""

__version__ = "0.1.0"
