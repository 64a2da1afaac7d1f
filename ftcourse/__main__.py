"""`python -m ftcourse` is the command `ftcourse`."""

import sys

from ftcourse.cli import main

if __name__ == "__main__":
    sys.exit(main())
