"""What asks a process to stop."""

from __future__ import annotations

import signal
import sys

if sys.platform == "win32":
    # A process cannot be sent SIGTERM there: it is ended at once. Ctrl-Break is what another process can ask with.
    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
else:
    SIGNALS = (signal.SIGINT, signal.SIGTERM)
