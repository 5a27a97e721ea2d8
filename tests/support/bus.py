"""A message bus of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.process import Child

_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
  <limit name="max_message_size">1000000000</limit>
</busconfig>
"""


class Bus(Child):
    """A private dbus-daemon, listening on `socket` below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "bus.sock"
        self.address = f"unix:path={self.socket}"
        config = folder / "bus.conf"
        config.write_text(_CONFIG.format(socket=self.socket))
        reader, writer = os.pipe()
        try:
            super().__init__(
                [
                    *("dbus-daemon", "--nofork", "--nopidfile", f"--config-file={config}"),
                    f"--print-address={writer}",
                ],
                folder / "bus.log",
                pass_fds=[writer],
            )
        finally:
            os.close(writer)
        with os.fdopen(reader) as announced:
            if not announced.readline():
                self.wait()
                self.check_alive()

    def __enter__(self) -> Bus:
        return self
