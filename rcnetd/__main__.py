"""`python -m rcnetd` is the daemon."""

import sys

from rcnetd.main import main

sys.exit(main())
