"""`python -m rcnetd.emulator` is `rcnetctl emulate`."""

import sys

from rcnetd.emulator.command import main

sys.exit(main())
