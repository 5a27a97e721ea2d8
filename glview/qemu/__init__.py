"""QEMU: VM, consoles, listener, input."""
