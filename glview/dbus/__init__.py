"""D-Bus: wire codec, peer connections, the message bus."""
