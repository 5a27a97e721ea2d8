"""What this machine can show, found by trying: `glview doctor`."""
