"""`python -m rcnetd` is the daemon."""

import sys

from rcnetd.daemon.main import main

sys.exit(main())
