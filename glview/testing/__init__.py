"""A VM without QEMU: the server side of the D-Bus display."""
