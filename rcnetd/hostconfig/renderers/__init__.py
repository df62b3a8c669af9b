"""One module for each network configuration that rcnetd can write. How to add one:

1. A module with three names. `PATTERNS`: globs of all files that the backend reads, drop-ins and
   vendor directories too. `render(tree, target) -> Changes`: pure; what has to change so that the
   next boot comes up as `target` says; raises `CannotPersist` with file, line and what to do.
   `read_defaults(tree) -> list[DefaultRoute]`: every default route that the backend would set from
   these files, by meaning and not by text. `model.py` has the values.
2. Foreign lines, comments and order survive: edits are marked (`marked_edits.py`) and as few as
   possible; our own route goes into a file of our own wherever the format allows it. Nothing is
   harmful alone: with any part of the edits lost, the server still has a default route.
3. The module's name as a word in `core/settings.py` (`Backend`); who manages the link in
   `hostconfig/detect.py`; a check by the backend's own tool in `hostconfig/verify.py`; the
   directories in `ReadWritePaths=` of `systemd/rcnetd-persist.service`.
4. Golden trees in `tests/golden/NAME/CASE/{before,after-no-default,after-down}`: one for each way
   to a default route that the format's manual page names. `tests/support/trees.py` compares,
   `properties.py` has what every renderer promises, `tests/consumers/` has the program that really
   reads the files judge them.
"""
