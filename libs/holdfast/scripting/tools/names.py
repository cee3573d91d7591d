"""Which tools there are; a module of this package has the tool of its name (in small letters) as `main`."""

from __future__ import annotations

TOOLS = frozenset({"boundcmd", "exitcode", "gencron", "processtree", "vhost", "xpathGet"})
