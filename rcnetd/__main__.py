"""`python -m rcnetd` is the daemon."""

import sys

from rcnetd.daemon.start import main

sys.exit(main())
