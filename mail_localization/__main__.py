"""`python -m mail_localization`."""

import sys

from mail_localization.cli import main

if __name__ == "__main__":
    sys.exit(main())
