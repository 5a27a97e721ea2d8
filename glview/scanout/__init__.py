"""What the guest shows: formats, sources of pixels, damage. No GL, no sockets."""
