"""glview: a viewer for QEMU virtual machines over the D-Bus display."""

__version__ = "0.1.0"
