"""`python -m oxaigen_auth_mock` is the same as the command `oxaigen-auth-mock`."""

import sys

from oxaigen_auth_mock.cli.main import main

sys.exit(main())
